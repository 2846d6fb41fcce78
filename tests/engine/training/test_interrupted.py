import json
import os
import time

import pytest

from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.atomic import save_json


def make_run(project, name, **status):
    folder = project.folder / "runs" / name
    folder.mkdir(parents=True)
    save_json(folder / "config.json", {})
    if status:
        (folder / "status.json").write_text(json.dumps(status))
    return folder


def test_newest_interrupted_run_is_found(project):
    make_run(project, "r001")
    newest = make_run(project, "r002", state="running", pid=2**22 + 1, time=0)
    assert find_resumable_run(project) == newest
    assert find_resumable_run(project, "r001").name == "r001"


def test_run_on_another_computer_counts_as_running_while_it_writes(project):
    run = make_run(project, "r001", state="running", pid=1, time=0, host="elsewhere")
    (run / "events.jsonl").touch()
    with pytest.raises(ProjectError, match="is still running in process 1 of elsewhere"):
        find_resumable_run(project)
    long_ago = time.time() - 3600
    os.utime(run / "events.jsonl", (long_ago, long_ago))
    assert find_resumable_run(project) == run


def test_run_of_a_living_process_is_refused(project):
    make_run(project, "r001", state="running", pid=os.getpid(), time=time.time())
    with pytest.raises(ProjectError, match=f"is still running in process {os.getpid()}"):
        find_resumable_run(project)


def test_project_without_an_interrupted_run_says_so(project):
    with pytest.raises(ProjectError, match="no interrupted training"):
        find_resumable_run(project)
