"""A project locked by another process, in the window."""

import signal
import time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import paint
from napari_pathseg.projects.exporting.export import ExportOptions
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges
from napari_pathseg.storage import lock
from napari_pathseg.storage.lock import LeaseTiming
from napari_pathseg.ui.panels.header import ReadOnlyBanner
from napari_pathseg.ui.session.next_step import next_step
from napari_pathseg.ui.session.session import Session


@pytest.fixture
def looking(holder, learnable_from, project):
    """A session on the project that the other process holds."""
    return learnable_from(project)


@pytest.fixture
def learnable_from(worker):
    """Return a function that opens a project in a session with a worker; the test closes it."""
    made = []

    def begin(project):
        session = Session(ViewerModel(), worker)
        made.append(session)
        session.open_project(project.folder)
        return session

    yield begin
    for session in made:
        session.close()


def ask(process, order):
    process.stdin.write(f"{order}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def files_of(project):
    return {path: path.stat().st_mtime_ns for path in project.folder.rglob("*") if path.is_file()}


def dab(session):
    """Paint a dab of class 1 with napari's own brush."""
    layer = session.layers.mask
    layer.brush_size = 10
    layer.mode = "paint"
    layer.paint((100, 100), 1)
    layer.events.paint(value=[])


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_held_project_is_shown_and_names_its_holder(looking, holder):
    assert looking.read_only.startswith("open in the window of ")
    assert looking.slide.id == "case0"
    assert looking.counts("case0")[2, Provenance.IMPORTED] == 6400
    labels, _ = looking.mask.read(Region(0, 0, 192, 192))
    assert np.count_nonzero(labels == 2) == 6400
    assert next_step(looking).action == "export"


def test_held_project_stays_unchanged_while_it_is_viewed(looking, project, tmp_path):
    before = {path: beat for path, beat in files_of(project).items() if ".lock" not in path.name}
    for slide in project.slides:
        looking.show_slide(slide)
    looking.export(tmp_path / "out", ExportOptions(format="geojson"))
    looking.poll_lock()
    looking.close()
    assert {path: beat for path, beat in files_of(project).items() if ".lock" not in path.name} == before
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_slide_without_mask_is_shown_empty_and_no_mask_is_created(looking, project):
    looking.show_slide("case5")
    assert not looking.mask.read(Region(0, 0, 192, 192))[0].any()
    assert not project.mask_path("case5").exists()


def test_brush_does_not_paint_on_a_read_only_mask(looking, project):
    assert not looking.layers.mask.editable
    assert not looking.layers.contours.editable
    looking.layers.mask.mode = "paint"
    assert str(looking.layers.mask.mode) == "pan_zoom"
    looking.show_slide("case1")
    assert not looking.layers.mask.editable


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.training.train(TrainConfig()),
        lambda session: session.training.predict(["case0"]),
        lambda session: session.change_slides(["case0"], SlideChanges(role="test")),
        lambda session: session.editor.set_complete(False),
        lambda session: session.change_classes(session.require_project().classes.add("Necrosis")),
        lambda session: session.add_slides([]),
    ],
    ids=["train", "predict", "role", "complete", "classes", "add"],
)
def test_edits_of_a_held_project_are_refused_naming_its_holder(looking, change):
    with pytest.raises(ProjectError, match="open in the window of "):
        change(looking)
    assert not looking.training.active


def test_window_becomes_writable_once_the_holder_was_killed(looking, holder, project):
    kill(holder)
    looking.poll_lock()
    assert looking.read_only == ""
    dab(looking)
    looking.close()
    assert project.counts("case0")[1, Provenance.DRAWN] + project.counts("case0")[1, Provenance.CORRECTED] > 0


def test_changes_of_the_holder_are_shown_once_it_has_left(looking, holder):
    ask(holder, "change")
    ask(holder, "release")
    heard = []
    looking.project_changed.connect(lambda: heard.append(looking.read_only))
    looking.poll_lock()
    assert heard[-1:] == [""]
    assert looking.require_project().slide("case0").patient == "Smith"
    assert looking.slide.patient == "Smith"


def test_banner_disappears_when_the_holder_leaves(looking, holder, qtbot):
    banner = ReadOnlyBanner(looking)
    qtbot.addWidget(banner)
    banner.show()
    assert "Read-only:" in banner.text.text()
    assert "open in the window of " in banner.text.text()
    banner.button.click()
    assert banner.isVisible()
    kill(holder)
    banner.button.click()
    assert not banner.isVisible()


def test_banner_retries_the_lock_automatically(looking, holder, qtbot):
    banner = ReadOnlyBanner(looking)
    qtbot.addWidget(banner)
    banner.show()
    kill(holder)
    qtbot.waitUntil(lambda: not banner.isVisible())
    assert looking.read_only == ""


def test_window_that_lost_its_project_becomes_read_only_and_writes_nothing(learnable_from, project, monkeypatch):
    monkeypatch.setattr(lock, "LEASE_TIMING", LeaseTiming(heartbeat_s=1.0, stale_s=0.1))
    session = learnable_from(project)
    dab(session)
    time.sleep(0.2)
    taker = Project.open(project.folder)
    taker.acquire_lock("the other window")
    try:
        with taker.open_mask("case0") as mask:  # with the stroke, from the journal
            assert mask.counts[1, Provenance.DRAWN] + mask.counts[1, Provenance.CORRECTED] > 0
            paint(mask, Region(0, 0, 192, 192), np.full((192, 192), 2, np.uint8))
        until = time.monotonic() + 10
        while not session.require_project().lock.lost_to and time.monotonic() < until:
            time.sleep(0.05)
        with pytest.raises(ProjectError, match="was taken over by the other window"):
            session.change_slides(["case0"], SlideChanges(role="test"))
        session.poll_lock()
        assert session.read_only.startswith("taken over by the other window of ")
        assert not session.layers.mask.editable
        session.close()
        assert taker.counts("case0")[2].sum() == 192 * 192
    finally:
        taker.release_lock()


def test_dock_of_a_read_only_project_enables_only_viewing(holder, dock, project, qtbot):
    dock.session.open_project(project.folder)
    qtbot.wait(400)  # throttled updates have run
    changing = [dock.slides.add_button, dock.slides.import_button, dock.train.button, dock.annotate.tools["brush"]]
    changing += [dock.annotate.complete, dock.annotate.undo, dock.review.accept, dock.review.predict_all]
    looking = [dock.annotate.tools["pan"], dock.review.opacity, dock.export.button, dock.header.project]
    assert dock.header.banner.isVisible()
    assert [widget.isEnabled() for widget in changing] == [False] * len(changing)
    assert [widget.isEnabled() for widget in looking] == [True] * len(looking)
    kill(holder)
    dock.header.banner.button.click()
    qtbot.wait(400)
    assert not dock.header.banner.isVisible()
    assert dock.slides.add_button.isEnabled()
    assert dock.annotate.tools["brush"].isEnabled()
    assert dock.train.button.isEnabled()
