"""Kill trainings at random moments with `kill -9`, and check that `train --resume` continues each.

After each kill the best model and the checkpoint must be readable, and the resumed run must
continue one step after the checkpoint.  Prints a line for each kill and, on the last line,
one JSON object:

``kills``        number of kills
``unreadable``   models or checkpoints that could not be read afterwards
``not_resumed``  runs that did not continue from their checkpoint
``lost_steps``   most steps lost by a kill

    python benchmarks/kill_training.py [--kills 20]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.training.checkpoint import load_checkpoint
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.splits import assign_missing_roles
from napari_pathseg.samples import write_sample_slides

COMMAND = Path(sys.executable).with_name("pathseg")
OPTIONS = ("--minutes", "2", "--tile", "128", "--decoder-seconds", "2", "--cached-tiles", "16")


def recorded_steps(run: Path) -> list[int]:
    """Return the training steps in the event log of a run; a truncated last line is skipped."""
    steps = []
    for line in (
        (run / "events.jsonl").read_text(encoding="utf8").splitlines() if (run / "events.jsonl").exists() else ()
    ):
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue  # truncated by the kill
        if event.get("stage") == "Training":
            steps.append(event["step"])
    return steps


def train_and_kill(project: Path, resume: bool, seconds: float) -> bool:
    """Train, and kill the process after some seconds; return whether it was still running."""
    options = ("--resume",) if resume else ("--from", "none", *OPTIONS)
    process = subprocess.Popen(
        [COMMAND, "train", project, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def is_readable(project: Project, run: Path) -> bool:
    """Return whether the best model and the checkpoint of a run, if they exist, can be read."""
    model = project.folder / "models" / run.name.replace("r", "m", 1)
    try:
        load_checkpoint(run)
        if (model / "weights.safetensors").exists() and (model / "bundle.json").exists():
            load_bundle(model)
            load_network(model)
            load_file(model / "weights.safetensors")
    except PathsegError as error:
        print(error)
        return False
    return True


def main() -> None:
    """Kill and resume trainings, and count the failures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    rng = random.Random(0)
    answer = {"kills": 0, "unreadable": 0, "not_resumed": 0, "lost_steps": 0}
    with tempfile.TemporaryDirectory() as folder:
        slides = [path for path in write_sample_slides(Path(folder)) if path.with_suffix(".svg").exists()]
        project = Project.create(Path(folder) / "kill.pathseg")
        add_slides(project, slides, AddOptions(contours=Path(folder)))
        assign_missing_roles(project)
        resume = False
        while answer["kills"] < kills:
            runs = sorted((project.folder / "runs").glob("r*"))
            checkpoint = load_checkpoint(runs[-1]) if resume else None
            before = len(recorded_steps(runs[-1])) if resume else 0
            resume = train_and_kill(project.folder, resume, rng.uniform(5, 25))
            run = (
                sorted((project.folder / "runs").glob("r*"))[-1] if list((project.folder / "runs").glob("r*")) else None
            )
            answer["kills"] += resume
            if run is None:
                resume = False
                continue
            answer["unreadable"] += not is_readable(project, run)
            steps = recorded_steps(run)
            if checkpoint is not None and steps[before:] and steps[before] != checkpoint.numbers["step"] + 1:
                answer["not_resumed"] += 1
            after = load_checkpoint(run)
            lost = steps[-1] - after.numbers["step"] if steps and after is not None else 0
            answer["lost_steps"] = max(answer["lost_steps"], lost)
            print(
                f"kill {answer['kills']} of {run.name} at step {steps[-1] if steps else 0}: {lost} steps lost",
                flush=True,
            )
            time.sleep(0.2)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
