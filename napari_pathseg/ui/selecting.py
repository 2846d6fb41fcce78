"""The area that is selected on the slide in view, for what is done to a part of it; forgotten with the slide."""

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.ui.layers import outline_of
from napari_pathseg.ui.thin_shapes import ThinShapes


class Selection(ThinShapes):
    """Outlines that a person draws around what is meant; they are never filled in."""

    role, mode = "selection", "add_polygon_lasso"
    edge, face = "#3ec1d3", "#3ec1d326"

    def outlines(self) -> list[npt.NDArray[np.float64]]:
        """Return the shapes chosen on its layer, or all of them; without any those on the contours layer."""
        for layer in (self.layer, self._session.layers.contours):
            if layer is None or not len(layer.data):
                continue
            found = []
            for number in sorted(layer.selected_data) or range(len(layer.data)):
                kind = str(layer.shape_type[number])
                points = outline_of(np.asarray(layer.data[number], float)[:, -2:], kind)
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
        """Begin without a selection on another slide."""
        self.clear()

    def chose(self, *_: Any) -> None:
        """Choose all again, once an outline was drawn: napari has chosen the last one."""
        if self.layer is not None and self.in_hand:
            self.layer.selected_data = set()
        self.changed.emit()
