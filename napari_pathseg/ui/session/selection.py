"""The selected area of the slide in view, and the scopes of an edit: the selection, the view or the whole slide.

Each slide keeps its own selection until the project is closed.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.shapes import EditRegion, PolygonShape, resolve_region
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.layers.metadata import METADATA_KEY
from napari_pathseg.ui.layers.slide_layers import DrawnShape, drawn_shapes, shape_outline
from napari_pathseg.ui.session.shapes_overlay import ShapesOverlay
from napari_pathseg.ui.session.workspace import Workspace

SELECTION, VIEW, SLIDE = "selection", "view", "slide"
EDIT_SCOPES = (SELECTION, VIEW, SLIDE)
NONE_SELECTED, DRAW_SELECTION = "Nothing is selected on this slide.", "Draw around an area with Select first."


class Selection(ShapesOverlay):
    """Outlines that the user draws around an area of interest; they are never filled in."""

    role, mode = "selection", "add_polygon_lasso"
    edge, face = "#3ec1d3", "#3ec1d326"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._hidden: dict[str, list[DrawnShape]] = {}  # by slide, of the slides that are not in view

    def outlines(self) -> list[npt.NDArray[np.float64]]:
        """Return the selected closed shapes in level-0 pixels.

        These are the highlighted shapes of the selection's layer, or all of them if none are highlighted.  If that
        layer has no shapes, the contours layer is used instead.
        """
        for layer in (self.layer, self._workspace.layers.contours):
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

    def mask_shapes(self) -> tuple[PolygonShape, ...]:
        """Return the selected outlines as shapes on the mask of the slide in view."""
        record = self._workspace.slide
        return () if record is None else tuple(mask_polygon(record, points) for points in self.outlines())

    def resolve_scope(self, scope: str) -> EditRegion:
        """Return the region that one of `EDIT_SCOPES` covers now.

        Raises
        ------
        ProjectError
            If the scope is the selection and nothing is selected, or if no slide is in view.
        """
        record = self._workspace.require_slide()
        if scope == SLIDE:
            return EditRegion(Region(0, 0, *record.mask_shape))
        if scope == VIEW:
            return EditRegion(self._workspace.layers.visible_region())
        shapes = self.mask_shapes()
        if not shapes:
            raise ProjectError(f"{NONE_SELECTED} {DRAW_SELECTION}")
        return resolve_region(shapes, record.mask_shape)

    def clear(self) -> None:
        """Delete the selection of the slide in view."""
        if self.layer is not None and self._workspace.slide is not None:
            self._set_shapes(self._workspace.slide, [])
        self.changed.emit()

    def show(self) -> None:
        """Store the selection of the previous slide and show that of the slide in view."""
        record = self._workspace.slide
        if record is None:
            self._hidden.clear()
        else:
            if self.layer is not None:
                self._hidden[self.layer.metadata[METADATA_KEY]["slide"]] = drawn_shapes(self.layer)
            self._set_shapes(record, self._hidden.pop(record.id, []))
        self.changed.emit()

    def select_all(self, *_: Any) -> None:
        """Select all shapes after one was drawn; napari would select only the last one."""
        if self.layer is not None and self.active:
            self.layer.selected_data = set()
        self.changed.emit()


def mask_polygon(record: SlideRecord, points: npt.NDArray[np.float64]) -> PolygonShape:
    """Convert an outline in level-0 pixels to a shape on the slide's mask."""
    return PolygonShape([(points - (record.downsample - 1) / 2) / record.downsample])
