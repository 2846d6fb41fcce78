"""The live service of the worker: beside nothing, beside a job, and when it fails."""

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from worker_child import TINY, Child

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.events import LiveFilled, LiveKept, LiveStatus, LiveTile, Note, Progress, Stop
from napari_pathseg.engine.live.live_model import LiveModel
from napari_pathseg.engine.live.packed import pack, unpack
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.jobs import live
from napari_pathseg.jobs.live import LiveService
from napari_pathseg.jobs.protocol import (
    FillLive,
    KeepLive,
    ShowLive,
    StartLive,
    StopLive,
    Train,
    TrainingFinished,
    UpdateLive,
)

WHOLE = Region(0, 0, 192, 192)
STROKE = Region(10, 10, 20, 60)


def stroke(label):
    """Return an update after a stroke."""
    pixels = np.empty((2, STROKE.height, STROKE.width), np.uint8)
    pixels[0], pixels[1] = label, 4
    return UpdateLive("case1", STROKE, pack(pixels))


class Heard(list):
    """The events of a service."""

    def of(self, kind):
        return [event for event in self if isinstance(event, kind)]


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def service(heard):
    service = LiveService(heard.append)
    yield service
    service.close()


@pytest.fixture
def started(service, project):
    service.take(StartLive(project=str(project.folder)))
    service.take(ShowLive("case5", WHOLE))
    return service


def rest(service):
    """Let a service work until it has nothing to do."""
    while not service.idle:
        service.work()


def test_it_finds_what_the_outlines_of_other_slides_show(started, heard, project):
    rest(started)
    assert heard.of(LiveStatus)[-1].ready
    found = np.zeros((2, 192, 192), np.uint8)
    for tile in heard.of(LiveTile):
        assert tile.slide == "case5"
        found[:, *tile.region.slices] = unpack(tile.pixels, (2, tile.region.height, tile.region.width))
    with project.open_slide("case5") as slide:
        dark = slide.read_grid(WHOLE, 1).mean(axis=-1) < 150
    assert ((found[1] > 127) == dark).mean() > 0.9
    heard.clear()
    assert started.idle
    started.take(stroke(2))
    assert not started.idle
    rest(started)
    assert heard.of(LiveStatus)[-1].fit > 1


def test_while_strokes_follow_one_another_the_window_has_most_of_the_time(started, heard):
    rest(started)
    before = heard.of(LiveStatus)[-1].fit
    started.take(stroke(1))
    started.work()
    assert started.pause_s == 0  # the first stroke is answered at once
    started.take(stroke(2))
    started.work()
    assert 0 < started.pause_s < 1
    assert torch.get_num_threads() == 1
    rest(started)
    assert heard.of(LiveStatus)[-1].fit > before


def test_it_fills_what_it_is_asked_for_and_ends_when_it_is_told(started, heard):
    rest(started)
    started.take(FillLive("case5", WHOLE))
    rest(started)
    filled = heard.of(LiveFilled)
    assert [event.last for event in filled] == [False] * (len(filled) - 1) + [True]
    assert sum(event.region.height * event.region.width for event in filled) == 192 * 192
    assert filled[-1].share == 1
    heard.clear()
    started.take(FillLive("case5", WHOLE))
    started.take(FillLive("case5", EMPTY_REGION))
    rest(started)
    assert heard.of(LiveFilled) == []


def test_it_does_nothing_unless_it_was_started_and_once_it_was_stopped(service, heard, project):
    service.take(stroke(1))
    service.take(ShowLive("case5", WHOLE))
    assert service.idle
    service.take(StartLive(project=str(project.folder)))
    assert not service.idle
    service.take(StopLive())
    assert service.idle
    service.work()
    assert heard == []


def test_project_that_is_gone_is_reported_as_a_sentence(service, heard, tmp_path):
    service.take(StartLive(project=str(tmp_path)))
    (status,) = heard
    assert (status.ready, status.warning) == (False, True)
    assert "is not a project" in status.text
    assert service.idle


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ProjectError("The slide is gone."), "The slide is gone."),
        (ValueError("odd"), "Live rests because of an unexpected error (ValueError: odd). Switch it off and on"),
    ],
)
def test_failure_is_reported_once_and_it_rests_until_it_is_started_again(
    started, heard, project, monkeypatch, error, text
):
    def fail(self, *, background, gentle):
        raise error
        yield

    with monkeypatch.context() as patch:
        patch.setattr(LiveModel, "work", fail)
        started.work()
    (status,) = heard
    assert status.text.startswith(text)
    assert status.warning
    assert started.idle
    started.take(stroke(1))
    assert started.idle
    started.take(StartLive(project=str(project.folder)))
    rest(started)
    assert heard.of(LiveStatus)[-1].ready


