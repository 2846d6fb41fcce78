import json
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def worker():
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_pathseg.jobs.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def ask(worker, project, path, slide="case5", number=7):
    message = {"command": "superpixels", "project": str(project.folder), "slide": slide, "path": str(path)}
    message |= {"box": [10, 20, 60, 1000], "downsample": 1, "size": 12, "number": number}
    worker.stdin.write(json.dumps(message) + "\n")
    worker.stdin.flush()


def test_superpixels_come_before_torch_is_loaded_and_cover_the_box_on_the_slide(worker, project, tmp_path):
    path = tmp_path / "patches.npy"
    ask(worker, project, path)
    answer = json.loads(worker.stdout.readline())
    assert (answer["event"], answer["number"], answer["text"]) == ("superpixels", 7, "")
    patches = np.load(path)
    top, left, height, width = answer["box"]
    assert (top, left, height) == (10, 20, 60)
    assert width < 1000
    assert patches.shape == (height, width)
    assert patches.max() > 4


def test_what_cannot_be_cut_is_said_and_the_worker_listens_on(worker, project, tmp_path):
    ask(worker, project, tmp_path / "a.npy", slide="nothing", number=1)
    ask(worker, project, tmp_path / "b.npy", number=2)
    first, second = (json.loads(worker.stdout.readline()) for _ in range(2))
    assert "nothing" in first["text"]
    assert (second["number"], second["text"]) == (2, "")
