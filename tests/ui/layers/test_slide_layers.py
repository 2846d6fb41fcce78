from napari.components import ViewerModel
from napari.components.overlays import BrushCircleOverlay

from napari_pathseg.ui.layers.slide_layers import SlideLayers


def test_brush_circle_has_no_box_that_hides_tissue():
    viewer = ViewerModel()
    circles = [one for one in viewer.canvas.overlays.values() if isinstance(one, BrushCircleOverlay)]
    assert [circle.box for circle in circles] == [True]
    SlideLayers(viewer)
    assert [circle.box for circle in circles] == [False]
    assert viewer.canvas.overlays.scale_bar.box
