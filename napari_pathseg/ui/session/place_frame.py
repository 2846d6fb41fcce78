"""The frame around the place that is being looked at, over the slide in view; nobody edits it."""

from napari.layers import Shapes

from napari_pathseg.geometry import Region
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.session.shapes_overlay import ShapesOverlay, box_corners


class PlaceFrame(ShapesOverlay):
    """The outline of one box, in level-0 pixels of one slide; a layer only once there was one."""

    role = "next place"
    edge = "#00a3ff"  # light blue: no stain, and none of our other layers, has it

    _slide, _region = "", Region(0, 0, 0, 0)

    def frame(self, slide: str, region: Region) -> None:
        """Show a box of a slide while that is in view; an empty one for nothing."""
        self._slide, self._region = slide, region
        self.show()

    def show(self) -> None:
        """Show the box if its slide is in view."""
        record = self._workspace.slide
        if record is not None:
            shown = record.id == self._slide and not self._region.empty
            self._set_shapes(record, [(box_corners(self._region), "rectangle")] if shown else [])

    def _update_layer(self, layer: Shapes, record: SlideRecord) -> None:
        super()._update_layer(layer, record)
        layer.editable = False
