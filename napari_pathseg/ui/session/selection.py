"""The area that is selected on the slide in view, for what is done to a part of it.

Each slide has its own, until the project is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.ui.layers.shapes_overlay import ShapesOverlay
from napari_pathseg.ui.layers.slide_layers import METADATA_KEY, DrawnShape, drawn_shapes, shape_outline

if TYPE_CHECKING:
    from napari_pathseg.ui.session.session import Session


class Selection(ShapesOverlay):
    """Outlines that a person draws around what is meant; they are never filled in."""

    role, mode = "selection", "add_polygon_lasso"
    edge, face = "#3ec1d3", "#3ec1d326"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._kept: dict[str, list[DrawnShape]] = {}  # by slide, of those that are not in view

    def outlines(self) -> list[npt.NDArray[np.float64]]:
        """Return the shapes chosen on its layer, or all of them; without any those on the contours layer."""
        for layer in (self.layer, self._session.layers.contours):
            if layer is None or not len(layer.data):
                continue
            found = []
            for number in sorted(layer.selected_data) or range(len(layer.data)):
                kind = str(layer.shape_type[number])
                points = shape_outline(np.asarray(layer.data[number], float)[:, -2:], kind)
                if kind not in ("line", "path") and len(points) > 2:
                    found.append(points)
            return found
        return []

    def clear(self) -> None:
        """Select nothing."""
        if self.layer is not None and self._session.slide is not None:
            self._put(self._session.slide, [])
        self.changed.emit()

    def show(self) -> None:
        """Show what is selected on the slide in view, and keep what was on the one before."""
        entry = self._session.slide
        if entry is None:
            self._kept.clear()
        else:
            if self.layer is not None:
                self._kept[self.layer.metadata[METADATA_KEY]["slide"]] = drawn_shapes(self.layer)
            self._put(entry, self._kept.pop(entry.id, []))
        self.changed.emit()

    def chose(self, *_: Any) -> None:
        """Choose all again, once an outline was drawn: napari has chosen the last one."""
        if self.layer is not None and self.in_hand:
            self.layer.selected_data = set()
        self.changed.emit()
