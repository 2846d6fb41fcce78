"""The frame around the place that is being looked at, and the outlines of what is asked there; nobody edits them."""

from collections.abc import Sequence

import numpy as np
from napari.layers import Shapes

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.session.shapes_overlay import ShapesOverlay, box_corners


class PlaceFrame(ShapesOverlay):
    """The outline of one box and lines in it, in level-0 pixels of one slide; a layer only once there was one."""

    role = "next place"
    edge = "#00a3ff"  # light blue: no stain, and none of our other layers, has it

    _slide, _region = "", EMPTY_REGION
    _rings: Sequence[Points] = ()

    def frame(self, slide: str, region: Region, rings: Sequence[Points] = ()) -> None:
        """Show a box of a slide, and closed lines, while that is in view; an empty one for nothing."""
        self._slide, self._region, self._rings = slide, region, rings
        self.show()

    def show(self) -> None:
        """Show the box and the lines if their slide is in view."""
        record = self._workspace.slide
        if record is not None:
            shown = record.id == self._slide and not self._region.empty
            lines = [(np.concatenate([ring, ring[:1]]), "path") for ring in self._rings]
            self._set_shapes(record, [(box_corners(self._region), "rectangle"), *lines] if shown else [])

    def _update_layer(self, layer: Shapes, record: SlideRecord) -> None:
        super()._update_layer(layer, record)
        layer.editable = False
