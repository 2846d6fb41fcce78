import pytest
from worker_child import TINY, Child

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.events import (
    Note,
    PreviewReady,
    Progress,
    RequestPreview,
    SlideDone,
    Started,
    Stop,
    TileDone,
    Trial,
    Validated,
)
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import (
    JobFailed,
    Predict,
    PredictionFinished,
    Train,
    TrainingFinished,
    Tune,
    TuningFinished,
    WorkerReady,
    to_line,
)


def test_training_reports_its_progress_and_previews_the_view(worker, project):
    worker.send(Train(project=str(project.folder), config=TINY))
    worker.send(RequestPreview("case5", Region(0, 0, 64, 64)))
    events = worker.events_until(TrainingFinished)
    assert {Started, Progress, Validated, PreviewReady} <= {type(event) for event in events}
    assert events[-1].model == "m001"
    assert (project.folder / "runs" / "r001" / "events.jsonl").exists()


def test_tuning_reports_each_trial_and_stops_on_request(worker, project):
    config = TINY.replace(steps=2, batch=2)
    worker.send(Tune(project=str(project.folder), vary=["seed=0,1,2"], config=config))
    events = worker.events_until(Trial)
    worker.send(Stop())
    events += worker.events_until(TuningFinished)
    trials = [event for event in events if isinstance(event, Trial)]
    assert (trials[0].number, trials[0].of, trials[0].settings) == (1, 3, {"seed": 0})
    assert len(events[-1].trials) < 3


def test_user_errors_come_back_as_a_sentence_and_the_worker_lives_on(worker, project, tmp_path):
    worker.send(Train(project=str(tmp_path), config=TINY))
    (failed,) = worker.events_until(JobFailed)
    assert "is not a project" in failed.text
    assert failed.details == ""
    worker.send(Train(project=str(project.folder), config=TINY.replace(steps=100_000, minutes=10)))
    while not worker.events_until(Progress)[-1].step:
        pass
    worker.send(Stop())
    model = worker.events_until(TrainingFinished)[-1].model
    assert load_bundle(project.folder / "models" / model).finished


def test_commands_that_cannot_be_read_do_not_end_the_worker(worker, project):
    worker.send_line('{"command": "dance"}')  # of a newer version: skipped
    worker.send_line('{"command": "train", "project": "a", "config": {"batch": -1}}')
    (failed,) = worker.events_until(JobFailed)
    assert failed.text.startswith("batch is -1; it must lie between")
    worker.send_line('{"command": "train", "config": {}}')
    (failed,) = worker.events_until(JobFailed)
    assert "lacks project" in failed.text
    assert "Traceback" in failed.details


GARBAGE = {
    "bytes": b"\xff\xfe\x00\x80\n",
    "half a line": b'{"command": "tr\n',
    "no object": b'[{"command": "stop"}]\n',
    "deep": b'{"command": ' + b"[" * 100_000 + b"\n",
    "huge line": b"x" * (17 << 20) + b"\n",
    "huge number": b'{"command": "show", "slide": "a", "region": [1e999, 0, 0, 0]}\n',
    "wrong type": b'{"command": "show", "slide": 5, "region": "abcd"}\n',
    "missing field": b'{"command": "superpixels"}\n',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_among_the_commands_is_answered_by_one_sentence_and_the_next_job_runs(worker, trained, garbage):
    project, _, _ = trained
    worker.send_bytes(garbage)
    (note,) = worker.events_until(Note)
    assert note.warning
    assert note.text.startswith("A line between the window and its worker could not be read and was skipped: ")
    assert "\n" not in note.text
    assert len(note.text) < 600
    worker.send(Predict(project=str(project.folder), model="m001", slides=["case4"]))
    worker.events_until(PredictionFinished)


def test_job_with_values_of_wrong_types_is_answered_as_failed(worker):
    worker.send_line('{"command": "predict", "project": 5, "model": "m001", "slides": []}')
    (failed,) = worker.events_until(JobFailed)
    assert "project of a message predict cannot be read: expected str, got int." in failed.text


def test_command_that_arrives_in_pieces_is_understood(worker, trained):
    project, _, _ = trained
    line = to_line(Predict(project=str(project.folder), model="m001", slides=["case4"])).encode() + b"\n"
    for start in range(0, len(line), 50):
        worker.send_bytes(line[start : start + 50])
    worker.events_until(PredictionFinished)


def test_prediction_leaves_the_masks_to_the_window(worker, trained):
    project, _, _ = trained
    before = project.counts("case4")
    worker.send(Predict(project=str(project.folder), model="m001", slides=["case4"]))
    events = worker.events_until(PredictionFinished)
    assert [event.slide for event in events if isinstance(event, SlideDone)] == ["case4"]
    assert project.find_prediction("m001", "case4") is not None
    assert (project.counts("case4") == before).all()


def test_stop_does_not_wait_behind_requests_to_follow_the_view(worker, trained):
    project, _, _ = trained
    config = PredictConfig(tile=64, tta=8)
    worker.send(Predict(project=str(project.folder), model="m001", slides=["case3", "case2"], config=config))
    for row in range(50):
        worker.send(RequestPreview("case2", Region(row, 0, 64, 64)))
    worker.send(Stop())
    events = worker.events_until(PredictionFinished)
    assert sum(isinstance(event, TileDone) for event in events) <= 3  # what was computed by then is written, too
    assert events[-1].stopped


def test_job_that_follows_a_stop_at_once_is_run(worker, trained):
    project, _, _ = trained
    config = PredictConfig(tile=64, tta=8)
    worker.send(Predict(project=str(project.folder), model="m001", slides=["case3", "case2"], config=config))
    worker.events_until(TileDone)
    worker.send(Stop(now=True))
    worker.send(Predict(project=str(project.folder), model="m001", slides=["case4"]))
    worker.send(RequestPreview("case4", Region(0, 0, 64, 64)))
    assert worker.events_until(PredictionFinished)[-1].stopped
    events = worker.events_until(PredictionFinished)
    assert not events[-1].stopped
    assert {event.slide for event in events if isinstance(event, SlideDone)} == {"case4"}


def test_worker_ends_with_its_input():
    child = Child()
    child.events_until(WorkerReady)
    child.process.stdin.close()
    assert child.process.wait(timeout=240) == 0


def test_training_is_saved_when_the_window_closes_without_waiting_for_it(project):
    child = Child()
    child.send(Train(project=str(project.folder), config=TINY.replace(steps=100_000, minutes=10)))
    while not child.events_until(Validated)[-1].step:
        pass
    for pipe in (child.process.stdin, child.process.stdout, child.process.stderr):
        pipe.close()
    assert child.process.wait(timeout=240) == 0
    assert load_bundle(project.folder / "models" / "m001").finished
