"""A window with the dock and small slides, for the tests of the window."""

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from psygnal import Signal
from qtpy.QtCore import QSettings

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
def worker():
    return FakeWorker()


@pytest.fixture
def learnable(worker, project):
    """A session with a project that can be learnt from, and a worker that records."""
    session = Session(ViewerModel(), worker)
    session.open_project(project.folder)
    yield session
    session.close()


@pytest.fixture
def session():
    """A session without a window, for what needs no worker."""
    session = Session(ViewerModel(), FakeWorker(silent=True))
    yield session
    session.close()


@pytest.fixture(autouse=True)
def own_settings(tmp_path):
    """Keep the list of recent projects of whoever runs the tests out of them."""
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture
def slide_folder(tmp_path):
    """Four pictures, pink with a dark disc that is the tumour, and a mask of the disc for each."""
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


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def dock(viewer):
    from napari_pathseg.ui.dock import PathsegDock

    dock = PathsegDock(viewer)
    viewer.window.add_dock_widget(dock, name="PathSeg", area="right")
    yield dock
    dock.shutdown()


@pytest.fixture
def pictures(slide_folder):
    return sorted(slide_folder.glob("*.png"))
