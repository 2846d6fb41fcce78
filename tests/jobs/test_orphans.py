"""A program that is killed while its children work: they end, and leave nothing behind."""

import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.events import Progress, TileDone, Validated
from napari_pathseg.jobs.protocol import Predict, Train, Tune, WorkerReady, parse_event, to_line
from napari_pathseg.projects.project import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")

WINDOW = """
import sys
from pathlib import Path
from qtpy.QtWidgets import QApplication
from napari_pathseg import Project
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import ComputeSuperpixels, parse_command, to_line
from napari_pathseg.storage.scratch import scratch_folder
from napari_pathseg.ui.worker_process import WorkerProcess

app = QApplication([])
project = Project.open(sys.argv[1])
project.acquire_lock("the window")
folder = scratch_folder()
worker = WorkerProcess()
worker.event.connect(lambda event: print(to_line(event), flush=True))
worker._start_now()
if sys.argv[2]:
    worker.send(parse_command(sys.argv[2]))
app.exec()
"""
LONG = TrainConfig(tile=64, batch=2, decoder_seconds=2, cached_tiles=8, weights="none", steps=100_000, minutes=10)
WAYS = ["idle", "training", "tuning", "predicting"] if "FUZZ" in os.environ else ["training"]


def commands(folder):
    """Return, by what the window does, its command and the event at which it is killed."""
    return {
        "idle": (None, WorkerReady),
        "training": (Train(project=folder, config=LONG), Validated),
        "tuning": (Tune(project=folder, vary=["seed=0,1,2"], config=LONG), Progress),
        "predicting": (
            Predict(project=folder, model="m001", slides=["case3", "case2"], config=PredictConfig(tile=64, tta=8)),
            TileDone,
        ),
    }


@pytest.fixture
def own_project(trained, tmp_path):
    """A copy of the trained project that the test may change."""
    project, _, _ = trained
    shutil.copytree(project.folder, tmp_path / "own.pathseg", ignore=shutil.ignore_patterns(".lock*"))
    return tmp_path / "own.pathseg"


@pytest.fixture
def environment(tmp_path):
    """The environment of a program with a temporary folder of its own, without a screen."""
    (tmp_path / "tmp").mkdir()
    return os.environ | {"QT_QPA_PLATFORM": "offscreen", "TMPDIR": str(tmp_path / "tmp")}


def kill_at(process, reached):
    """Read lines until one is `reached`, kill the process, wait for all of its children; return those."""
    for line in process.stdout:
        if reached(line):
            break
    while not (children := psutil.Process(process.pid).children(recursive=True)):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=240)
    assert not alive
    return children


def check_nothing_is_left(folder, tmp_path, children):
    """Check that there are no temporary files, no shared memory and no lock of processes that are gone."""
    assert list((tmp_path / "tmp").glob("pathseg-*")) == []
    assert list(folder.rglob("*.partial")) == []
    if os.path.isdir("/dev/shm"):
        assert not [name for name in os.listdir("/dev/shm") for child in children if f"_{child.pid}_" in name]
    project = Project.open(folder)
    project.acquire_lock("the next window")
    project.release_lock()
    assert list(folder.rglob(".lock-*")) == []


@pytest.mark.parametrize("doing", WAYS)
def test_killed_window_leaves_no_process_file_or_lock(own_project, environment, tmp_path, doing):
    command, event = commands(str(own_project))[doing]
    line = "" if command is None else to_line(command)
    process = subprocess.Popen(
        [sys.executable, "-c", WINDOW, str(own_project), line], stdout=subprocess.PIPE, env=environment
    )
    children = kill_at(process, lambda line: isinstance(parse_event(line), event))
    check_nothing_is_left(own_project, tmp_path, children)


def test_killed_training_on_two_devices_ends_on_both(own_project, environment, tmp_path):
    options = "--tile 64 --batch 2 --decoder-seconds 2 --cached-tiles 8 --weights none --devices 2 --minutes 10"
    pathseg = [sys.executable, "-c", "import sys; from napari_pathseg.cli import main; sys.exit(main())"]
    command = [*pathseg, "train", str(own_project), "--from", "none"]
    process = subprocess.Popen(
        [*command, *options.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment | {"CUDA_VISIBLE_DEVICES": ""},
        text=True,
    )
    children = kill_at(process, lambda line: "trains on" in line)  # the second process waits for the first from now on
    check_nothing_is_left(own_project, tmp_path, children)
