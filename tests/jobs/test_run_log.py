import json

import pytest

from napari_pathseg.engine.events import Note, Started, Stop, run
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.jobs.run_log import record_run

STARTED = Started("r001", "m001", None, ["a"], ["b"])


def job(heard, *, fails=False):
    command = yield STARTED
    heard.append(command)
    yield Note("half-way")
    if fails:
        raise NothingToLearnError("no pixel")
    return "result"


@pytest.fixture
def run_folder(project):
    folder = project.folder / "runs" / "r001"
    folder.mkdir()
    return folder


def test_a_run_writes_what_it_says_and_how_it_ended(project, run_folder):
    assert run(record_run(job([]), project)) == "result"
    events = [json.loads(line) for line in (run_folder / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["started", "note"]
    assert json.loads((run_folder / "status.json").read_text())["state"] == "finished"


def test_commands_reach_the_job(project, run_folder):
    heard = []
    wrapped = record_run(job(heard), project)
    next(wrapped)
    wrapped.send(Stop())
    assert heard == [Stop()]


def test_a_failed_run_is_known_as_such(project, run_folder):
    with pytest.raises(NothingToLearnError):
        run(record_run(job([], fails=True), project))
    assert json.loads((run_folder / "status.json").read_text())["state"] == "failed"


def test_a_run_that_is_let_go_no_longer_counts_as_running(project, run_folder):
    wrapped = record_run(job([]), project)
    next(wrapped)
    wrapped.close()
    assert json.loads((run_folder / "status.json").read_text())["state"] == "failed"
