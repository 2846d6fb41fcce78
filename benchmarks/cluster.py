"""Compare a cluster of two workers with two independent processes, each of which predicts half of the slides.

On synthetic slides, with a network that was trained for some seconds; in turn, medians:

``vs_two_processes``  slides per second of the cluster, relative to the two processes
``equal``             whether all stored labels and probabilities are the same
``redone_tiles``      tiles that were computed twice when a worker was killed in mid-run

    python benchmarks/cluster.py [--short] [--runtime R]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the product; torch reads both when it is imported
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import numpy as np
from distributed import Client
from predict import make_project

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.events import TileDone, run
from napari_pathseg.jobs.cluster import predict_on_cluster, start_cluster
from napari_pathseg.jobs.cluster_worker import TOPIC
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.portable import remove_tree

# Started and warm, as the workers of a cluster are; the other half of the cores belongs to the other process.
_PROCESS = """
import os, sys
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.config import PredictConfig
from napari_pathseg.projects.project import Project
import torch
torch.set_num_threads(max(1, torch.get_num_threads() // 2))
folder, runtime, *slides = sys.argv[1:]
for names in (slides[:1], slides[1:]):
    run(predict(Project.open(folder), PredictConfig(runtime=runtime), slides=names))
    print("ready", flush=True)
    sys.stdin.readline()
"""


def two_processes(project: Project, runtime: str, warm: list[str], slides: list[str]) -> float:
    """Return how long two processes take for half of the slides each; both have predicted one before."""
    children = []
    for number, first in enumerate(warm):
        arguments = [sys.executable, "-c", _PROCESS, str(project.folder), runtime, first, *slides[number::2]]
        children.append(subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for child in children:
        child.stdout.readline()
    start = time.perf_counter()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.stdout.readline()
    seconds = time.perf_counter() - start
    for child in children:
        child.communicate("\n")
    return seconds


def stored(project: Project, slides: list[str]) -> list[np.ndarray]:
    """Return the probabilities of slides."""
    (model,) = project.model_ids()
    return [np.asarray(project.find_prediction(model, slide).probabilities) for slide in slides]


def forget(project: Project) -> None:
    """Remove all predictions."""
    for path in (project.folder / "predictions").glob("*/*.zarr"):
        remove_tree(path)


def redone_tiles(cluster, project: Project, config: PredictConfig, slides: list[str]) -> int:
    """Return how many tiles are computed twice when a worker is killed in mid-run."""
    killed, tiles = [], []

    def kill(event):
        if isinstance(event, TileDone):
            tiles.append(event.region)
        if len(tiles) >= len(slides) and not killed:
            with Client(cluster, set_as_default=False) as client:
                killed.extend(list(client.run(os.getpid).values())[:1])
            os.kill(killed[0], signal.SIGKILL)

    with Client(cluster, set_as_default=False) as client:
        before = len(client.get_events(TOPIC))
        run(predict_on_cluster(project, cluster.scheduler_address, config, slides=slides), kill)
        begun = len(client.get_events(TOPIC)) - before
    rows = len({(slide, top) for slide in slides for top in range(0, project.slide(slide).mask_shape[0], config.tile)})
    return (begun - rows) * (len(tiles) // rows)


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer and smaller slides, once")
    parser.add_argument("--runtime", default="torch", choices=("torch", "openvino"))
    args = parser.parse_args()
    side, count, rounds = (1024, 4, 1) if args.short else (2048, 16, 3)
    config = PredictConfig(runtime=args.runtime)
    with tempfile.TemporaryDirectory() as folder:
        project, first = make_project(Path(folder), side)
        original = project.find_file(project.slide(first))
        names = [f"slide{number}" for number in range(count + 2)]
        content = original.read_bytes()
        for number, name in enumerate(names):  # other bytes at the end, so that none is a duplicate
            original.with_name(f"{name}.tif").write_bytes(content + number.to_bytes(4, "little"))
        add_slides(project, [original.with_name(f"{name}.tif") for name in names])
        warm, slides = names[:2], names[2:]
        alone, spread, equal = [], [], True
        with start_cluster(workers=2) as cluster:
            for _ in range(rounds):
                forget(project)
                alone.append(two_processes(project, args.runtime, warm, slides))
                expected = stored(project, slides)
                forget(project)
                run(predict_on_cluster(project, cluster.scheduler_address, config, slides=warm))
                start = time.perf_counter()
                run(predict_on_cluster(project, cluster.scheduler_address, config, slides=slides))
                spread.append(time.perf_counter() - start)
                pairs = zip(stored(project, slides), expected, strict=True)
                equal &= all(np.array_equal(one, other) for one, other in pairs)
            forget(project)
            redone = redone_tiles(cluster, project, config, slides)
            pairs = zip(stored(project, slides), expected, strict=True)
            equal &= all(np.array_equal(one, other) for one, other in pairs)
    for label, seconds in (("two processes", alone), ("cluster of two workers", spread)):
        print(
            f"{label:<24} {statistics.median(seconds):6.1f} s  {len(slides) / statistics.median(seconds):.2f} slides/s"
        )
    ratio = statistics.median(alone) / statistics.median(spread)
    print(json.dumps({"vs_two_processes": round(ratio, 3), "equal": equal, "redone_tiles": redone}))


if __name__ == "__main__":
    main()
