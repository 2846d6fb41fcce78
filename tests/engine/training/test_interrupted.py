import json
import os
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
from bundle_helpers import make_bundle

from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.atomic import save_json


def make_run(project, name, **status):
    folder = project.folder / "runs" / name
    folder.mkdir(parents=True)
    save_json(folder / "config.json", {})
    if status:
        (folder / "status.json").write_text(json.dumps({"pid": 1, "time": 0, **status}))
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


def test_project_without_a_training_says_that_there_is_nothing_to_resume(project):
    with pytest.raises(ProjectError, match="test.pathseg has no training yet, so there is nothing to resume."):
        find_resumable_run(project)


def make_model(project, name):
    folder = project.folder / "models" / name
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps(asdict(make_bundle(name))))


@pytest.mark.parametrize(
    ("state", "how"),
    [("stopped", "was stopped and kept its best model, m002"), ("finished", "ended with its model, m002")],
)
def test_training_that_ended_with_a_model_is_named_with_what_goes_on_from_it(project, state, how):
    for number in ("001", "002"):
        make_run(project, f"r{number}", state=state)
        make_model(project, f"m{number}")
    with pytest.raises(ProjectError) as refusal:
        find_resumable_run(project)
    assert str(refusal.value) == (
        f"test.pathseg has no interrupted training to resume: r002 {how}. Only a training that was killed can be "
        "resumed. Train without resuming, which goes on from m002."
    )
    with pytest.raises(ProjectError, match="resume: r001 .*, m001. Only .*goes on from m002"):
        find_resumable_run(project, "r001")


def test_finished_training_whose_model_was_removed_is_not_resumed(project):
    make_run(project, "r001", state="finished")
    with pytest.raises(ProjectError, match="r001 ended, and its model was removed. .* Train without resuming.$"):
        find_resumable_run(project)


def test_resume_without_anything_to_resume_is_refused_before_torch_and_before_versions(project):
    make_run(project, "r001", state="stopped")
    make_model(project, "m001")
    code = "import sys; from napari_pathseg.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, "train", str(project.folder), "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]
    assert "r001 was stopped and kept its best model, m001." in done.stderr
    assert not list((project.folder / "versions").glob("*"))