def test_note_of_the_model_is_part_of_its_status(started, heard, monkeypatch):
    rest(started)
    monkeypatch.setattr(LiveModel, "work", lambda self, **_: iter([Note("No space left.", warning=True)]))
    before = heard.of(LiveStatus)[-1]
    started.work()
    assert heard[-1] == LiveStatus(
        before.ready, "No space left.", before.fit, before.seconds, before.encoded, before.wanted, warning=True
    )


def test_it_leaves_a_job_most_of_the_time(started, monkeypatch):
    clock = SimpleNamespace(now=time.monotonic(), monotonic=lambda: clock.now)

    def slow(self, *, background, gentle):
        assert not background
        clock.now += 0.02
        yield LiveStatus(ready=False)

    monkeypatch.setattr(live, "time", clock)
    monkeypatch.setattr(LiveModel, "work", slow)
    taken, begin = 0.0, clock.now
    while clock.now - begin < 20:
        clock.now += 0.01  # the job
        start = clock.now
        started.work_beside_job()
        taken += clock.now - start
    assert 0.2 < taken / (clock.now - begin) < 0.3


def test_stroke_is_answered_while_a_training_runs_which_ends_well(worker, project):
    worker.send(StartLive(project=str(project.folder)))
    worker.send(ShowLive("case5", WHOLE))
    worker.events_until(LiveTile)
    worker.send(Train(project=str(project.folder), config=TINY.replace(steps=100_000, minutes=10)))
    while not worker.events_until(Progress)[-1].step:
        pass
    worker.send(stroke(2))
    fit = worker.events_until(LiveStatus)[-1].fit
    assert fit > 0
    worker.send(Stop())
    assert worker.events_until(TrainingFinished)[-1].model == "m001"
    worker.send(stroke(1))
    while worker.events_until(LiveStatus)[-1].fit <= fit:
        pass


def test_model_is_kept_once_nothing_else_waits_and_the_next_time_it_is_there(started, heard, project, monkeypatch):
    monkeypatch.setattr(live, "_HOLD_S", 0.0)
    rest(started)
    started.take(KeepLive())
    assert not started.idle
    rest(started)
    assert heard.of(LiveKept) == [LiveKept()]
    made = load_bundle(project.folder / "models" / "live")
    started.take(KeepLive())
    rest(started)
    assert len(heard.of(LiveKept)) == 2
    assert load_bundle(project.folder / "models" / "live") == made


def test_stroke_comes_before_a_model_to_keep(started, heard, monkeypatch):
    monkeypatch.setattr(live, "_HOLD_S", 0.0)
    rest(started)
    fit = heard.of(LiveStatus)[-1].fit
    started.take(KeepLive())
    started.take(stroke(2))
    while heard.of(LiveStatus)[-1].fit == fit:
        assert heard.of(LiveKept) == []
        started.work()
    rest(started)
    assert heard.of(LiveKept)


def test_model_to_keep_makes_way_for_a_job_and_is_begun_again_after_it(started, heard, project, monkeypatch):
    monkeypatch.setattr(live, "_HOLD_S", 0.0)
    rest(started)
    started.take(KeepLive())
    for _ in range(4):
        started.work()
    started.make_way()
    for _ in range(4):
        started.work_beside_job()
    assert not (project.folder / "models" / "live").exists()
    rest(started)
    assert heard.of(LiveKept)
    assert os.listdir(project.folder / "models") == ["live"]


def test_without_a_live_model_or_enough_to_learn_nothing_is_kept(service, started, heard, project, monkeypatch):
    monkeypatch.setattr(live, "_HOLD_S", 0.0)
    assert started.keep() is None  # it has not fitted yet
    rest(started)
    for slide in project.slides:
        project.update_slide(slide, role="test")
    started.take(KeepLive())
    rest(started)
    assert heard.of(LiveKept) == []
    assert not any(status.warning for status in heard.of(LiveStatus))
    assert os.listdir(project.folder / "models") == []


def test_failure_of_the_live_model_does_not_keep_a_job_from_running(worker, project):
    worker.send(StartLive(project=str(project.folder)))
    worker.send(UpdateLive("case5", WHOLE, "no pixels"))
    status = worker.events_until(LiveStatus)[-1]
    while not status.warning:
        status = worker.events_until(LiveStatus)[-1]
    assert "The pixels cannot be unpacked" in status.text
    worker.send(Train(project=str(project.folder), config=TINY))
    worker.events_until(TrainingFinished)


def test_worker_with_a_live_model_ends_with_its_input(project):
    child = Child()
    child.send(StartLive(project=str(project.folder)))
    child.send(ShowLive("case5", WHOLE))
    child.events_until(LiveTile)
    child.process.stdin.close()
    assert child.process.wait(timeout=240) == 0
