"""A window with the dock and small slides, for the tests of the window."""

import gc

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from PIL import Image
from psygnal import Signal
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPoint, QPointF, QSettings, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pathseg.engine.events import Event
from napari_pathseg.ui.session.session import Session


class FakeWorker:
    """A worker without a process: it records what it is sent, or fails the test if it must not be sent anything."""

    event = Signal(Event)
    died = Signal(str)

    def __init__(self, *, silent=False):
        self.sent, self._silent = [], silent

    def start(self):
        pass

    def close(self):
        pass

    def send(self, command):
        assert not self._silent, command
        self.sent.append(command)


class PatientBot(QtBot):
    """A qtbot whose waits end when what they wait for is so, on a machine however busy; never means four minutes."""

    def waitUntil(self, callback):
        super().waitUntil(callback, timeout=240_000)


@pytest.fixture
def qtbot(qapp, request):
    return PatientBot(request)


@pytest.fixture
def make_worker():
    return FakeWorker


@pytest.fixture
def real_worker():
    """Let the dock start a worker process; importing torch in it costs seconds of each test."""


@pytest.fixture(autouse=True)
def no_worker_process(request, monkeypatch, make_worker):
    """Give the dock a worker that only records its commands, unless the test uses `real_worker`."""
    if "real_worker" not in request.fixturenames:
        monkeypatch.setattr("napari_pathseg.ui.dock.WorkerProcess", make_worker)


@pytest.fixture
def beside():
    """Let files be imported beside the window, as they are outside tests."""


@pytest.fixture(autouse=True)
def imports_at_once(request, monkeypatch):
    """Let the window wait for the files that it imports, unless the test uses `beside`."""
    if "beside" not in request.fixturenames:
        monkeypatch.setattr("napari_pathseg.ui.session.background.AT_ONCE_S", 60)


@pytest.fixture
def worker():
    return FakeWorker()


@pytest.fixture
def learnable(worker, project):
    """A session with a project ready for training, and a worker that records its commands."""
    session = Session(ViewerModel(), worker)
    session.open_project(project.folder)
    yield session
    session.close()


@pytest.fixture
def followed(learnable):
    """Such a session with a slide in view that nothing is drawn on, and a live model that has just been started."""
    learnable.show_slide("case5")
    learnable.live.redraw_wanted.connect(lambda _: learnable.live.redraw())
    learnable.live.follow()
    return learnable


@pytest.fixture
def messages(learnable):
    """What `learnable` says to the user."""
    messages = []
    learnable.message.connect(lambda text, *_: messages.append(text))
    return messages


@pytest.fixture
def session():
    """A session without a window, for tests that need no worker."""
    session = Session(ViewerModel(), FakeWorker(silent=True))
    yield session
    session.close()


@pytest.fixture(autouse=True)
def own_settings(tmp_path):
    """Isolate the user's settings: the list of recent projects starts empty."""
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture
def slide_folder(tmp_path):
    """Four slides, pink with a dark disc that is the tumour, and a mask of the disc for each."""
    folder, masks = tmp_path / "liver", tmp_path / "masks"
    folder.mkdir()
    masks.mkdir()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:256, :256]
    for number in range(4):
        inside = (rows - 100 - 10 * number) ** 2 + (columns - 128) ** 2 < 60**2
        pixels = np.where(inside[..., None], (120, 60, 140), (230, 180, 210)) + rng.normal(0, 12, (256, 256, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"case{number}.png")
        Image.fromarray(np.where(inside, np.uint8(255), np.uint8(0))).save(masks / f"case{number}.png")
    return folder


@pytest.fixture
def mask_folder(slide_folder):
    return slide_folder.parent / "masks"


@pytest.fixture(scope="session", autouse=True)
def fast_garbage_collection():
    """Exempt what is imported from collections: napari collects all garbage whenever a layer is removed."""
    import napari_pathseg.ui.dock  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def plugins_found_once():
    """Let napari parse the manifests of the installed plugins once, instead of for each window."""
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(scope="session", autouse=True)
def napari_settings_stay_in_memory():
    """Keep napari from writing its settings file, the user's, at each of the changes that a new window makes."""
    get_settings()._save_on_change = False


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1089, 630)
    viewer.window._qt_viewer.canvas.native.setMinimumSize(374, 400)  # napari lets panels leave it no width
    return viewer


