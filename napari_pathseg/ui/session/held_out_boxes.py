"""The outlines of the parts that are held out, over the slide in view; nobody edits them."""

from napari.layers import Shapes

from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.session.held_out_corrections import HeldOutCorrections
from napari_pathseg.ui.session.shapes_overlay import ShapesOverlay, box_corners
from napari_pathseg.ui.session.workspace import Workspace

_COLOR, _MARGIN_COLOR = "#ff7f00", "#ff7f0090"  # orange: neither stain nor another of our layers has it


class HeldOutBoxes(ShapesOverlay):
    """The held-out parts of the slide in view, and fainter the margin around each; a layer only where there are any."""

    role = "held-out parts"
    edge = _COLOR

    def __init__(self, workspace: Workspace, held_out: HeldOutCorrections) -> None:
        super().__init__(workspace)
        self._held_out = held_out
        workspace.project_changed.connect(self.show)
        self.show()

    def show(self) -> None:
        """Show the parts of the slide in view."""
        record = self._workspace.slide
        if record is None or self._workspace.project is None:
            return
        parts, margins = self._held_out.parts, self._held_out.margins
        self._set_shapes(record, [(box_corners(box), "rectangle") for box in (*parts, *margins)])
        if self.layer is not None and parts:
            self.layer.edge_color = [_COLOR] * len(parts) + [_MARGIN_COLOR] * len(margins)

    def _update_layer(self, layer: Shapes, record: SlideRecord) -> None:
        super()._update_layer(layer, record)
        layer.editable = False
