import json
import subprocess
import sys

import pytest


class Child:
    """A real worker process, spoken to as the window does."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "napari_pathseg.jobs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def say(self, **message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def hear_until(self, event):
        heard = []
        for line in self.process.stdout:
            heard.append(json.loads(line))
            if heard[-1]["event"] == event:
                return heard
        raise AssertionError(f"the worker ended: {self.process.stderr.read()}")


@pytest.fixture(scope="module")
def worker():
    child = Child()
    child.hear_until("ready")
    yield child
    child.process.kill()
    child.process.wait()


def train(worker, project, **config):
    quick = {"minutes": 0.2, "tile": 64, "batch": 2, "decoder_seconds": 6, "cached_tiles": 8}
    worker.say(command="train", project=str(project.folder), config=quick | config, parent=None)


def test_a_training_is_told_as_it_runs_and_shows_the_view(worker, project):
    train(worker, project)
    worker.say(command="show", slide="case5", region=[0, 0, 64, 64])
    heard = worker.hear_until("finished")
    kinds = {message["event"] for message in heard}
    assert {"started", "progress", "validated", "view"} <= kinds
    assert heard[-1]["result"]["id"] == "m001"
    assert (project.folder / "runs" / "r001" / "events.jsonl").exists()


def test_a_tuning_tells_of_each_trial_and_stops_when_told(worker, project):
    config = {"minutes": 0.06, "tile": 64, "batch": 2, "steps": 2, "weights": "none"}
    worker.say(command="tune", project=str(project.folder), vary=["seed=0,1,2"], trials=0, search="grid", config=config)
    heard = worker.hear_until("trial")
    worker.say(command="stop")
    heard += worker.hear_until("finished")
    trials = [message for message in heard if message["event"] == "trial"]
    assert (trials[0]["number"], trials[0]["of"], trials[0]["settings"]) == (1, 3, {"seed": 0})
    assert len(heard[-1]["result"]["trials"]) < 3


def test_what_the_user_can_fix_comes_back_as_a_sentence_and_the_worker_goes_on(worker, project, tmp_path):
    worker.say(command="train", project=str(tmp_path), config={}, parent=None)
    (failed,) = worker.hear_until("failed")
    assert "is not a project" in failed["text"]
    assert failed["details"] == ""
    train(worker, project, minutes=10)
    worker.hear_until("validated")
    worker.say(command="stop")
    assert worker.hear_until("finished")[-1]["result"]["finished"]


def test_prediction_leaves_the_masks_to_the_window(worker, trained):
    project, _, _ = trained
    before = project.counts("case4")
    worker.say(command="predict", project=str(project.folder), model="m001", slides=["case4"])
    heard = worker.hear_until("finished")
    assert [m["slide"] for m in heard if m["event"] == "slidedone"] == ["case4"]
    assert project.find_prediction("m001", "case4") is not None
    assert (project.counts("case4") == before).all()


def test_the_end_of_its_input_ends_the_worker():
    child = Child()
    child.hear_until("ready")
    child.process.stdin.close()
    assert child.process.wait(timeout=30) == 0
