import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_pathseg.geometry import Region

ALT, SHIFT, CONTROL = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
)


def rim(degrees, away=3):
    """Return a canvas position, `away` pixels from the edge of the disc."""
    angle = np.radians(degrees)
    return 100 + (60 + away) * np.sin(angle), 128 + (60 + away) * np.cos(angle)


@pytest.fixture
def wire(opened, mouse):
    mouse.key(Qt.Key.Key_I, SHIFT)
    return opened


@pytest.fixture
def around(wire, mouse):
    """A wire around the disc, after four clicks and not yet closed."""
    for degrees in (0, 90, 180, 270):
        mouse.move(rim(degrees))
        mouse.click(rim(degrees))
    return wire


def painted(dock):
    dock.session.mask.process_pending(10)
    return dock.session.mask.read(Region(0, 0, *dock.session.mask.shape))[0] == 2


def lines(dock):
    return dock.session.layers.contours.data


def test_four_clicks_and_enter_outline_the_disc(around, mouse, disc):
    mouse.key(Qt.Key.Key_Return)
    found = painted(around)
    assert (found & disc).sum() / (found | disc).sum() > 0.93
    assert lines(around) == []
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(around).any()
    mouse.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert painted(around).any()


def test_backspace_removes_the_last_point_and_escape_all(around, mouse):
    longer = len(lines(around)[0])
    mouse.key(Qt.Key.Key_Backspace)
    assert len(lines(around)[0]) < longer
    mouse.key(Qt.Key.Key_Escape)
    assert lines(around) == []
    mouse.key(Qt.Key.Key_Return)
    assert not painted(around).any()
    assert around.annotate.tools["live_wire"].isChecked()


def test_line_follows_the_edge_between_clicks(wire, mouse):
    mouse.click(rim(0))
    mouse.move(rim(70))
    line = lines(wire)[0]
    away = np.hypot(*(line - (100, 128)).T)
    assert len(line) > 5
    assert np.abs(away - 60).max() < 4


@pytest.mark.parametrize("way", ["enter", "double click"])
def test_live_wire_with_alt_cuts_a_hole(around, mouse, disc, way):
    layer = around.session.layers.mask
    around.annotate.choose("fill")
    mouse.click((200, 80))
    assert painted(around)[disc].all()
    around.annotate.choose("live_wire")
    for degrees in (0, 90, 180, 270):
        mouse.click(rim(degrees))
    if way == "enter":
        mouse.key(Qt.Key.Key_Return, ALT)
    else:
        mouse.double_click(rim(300), ALT)
    assert painted(around)[disc].mean() < 0.05
    assert painted(around)[:, 60].all()
    assert layer.selected_label == 2


def test_line_disappears_with_another_tool(around, mouse):
    around.annotate.choose("brush")
    assert lines(around) == []
    mouse.key(Qt.Key.Key_Return)
    assert not painted(around).any()


def test_drag_pans_without_ending_the_line(wire, mouse, viewer, disc):
    for degrees in (0, 90):
        mouse.click(rim(degrees))
    before = viewer.scene.camera.center
    mouse.drag((100, 128), (110, 140), (115, 145))
    assert viewer.scene.camera.center != before
    mouse.hold(Qt.Key.Key_Space, True)
    mouse.drag((100, 128), (104, 130), (106, 132))
    mouse.hold(Qt.Key.Key_Space, False)
    for degrees in (180, 270):
        mouse.move(rim(degrees))
        mouse.click(rim(degrees))
    mouse.key(Qt.Key.Key_Return)
    found = painted(wire)
    assert (found & disc).sum() / (found | disc).sum() > 0.9


def test_line_follows_the_models_probability(wire, mouse, qtbot):
    rows, columns = np.mgrid[:256, :256]
    other = np.where((rows - 100) ** 2 + (columns - 128) ** 2 < 45**2, np.uint8(240), np.uint8(10))
    wire.session.layers.probability.data[:] = other
    wire.session.training.run_changed.emit()
    for degrees in (0, 90, 180, 270):
        mouse.click(rim(degrees, away=-14))
    mouse.key(Qt.Key.Key_Return)
    area = painted(wire).sum()
    assert area == pytest.approx(np.pi * 45**2, rel=0.05)


@pytest.mark.parametrize("zoom", [1, 15])
def test_line_has_no_gap_at_its_points(wire, mouse, viewer, qtbot, zoom):
    viewer.scene.camera.center = (100, 188)
    viewer.scene.camera.zoom *= zoom
    qtbot.wait(20)
    contours = wire.session.layers.contours
    for away in (-5, 0, 4, 4.2, 4.2, -5, 8):
        mouse.move((100 + away, 188))
        mouse.click((100 + away, 188))
        mouse.move((100 + away + 0.2, 188))
        assert np.isfinite(contours._data_view._mesh.vertices).all()
    assert len(lines(wire)) == 1
    assert (np.abs(np.diff(lines(wire)[0], axis=0)).max(axis=1) > 0).all()
