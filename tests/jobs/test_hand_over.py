"""A training beside the live model: the live model answers for the view until the network is better."""

import json
from dataclasses import asdict, replace

import pytest
from bundle_helpers import make_bundle
from worker_child import TINY

from napari_pathseg.engine.events import (
    KEEPING,
    LiveCompared,
    LiveKept,
    PreviewReady,
    Progress,
    RequestPreview,
    Started,
    Stop,
    Validated,
)
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs import hand_over
from napari_pathseg.jobs.hand_over import train_beside_live
from napari_pathseg.jobs.live import LiveService
from napari_pathseg.jobs.protocol import KeepLive, ShowLive, StartLive, StopLive, Train, TrainingFinished

WHOLE = Region(0, 0, 192, 192)
VIEW = RequestPreview("case5", WHOLE)
POOR, GOOD = (Validated(1, 1.0, 0.5, {}, dice, best=True, tiles=1) for dice in (0.5, 0.9999))
BUNDLE = replace(make_bundle("m001"), mean_dice=0.5, scored_tiles=1, held_out_tiles=1)


@pytest.fixture
def live(project):
    """A live model that has found something."""
    service = LiveService(lambda _: None)
    service.take(StartLive(project=str(project.folder)))
    service.take(ShowLive("case5", WHOLE))
    while not service.idle:
        service.work()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A training that waits for the live model however busy the computer is."""
    monkeypatch.setattr(hand_over, "_LONGEST_S", 300.0)


class Training:
    """A training that reports given events, and remembers what it is told."""

    def __init__(self, project, *events, val=("case4",)):
        self._run, self._val, self._events = project.folder / "runs" / "r001", list(val), events
        self.told = []

    def job(self):
        self._run.mkdir()
        stored = {"parent": None, "network": asdict(BUNDLE.network), "config": {}, "classes": [], "train": []}
        (self._run / "config.json").write_text(json.dumps({**stored, "val": self._val, "held_out": {}}))
        for event in (Started("r001", "m001", None, [], self._val), *self._events):
            self.told.append((yield event))
        return BUNDLE


def follow(job, commands=None):
    """Run a job; return its events and its result.  `commands` are the answers to events by their type."""
    answers, events, command = dict(commands or {}), [], None
    while True:
        try:
            event = job.send(command)
        except StopIteration as end:
            return events, end.value
        events.append(event)
        command = answers.pop(type(event), None)


def compared(events):
    return [event for event in events if isinstance(event, LiveCompared)]


def test_live_model_is_kept_first_and_leads_until_a_validation_is_better(project, live):
    training = Training(project, POOR, GOOD, POOR)
    events, (bundle, live_dice) = follow(train_beside_live(training.job(), project, live))
    assert next(event.stage for event in events if isinstance(event, Progress)) == KEEPING
    first, last = compared(events)
    assert 0.9 < first.live_dice < 0.9999
    assert (first.dice, first.leads) == (None, True)
    assert last == LiveCompared(first.live_dice, 0.9999, leads=False)
    assert events[events.index(last) - 1] is GOOD
    assert (bundle, live_dice) == (BUNDLE, first.live_dice)


def test_view_waits_until_the_network_is_better(project, live):
    training = Training(project, POOR, GOOD, POOR)
    follow(train_beside_live(training.job(), project, live), {Progress: VIEW})
    assert training.told == [None, None, VIEW, None]


def test_last_view_is_the_one_that_is_answered(project, live):
    training = Training(project, POOR, GOOD)
    other = replace(VIEW, slide="case1")
    follow(train_beside_live(training.job(), project, live), {Progress: VIEW, Validated: other})
    assert training.told == [None, None, other]


def test_stop_is_passed_on_at_once(project, live):
    training = Training(project, POOR, GOOD)
    follow(train_beside_live(training.job(), project, live), {Validated: Stop()})
    assert training.told == [None, Stop(), None]


def test_training_that_is_stopped_while_the_live_model_is_kept_does_not_wait_for_it(project, live):
    training = Training(project, POOR)
    events, _ = follow(train_beside_live(training.job(), project, live), {Progress: Stop(now=True)})
    assert training.told[0] == Stop(now=True)
    assert compared(events) == []
    assert not (project.folder / "models" / "live").exists()


@pytest.mark.parametrize("why", ["other slides", "too slow", "no live model"])
def test_training_that_does_not_compare_answers_for_the_view_from_the_beginning(project, live, monkeypatch, why):
    val = ["case3"] if why == "other slides" else ["case4"]
    if why == "too slow":
        monkeypatch.setattr(hand_over, "_LONGEST_S", -1.0)
    if why == "no live model":
        live.take(StopLive())
    training = Training(project, POOR, val=val)
    events, (_, live_dice) = follow(train_beside_live(training.job(), project, live), {Started: VIEW})
    assert compared(events) == []
    assert training.told == [VIEW, None]
    assert live_dice is None


@pytest.mark.parametrize("when", ["at once", "later"])
def test_unexpected_error_of_the_live_model_does_not_end_the_training(project, live, monkeypatch, caplog, when):
    def fail():
        yield Progress(KEEPING, 0.0, 0.0)
        raise KeyError("an error of Live")

    def fail_at_once():
        raise OSError("an error of Live")

    monkeypatch.setattr(live, "keep", fail if when == "later" else fail_at_once)
    events, (bundle, live_dice) = follow(train_beside_live(Training(project, POOR).job(), project, live))
    assert (events[-1], bundle, live_dice) == (POOR, BUNDLE, None)
    assert "an error of Live" in caplog.text


def test_view_is_answered_once_live_is_switched_off(project, live):
    training = Training(project, POOR, POOR)
    job = train_beside_live(training.job(), project, live)
    while not isinstance(job.send(None), LiveCompared):
        pass
    live.take(StopLive())
    assert job.send(VIEW) is POOR
    assert job.send(None).leads is False
    follow(job)
    assert training.told == [None, VIEW, None]


def test_failure_of_a_training_is_its_own(project, live):
    def fail():
        raise NothingToLearnError("Nothing is drawn.")
        yield

    with pytest.raises(NothingToLearnError, match="Nothing is drawn"):
        follow(train_beside_live(fail(), project, live))


def test_worker_compares_a_real_training_and_shows_nothing_of_it_while_it_is_worse(worker, project):
    for name in project.slides:  # as the training would, so that what is held out does not change
        project.update_slide(name, role="val" if name == "case4" else "train")
    worker.send(StartLive(project=str(project.folder)))
    worker.send(ShowLive("case5", WHOLE))
    while not getattr(worker.events_until(object)[-1], "ready", False):
        pass
    worker.send(KeepLive())  # so that the training does not wait for it, however busy the computer is
    worker.events_until(LiveKept)
    worker.send(Train(project=str(project.folder), config=TINY, beside_live=True))
    worker.send(VIEW)
    events = worker.events_until(TrainingFinished)
    (news,) = compared(events)
    finished = events[-1]
    assert finished.mean_dice < finished.live_dice == news.live_dice
    assert not [event for event in events if isinstance(event, PreviewReady)]
