import pytest
from qtpy.QtCore import Qt

from napari_pathseg.geometry import Region

pytestmark = pytest.mark.usefixtures("real_worker")
ALT, SHIFT, CONTROL = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
)


def painted(dock):
    dock.session.mask.process_pending(10)
    return dock.session.mask.read(Region(0, 0, *dock.session.mask.shape))[0] == 2


def borders(dock):
    layers = dock.session.layers.viewer.layers
    return [layer for layer in layers if layer.metadata.get("napari_pathseg", {}).get("role") == "superpixels"]


@pytest.fixture
def patches(opened, mouse, qtbot):
    mouse.key(Qt.Key.Key_S, SHIFT)
    assert "Superpixels" in opened.session.layers.viewer.status
    qtbot.waitUntil(lambda: bool(borders(opened)))
    return opened


def test_stroke_paints_the_superpixels_it_touches(patches, mouse, disc):
    assert patches.annotate.tools["superpixels"].isChecked()
    mouse.drag((100, 110), (100, 128), (100, 146), release=False)
    found = painted(patches)
    assert found.sum() > 36 * 8
    assert (found & ~disc).sum() < 0.02 * found.sum()
    mouse.release((100, 146))
    mouse.drag((100, 128), (100, 129), modifiers=ALT)
    assert 0 < painted(patches).sum() < found.sum()
    mouse.key(Qt.Key.Key_Z, CONTROL)
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(patches).any()


def test_superpixel_borders_layer_disappears_with_the_tool(patches, mouse, viewer, qtbot):
    for _ in range(2):
        before = borders(patches)[0].data
        viewer.scene.camera.zoom *= 1.5
        qtbot.waitUntil(lambda before=before: borders(patches)[0].data is not before)
        thin = borders(patches)[0].scale[-1] * viewer.scene.camera.zoom
        assert 0.5 < thin <= 2
    assert len(borders(patches)) == 1
    assert viewer.layers.selection.active == patches.session.layers.mask
    assert patches.annotate.tools["superpixels"].isChecked()
    before = borders(patches)[0].data
    for _ in range(3):  # one step may be less than a pixel, by the size of the canvas
        mouse.wheel(viewer.scene.camera.center[-2:], 1, SHIFT)
    qtbot.waitUntil(lambda: borders(patches)[0].data.sum() < before.sum())
    patches.annotate.choose("brush")
    assert borders(patches) == []
    assert len(viewer.layers) == 4
    assert patches.annotate.tools["brush"].isChecked()


def test_each_slide_has_its_own_superpixels(patches, mouse, qtbot):
    mouse.key(Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: bool(borders(patches)))
    assert borders(patches)[0].metadata["napari_pathseg"]["slide"] == "case1"
    mouse.click((110, 128))
    assert painted(patches)[110, 128]


@pytest.fixture
def removals(patches, viewer):
    """Whether a layer is being removed or was removed, one after the other; inside one another Qt's list crashes."""
    events = []
    viewer.layers.events.removing.connect(lambda: events.append("removing"))
    viewer.layers.events.removed.connect(lambda: events.append("removed"))
    return events


def test_mask_layer_removed_by_the_user_takes_the_borders_with_it(patches, viewer, qtbot, removals):
    viewer.layers.remove(patches.session.layers.mask)
    qtbot.waitUntil(lambda: not borders(patches))
    assert removals == ["removing", "removed"] * 2
    assert not patches.annotate.tools["superpixels"].isChecked()


def test_borders_are_removed_before_the_layers_of_a_closing_project(patches, removals):
    patches.session.close()
    assert removals == ["removing", "removed"] * 5
    assert not borders(patches)
