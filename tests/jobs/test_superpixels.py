import subprocess
import sys

import numpy as np
import pytest

from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import (
    ComputeSuperpixels,
    SuperpixelsFailed,
    SuperpixelsReady,
    parse_event,
    to_line,
)


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
    command = ComputeSuperpixels(
        project=str(project.folder),
        slide=slide,
        region=Region(10, 20, 60, 1000),
        downsample=1,
        size=12,
        number=number,
        path=str(path),
    )
    worker.stdin.write(to_line(command) + "\n")
    worker.stdin.flush()


def test_superpixels_come_before_torch_is_loaded_and_cover_the_box_on_the_slide(worker, project, tmp_path):
    path = tmp_path / "patches.npy"
    ask(worker, project, path)
    answer = parse_event(worker.stdout.readline())
    assert isinstance(answer, SuperpixelsReady)
    assert (answer.number, answer.path) == (7, str(path))
    patches = np.load(path)
    top, left, height, width = answer.region
    assert (top, left, height) == (10, 20, 60)
    assert width < 1000
    assert patches.shape == (height, width)
    assert patches.max() > 4


def test_what_cannot_be_cut_is_said_and_the_worker_listens_on(worker, project, tmp_path):
    ask(worker, project, tmp_path / "a.npy", slide="nothing", number=1)
    ask(worker, project, tmp_path / "b.npy", number=2)
    first, second = (parse_event(worker.stdout.readline()) for _ in range(2))
    assert isinstance(first, SuperpixelsFailed)
    assert "nothing" in first.text
    assert isinstance(second, SuperpixelsReady)
    assert second.number == 2
