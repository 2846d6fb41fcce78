"""A project that is renamed, deleted, copied or unmounted while the window has it open."""

import shutil
import subprocess
from functools import partial

import pytest
from napari.components import ViewerModel

from napari_pathseg.errors import ProjectError
from napari_pathseg.masks import Provenance
from napari_pathseg.projects.project import Project
from napari_pathseg.storage import lock
from napari_pathseg.storage.lock import LeaseTiming
from napari_pathseg.ui.session.session import Session

STILL_DRAWN = Provenance.CORRECTED, Provenance.DRAWN


@pytest.fixture
def opened(worker, project, monkeypatch):
    """A session on the project with quick heartbeats, and what it says."""
    monkeypatch.setattr(lock, "LEASE_TIMING", LeaseTiming(heartbeat_s=0.05, stale_s=30))
    session, said = Session(ViewerModel(), worker), []
    session.message.connect(lambda text, _details, kind: said.append((kind, text)))
    session.open_project(project.folder)
    yield session, said
    session.close()


def dab(session, place):
    layer = session.layers.mask
    layer.brush_size = 10
    layer.mode = "paint"
    layer.paint(place, 1)
    layer.events.paint(value=[])


def poll_until_closed(session, qtbot):
    def closed():
        session.poll_lock()
        return session.project is None

    qtbot.waitUntil(closed)


def drawn(folder):
    """Return how many pixels of class 1 a person has drawn on the first slide."""
    project = Project.open(folder)  # recovers the strokes
    return int(project.counts("case0")[1, list(STILL_DRAWN)].sum())


def test_renamed_project_is_closed_with_a_sentence_and_has_what_was_drawn(opened, project, qtbot):
    session, said = opened
    dab(session, (100, 100))
    after = project.folder.with_name("after.pathseg")
    project.folder.rename(after)
    dab(session, (10, 10))
    poll_until_closed(session, qtbot)
    gone = (
        f"{project.folder} is gone: it was moved, renamed or deleted, or its disk was removed. What you drew before is"
    )
    assert [kind for kind, text in said if text.startswith(gone)] == ["error"]
    assert not project.folder.exists()
    session.open_project(after)
    assert session.read_only == ""
    assert session.counts("case0")[1, list(STILL_DRAWN)].sum() > 100
    assert session.counts("case0")[2, Provenance.IMPORTED] > 6000


def test_saving_a_deleted_project_says_that_it_is_gone_and_makes_nothing_anew(opened, project, qtbot):
    session, said = opened
    dab(session, (100, 100))
    shutil.rmtree(project.folder)
    with pytest.raises(ProjectError, match="is gone: it was moved, renamed or deleted"):
        session.save_mask()
    poll_until_closed(session, qtbot)
    assert any("is gone" in text for _, text in said)
    assert not project.folder.exists()


def test_copy_of_an_open_project_can_be_changed_once_the_lock_in_it_is_old(opened, project, tmp_path, worker):
    session, _ = opened
    dab(session, (100, 100))
    copy = shutil.copytree(project.folder, tmp_path / "copy.pathseg")
    other = Session(ViewerModel(), worker)
    other.open_project(copy)
    assert other.read_only.startswith("open in the window of ")
    for path in copy.glob(".lock-*"):
        lock.os.utime(path, (0, 0))  # half a minute later
    other.poll_lock()
    assert other.read_only == ""
    assert other.counts("case0")[1, list(STILL_DRAWN)].sum() > 0
    other.close()
    dab(session, (10, 10))
    session.save_mask()
    assert session.read_only == ""


@pytest.fixture
def mounted(project, tmp_path):
    """Mount a copy of the project as a disk of its own; yield its folder and what takes the disk out or puts it in."""
    disk, place = tmp_path / "disk", tmp_path / "usb"
    place.mkdir()
    shutil.copytree(project.folder.parent, disk)

    def mount(*options: str) -> None:
        subprocess.run(["mount", *options], check=True, capture_output=True)

    try:
        mount("--bind", str(disk), str(place))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount")
    yield place / project.folder.name, partial(mount, "--bind", str(disk), str(place)), partial(unmount, place)
    unmount(place)


def unmount(place):
    """Take a disk out as a person does who does not ask: whatever is open on it stays open."""
    subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)


def test_project_on_a_disk_that_was_unmounted_is_closed_and_comes_back_with_it(worker, mounted, monkeypatch, qtbot):
    monkeypatch.setattr(lock, "LEASE_TIMING", LeaseTiming(heartbeat_s=0.05, stale_s=30))
    folder, mount, unmount = mounted
    session, said = Session(ViewerModel(), worker), []
    session.message.connect(lambda text, _details, kind: said.append((kind, text)))
    session.open_project(folder)
    dab(session, (100, 100))
    unmount()
    dab(session, (10, 10))
    poll_until_closed(session, qtbot)
    assert [kind for kind, text in said if "is gone: it was moved, renamed or deleted, or its disk" in text] == [
        "error"
    ]
    assert list(folder.parent.iterdir()) == []
    mount()
    session.open_project(folder)
    assert session.read_only == ""
    assert session.counts("case0")[1, list(STILL_DRAWN)].sum() > 100
    assert session.counts("case0")[2, Provenance.IMPORTED] > 6000
    session.close()
