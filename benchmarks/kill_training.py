"""`kill -9` at random moments of training: does the next `train --resume` go on from the last state?

After each kill the best model so far must be whole and the state readable; the resumed run
must go on one step after that state, on the same curve.  Prints a line for each kill and, on
the last line, one JSON object:

``kills``        how often a training was killed
``unreadable``   models or states that could not be read afterwards
``not_resumed``  runs that did not go on from their last state
``lost_steps``   most steps that a kill cost

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


def steps_told(run: Path) -> list[int]:
    """Return the steps that a run told of while everything learnt, as far as lines are whole."""
    steps = []
    for line in (
        (run / "events.jsonl").read_text(encoding="utf8").splitlines() if (run / "events.jsonl").exists() else ()
    ):
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue  # the line that was being written
        if event.get("stage") == "Training":
            steps.append(event["step"])
    return steps


def killed(project: Path, resume: bool, seconds: float) -> bool:
    """Train, and kill it after some seconds; return whether it was still running."""
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


def readable(project: Project, run: Path) -> bool:
    """Whether the best model and the state of a run, where there are any, are whole."""
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
    """Kill and resume, and count what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    chance = random.Random(0)
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
            told = len(steps_told(runs[-1])) if resume else 0
            resume = killed(project.folder, resume, chance.uniform(5, 25))
            run = (
                sorted((project.folder / "runs").glob("r*"))[-1] if list((project.folder / "runs").glob("r*")) else None
            )
            answer["kills"] += resume
            if run is None:
                resume = False
                continue
            answer["unreadable"] += not readable(project, run)
            steps = steps_told(run)
            if checkpoint is not None and steps[told:] and steps[told] != checkpoint.numbers["step"] + 1:
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
