"""Compare the prediction of a view of 1600 x 1000 pixels by a warm worker with the bare network.

A worker as the window starts it predicts one view after another of a synthetic slide, with a network that was trained
for some seconds; in between, the same network computes 1600 x 1024 pixels in memory, in the same runtime and precision.

``view_vs_bare``   time from the command to the prediction read back from its file, relative to the bare network
``view_ms``        the former
``agreement``      labels of the views that equal those of one pass with an exact margin
``edge_agreement`` the same within 32 pixels of their edges, where a seam would show

    python benchmarks/view.py [--short] [--runtime R] [--halo H]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the product; torch reads both when it is imported
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import numpy as np
import torch
from predict import exact_labels, make_project

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.runtime.choice import ReadyNetwork, choose_runtime
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import JobFailed, Predict, PredictionFinished, WorkerReady, parse_event, to_line
from napari_pathseg.projects.project import Project

_VIEW, _SIDE, _EDGE = (1000, 1600), 3072, 32  # pixels
_WARM, _VIEWS = 2, 16


class ViewWorker:
    """A worker process that predicts views of a slide."""

    def __init__(self, project: Project, model: str, slide: str, config: PredictConfig) -> None:
        self._project, self._model, self._slide, self._config = project, model, slide, config
        self._process = subprocess.Popen(
            [sys.executable, "-m", "napari_pathseg.jobs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._wait_for(WorkerReady)

    def predict(self, view: Region) -> tuple[float, np.ndarray]:
        """Return how long a view takes, and its labels."""
        folder = str(self._project.folder)
        command = Predict(project=folder, model=self._model, slides=[self._slide], region=view, config=self._config)
        start = time.perf_counter()
        self._process.stdin.write(to_line(command) + "\n")
        self._process.stdin.flush()
        self._wait_for(PredictionFinished)
        labels = self._project.find_prediction(self._model, self._slide).read(view)
        return time.perf_counter() - start, labels

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _wait_for(self, kind: type) -> None:
        for line in self._process.stdout:
            event = parse_event(line)
            if isinstance(event, JobFailed):
                sys.exit(event.text)
            if isinstance(event, kind):
                return
        sys.exit("The worker has ended.")


@torch.inference_mode()
def bare_seconds(ready: ReadyNetwork, pixels: torch.Tensor) -> float:
    """Return how long the network takes for a tensor."""
    start = time.perf_counter()
    with ready.device.autocast():
        ready.network(pixels)
    return time.perf_counter() - start


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer views")
    parser.add_argument("--runtime", default="torch", choices=("torch", "openvino"))
    parser.add_argument("--halo", default=PredictConfig().halo)
    args = parser.parse_args()
    config, rng = PredictConfig(runtime=args.runtime, halo=args.halo), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        project, name = make_project(Path(folder), _SIDE)
        (model,) = project.model_ids()
        network = load_network(project.folder / "models" / model, 2).eval()
        ready = choose_runtime(network, args.runtime)
        slide = SlidePatchSource(project, project.slide(name))
        truth = exact_labels(network, ready, slide, Region(0, 0, _SIDE, _SIDE))
        pixels = torch.from_numpy(slide.pixels(Region(0, 0, _VIEW[0] + 24, _VIEW[1]))).movedim(-1, 0)[None]
        worker, ours, bare, equal, at_edge = ViewWorker(project, model, name, config), [], [], [], []
        if hasattr(os, "nice"):
            os.nice(5)  # as the worker is, so that other programs slow both down
        for number in range(_WARM + (4 if args.short else _VIEWS)):
            top, left = (int(rng.integers(0, _SIDE - side)) for side in _VIEW)
            view = Region(top, left, *_VIEW)
            seconds, labels = worker.predict(view)
            forward = bare_seconds(ready, pixels)
            if number >= _WARM:
                ours.append(seconds)
                bare.append(forward)
                same = labels == truth[view.slices]
                equal.append(same.mean())
                same[_EDGE:-_EDGE, _EDGE:-_EDGE] = False
                edge = same.size - (_VIEW[0] - 2 * _EDGE) * (_VIEW[1] - 2 * _EDGE)
                at_edge.append(same.sum() / edge)
        worker.close()
        slide.close()
    for label, seconds in (("bare network", bare), ("view", ours)):
        print(f"{label:<14} {1000 * statistics.median(seconds):6.0f} ms, at best {1000 * min(seconds):.0f}")
    result = {
        "view_vs_bare": round(statistics.median(ours) / statistics.median(bare), 3),
        "at_best": round(min(ours) / min(bare), 3),
        "view_ms": round(1000 * statistics.median(ours)),
        "agreement": round(statistics.mean(equal), 5),
        "edge_agreement": round(statistics.mean(at_edge), 5),
        "runtime": str(ready.way),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
