"""Compare the prediction of a slide, from its file to the stored answer, with the bare network on pixels in memory.

On a synthetic slide, with a network that was trained for some seconds; in turn, medians:

``vs_bare``    pixels that the network computes per second, relative to the same network on the same tiles in memory
``useful``     pixels that are kept, of those that are computed
``agreement``  labels that equal those of the network on the whole slide at once

    python benchmarks/predict.py [--short] [--tile T] [--halo H]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the product; torch reads it when it is imported

import numpy as np
import tifffile
import torch
from PIL import Image

from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.inference.region_predictor import BoxPixels, RegionPredictor
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import Region, layout
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.samples import draw_field
from napari_pathseg.storage.portable import remove_tree

_FIELD = 1024  # side of the fields that the network learns from
_AGREEMENT_SIDE = 2048  # of the part that is predicted at once


def make_project(folder: Path, side: int) -> tuple[Project, str]:
    """Return a project with a trained model, and the slide to predict, of `side` pixels."""
    rng = np.random.default_rng(0)
    (folder / "masks").mkdir()
    project = Project.create(folder / "bench.pathseg")
    fields = []
    for number in range(3):
        pixels, classes = draw_field((_FIELD, _FIELD), rng)
        fields.append(pixels)
        tifffile.imwrite(folder / f"field{number}.tif", pixels, photometric="rgb", compression="deflate")
        Image.fromarray(np.where(classes == 2, 255, 0).astype(np.uint8)).save(folder / "masks" / f"field{number}.png")
        role = "val" if number == 2 else "train"
        add_slides(project, [folder / f"field{number}.tif"], AddOptions(contours=folder / "masks", role=role))
    run(train(project, TrainConfig(minutes=0.5, seed=0), None))
    count = -(-side // _FIELD)
    rows = [np.concatenate([fields[(row + column) % 3] for column in range(count)], axis=1) for row in range(count)]
    whole = np.concatenate(rows)[:side, :side]
    tifffile.imwrite(folder / "whole.tif", whole, photometric="rgb", tile=(256, 256), compression="deflate")
    add_slides(project, [folder / "whole.tif"])
    return project, "whole"


def bare_seconds(predictor: RegionPredictor, boxes: list[BoxPixels]) -> float:
    """Return how long the network takes for tiles that lie in memory."""
    start = time.perf_counter()
    with torch.inference_mode(), predictor.device.autocast():
        for box in boxes:
            predictor.network(torch.from_numpy(box.passes[0].pixels).movedim(-1, 0)[None], None)
    return time.perf_counter() - start


@torch.inference_mode()
def whole_labels(predictor: RegionPredictor, slide: SlidePatchSource, side: int) -> np.ndarray:
    """Return the labels of a corner of the slide from one pass."""
    wide = RegionPredictor(predictor.network, predictor.device, halo=256)
    return wide.classes(slide, Region(0, 0, side, side))


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a smaller slide, once")
    parser.add_argument("--tile", type=int, default=PredictConfig().tile)
    parser.add_argument("--halo", type=int, default=PredictConfig().halo)
    args = parser.parse_args()
    side, rounds = (2048, 1) if args.short else (4096, 3)
    config = PredictConfig(tile=args.tile, halo=args.halo)
    with tempfile.TemporaryDirectory() as folder:
        project, name = make_project(Path(folder), side)
        (model,) = project.model_ids()
        network = load_network(project.folder / "models" / model, 2).eval()
        device = choose_device(network, torch.zeros(1, 3, 512, 512, dtype=torch.uint8))
        predictor = RegionPredictor(network, device, config.halo)
        slide = SlidePatchSource(project, project.slide(name))
        boxes = [predictor.read(slide, tile) for tile in layout(Region(0, 0, side, side), config.tile)]
        computed = sum(box.passes[0].pixels.shape[0] * box.passes[0].pixels.shape[1] for box in boxes)
        bare, ours = [], []
        bare_seconds(predictor, boxes[:1])  # the first pass sets itself up
        for _ in range(rounds):
            bare.append(bare_seconds(predictor, boxes))
            remove_tree(project.prediction_path(model, name))
            ours += [done.seconds for done in run(predict(project, config, model, slides=[name]))]
        part = min(side, _AGREEMENT_SIDE)
        found = project.find_prediction(model, name).read(Region(0, 0, part, part))
        agreement = float((found == whole_labels(predictor, slide, part)).mean())
        slide.close()
    for label, seconds in (("bare network", bare), ("from file to answer", ours)):
        print(
            f"{label:<20} {statistics.median(seconds):6.1f} s  {computed / 1e6 / statistics.median(seconds):.2f} Mpx/s"
        )
    result = {
        "vs_bare": round(statistics.median(bare) / statistics.median(ours), 3),
        "useful": round(side * side / computed, 3),
        "agreement": round(agreement, 5),
        "bfloat16": device.bfloat16,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
