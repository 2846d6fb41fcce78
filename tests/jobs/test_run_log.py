import json

import pytest

from napari_pathseg.engine.events import Note, Started, Stop, run
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.jobs.run_log import record_run

STARTED = Started("r001", "m001", None, ["a"], ["b"])


def job(received, *, fails=False):
    command = yield STARTED
    received.append(command)
    yield Note("half-way")
    if fails:
        raise NothingToLearnError("no pixel")
    return "result"


@pytest.fixture
def run_folder(project):
    folder = project.folder / "runs" / "r001"
    folder.mkdir()
    return folder


def test_run_logs_its_events_and_its_final_state(project, run_folder):
    assert run(record_run(job([]), project)) == "result"
    events = [json.loads(line) for line in (run_folder / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["started", "note"]
    assert json.loads((run_folder / "status.json").read_text())["state"] == "finished"


def test_commands_reach_the_recorded_job(project, run_folder):
    received = []
    wrapped = record_run(job(received), project)
    next(wrapped)
    wrapped.send(Stop())
    assert received == [Stop()]


def test_failed_run_is_logged_as_failed(project, run_folder):
    with pytest.raises(NothingToLearnError):
        run(record_run(job([], fails=True), project))
    assert json.loads((run_folder / "status.json").read_text())["state"] == "failed"


def test_dropped_run_is_logged_as_failed(project, run_folder):
    wrapped = record_run(job([]), project)
    next(wrapped)
    wrapped.close()
    assert json.loads((run_folder / "status.json").read_text())["state"] == "failed"
