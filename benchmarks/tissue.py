"""What glass costs, how much tissue is found, and whether the time of a prediction is linear in the tissue.

Slides of one size whose tissue is a square in their middle, predicted at 1 um per pixel by the default network; times
are the processor's, so that other programs matter less:

``time_25_percent``  time of a slide with 25 % tissue, of a slide that is all tissue
``recall``           tissue that is found, of what there is
``find_s``           longest time of finding it
``linear_r2``        of the time over the area of tissue
``ten_classes``      time with 10 classes, relative to 2: 0.02 is 2 % more

    python benchmarks/tissue.py [--short]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from memory import middle_square
from pyramids import add_slide, make_project, write_pyramid

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.inference.predictor_choice import choose_predictor
from napari_pathseg.engine.inference.region_predictor import to_8_bits
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.runtime.choice import choose_runtime
from napari_pathseg.geometry import Region, layout
from napari_pathseg.projects.project import Project
from napari_pathseg.slides.tissue import find_tissue
from napari_pathseg.storage.portable import remove_tree

_SHARES = (0.0625, 0.25, 0.5, 1.0)  # of a slide that is tissue


class _Pixels:
    """A slide of noise."""

    factor = 1.0

    def on_working_grid(self, region: Region) -> Region:
        """Return the region."""
        return region

    def pixels(self, region: Region) -> np.ndarray:
        """Return pixels."""
        return np.random.default_rng(0).integers(0, 255, (region.height, region.width, 3)).astype(np.uint8)


def class_seconds(side: int, rounds: int) -> float:
    """Return by what fraction predicting 10 classes takes longer than 2, up to the 8-bit answer."""
    whole, fastest = Region(0, 0, side, side), {}
    predictors = {}
    for classes in (2, 10):
        torch.manual_seed(0)
        network = build_network(NetworkSpec("unet", "tf_efficientnet_lite0", classes)).eval()
        predictors[classes] = choose_predictor(network, choose_runtime(network, "torch"), PredictConfig())
    for _ in range(1 + rounds):
        for classes, predictor in predictors.items():
            read = predictor.read_tiles(_Pixels(), list(layout(whole, 1024)), whole)
            start = time.process_time()
            for found in predictor.compute_tiles(read):
                if found is not None:
                    to_8_bits(found[1])
            fastest[classes] = min(fastest.get(classes, np.inf), time.process_time() - start)
    return fastest[10] / fastest[2] - 1


def recall_and_seconds(project: Project, name: str, side: int, share: float) -> tuple[float, float]:
    """Return how much of the tissue of a slide is found, and how long that takes."""
    with project.open_slide(name) as slide:
        start = time.perf_counter()
        found = find_tissue(slide)
        seconds = time.perf_counter() - start
    inside = [box for box in layout(Region(0, 0, side, side), 512) if middle_square(side, share, box)]
    return float(np.mean([found.touches(box) for box in inside])), seconds


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="smaller slides")
    short = parser.parse_args().short
    side = 20_480 if short else 65_536
    seconds, recalls, finding = {}, [], []
    with tempfile.TemporaryDirectory() as folder:
        project, model = make_project(Path(folder))
        for share in _SHARES:
            path = Path(folder) / f"share{round(100 * share)}.tif"
            write_pyramid(path, side, lambda box, share=share: middle_square(side, share, box))
            name = add_slide(project, path)
            recall, took = recall_and_seconds(project, name, side, share)
            recalls.append(recall)
            finding.append(took)
            for _ in range(1 + (share == _SHARES[0])):  # the first one converts the network
                start = time.process_time()
                (done,) = run(predict(project, PredictConfig(), model, slides=[name]))
                seconds[share] = time.process_time() - start
                remove_tree(project.prediction_path(model, name))
            row = f"{100 * share:5.1f} % tissue  {done.seconds:8.1f} s, of the processor {seconds[share]:8.1f} s"
            print(f"{row}  recall {recall:.4f}", flush=True)
    r2 = np.corrcoef(list(seconds), list(seconds.values()))[0, 1] ** 2
    result = {
        "time_25_percent": round(seconds[0.25] / seconds[1.0], 3),
        "recall": round(min(recalls), 4),
        "find_s": round(max(finding), 3),
        "linear_r2": round(float(r2), 4),
        "ten_classes": round(class_seconds(1024 if short else 2048, 2 if short else 5), 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