@pytest.fixture
def dock(viewer):
    from napari_pathseg.ui.dock import PathsegDock

    dock = PathsegDock(viewer)
    viewer.window.add_dock_widget(dock, name="PathSeg", area="right")
    yield dock
    dock.shutdown()


@pytest.fixture
def slide_files(slide_folder):
    return sorted(slide_folder.glob("*.png"))


LEFT, RIGHT, NO_BUTTON = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
PLAIN, ALT, SHIFT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
_APART_MS = 6  # napari drops moves that come faster than 5 ms after one another


class Mouse:
    """The mouse over the canvas of a viewer, and the keyboard below it."""

    def __init__(self, viewer):
        self._viewer = viewer
        self._canvas = viewer.window._qt_viewer.canvas.native

    def move(self, position, modifiers=PLAIN):
        self._send(QEvent.Type.MouseMove, position, NO_BUTTON, NO_BUTTON, modifiers)

    def drag(self, *positions, modifiers=PLAIN, release=True, button=LEFT):
        self.move(positions[0], modifiers)
        self._send(QEvent.Type.MouseButtonPress, positions[0], button, button, modifiers)
        for position in positions[1:]:
            QTest.qWait(_APART_MS)
            self._send(QEvent.Type.MouseMove, position, NO_BUTTON, button, modifiers)
        if release:
            self.release(positions[-1], modifiers, button)

    def release(self, position, modifiers=PLAIN, button=LEFT):
        self._send(QEvent.Type.MouseButtonRelease, position, button, NO_BUTTON, modifiers)

    def click(self, position, modifiers=PLAIN):
        self.drag(position, modifiers=modifiers)

    def double_click(self, position, modifiers=PLAIN):
        self.click(position, modifiers)
        self._send(QEvent.Type.MouseButtonDblClick, position, LEFT, LEFT, modifiers)
        self.release(position, modifiers)

    def wheel(self, position, steps, modifiers=PLAIN):
        point = self._point(position)
        event = QWheelEvent(
            QPointF(point),
            QPointF(self._canvas.mapToGlobal(point)),
            QPoint(0, 0),
            QPoint(0, 120 * steps),
            NO_BUTTON,
            modifiers,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self._canvas, event)
        QApplication.processEvents()

    def key(self, key, modifiers=PLAIN):
        self._canvas.setFocus()
        QTest.keyClick(self._canvas, key, modifiers)
        QApplication.processEvents()

    def hold(self, key, held):
        self._canvas.setFocus()
        (QTest.keyPress if held else QTest.keyRelease)(self._canvas, key)
        QApplication.processEvents()

    def _point(self, position):
        away = np.asarray(position) - np.asarray(self._viewer.scene.camera.center[-2:])
        row, column = away * self._viewer.scene.camera.zoom
        return QPoint(round(self._canvas.width() / 2 + column), round(self._canvas.height() / 2 + row))

    def _send(self, kind, position, button, held, modifiers):
        point = self._point(position)
        place = QPointF(self._canvas.mapToGlobal(point))
        QApplication.sendEvent(self._canvas, QMouseEvent(kind, QPointF(point), place, button, held, modifiers))
        QApplication.processEvents()


@pytest.fixture
def opened(dock, slide_files, qtbot):
    """A dock with four slides, the first shown: pink with a dark disc around (100, 128)."""
    dock.slides.file_drop.add_files(slide_files)
    qtbot.waitUntil(lambda: dock.session.slide is not None)
    dock.annotate.classes.select(2)
    QApplication.processEvents()
    return dock


@pytest.fixture
def mouse(opened, viewer):
    return Mouse(viewer)


@pytest.fixture
def disc():
    """Where the dark disc of the first slide is."""
    rows, columns = np.mgrid[:256, :256]
    return (rows - 100) ** 2 + (columns - 128) ** 2 < 60**2


@pytest.fixture
def notifications():
    """The messages of the window's notifications."""
    notifications = []

    def hear(one):
        notifications.append(one.message)

    notification_manager.notification_ready.connect(hear)
    yield notifications
    notification_manager.notification_ready.disconnect(hear)
