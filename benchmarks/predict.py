"""Compare the prediction of a slide, from its file to the stored answer, with the bare network on pixels in memory.

On a synthetic slide, with a network that was trained for some seconds; in turn, medians:

``vs_bare``    speed, relative to the same computations on pixels in memory
``useful``     multiplications of the network on the slide's pixels alone, of those made with all margins
``vs_plain``   speed in memory, relative to the undivided network on tiles of 1024 without any margin
``agreement``  labels that equal those of one pass with an exact margin

    python benchmarks/predict.py [--short] [--tile T] [--halo H] [--runtime R]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the product; torch reads both when it is imported
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import numpy as np
import tifffile
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.inference.predictor_choice import choose_predictor
from napari_pathseg.engine.inference.region_predictor import RegionPredictor, to_8_bits
from napari_pathseg.engine.inference.slide_prediction import TilePredictor, blocks_of
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.runtime.choice import ReadyNetwork, choose_runtime
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import Region, layout
from napari_pathseg.masks.prediction import most_likely_classes
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
    run(train(project, TrainConfig(minutes=0.5, seed=0, last_pass=False), None))
    count = -(-side // _FIELD)
    rows = [np.concatenate([fields[(row + column) % 3] for column in range(count)], axis=1) for row in range(count)]
    whole = np.concatenate(rows)[:side, :side]
    tifffile.imwrite(folder / "whole.tif", whole, photometric="rgb", tile=(256, 256), compression="deflate")
    add_slides(project, [folder / "whole.tif"])
    return project, "whole"


def bare_seconds(predictor: TilePredictor, read: list) -> float:
    """Return how long a predictor takes for blocks that lie in memory."""
    start = time.perf_counter()
    for block in read:
        for _ in predictor.compute_tiles(block):
            pass
    return time.perf_counter() - start


@torch.inference_mode()
def useful_share(network: Network, predictor: TilePredictor, read: list, pixels: int) -> float:
    """Return how many multiplications the slide's pixels need, of those that a predictor makes for them."""
    with FlopCounterMode(display=False) as bare:
        network(torch.zeros(1, 3, 512, 512))
    with FlopCounterMode(display=False) as ours:
        bare_seconds(predictor, read)
    return bare.get_total_flops() / 512**2 * pixels / ours.get_total_flops()


def exact_labels(network: Network, ready: ReadyNetwork, slide: SlidePatchSource, part: Region) -> np.ndarray:
    """Return the labels of a corner of the slide from one pass with an exact margin, in the same precision."""
    exact = choose_predictor(network, ready, PredictConfig(halo="exact"))
    labels = np.zeros((part.height, part.width), np.uint8)
    for found in exact.compute_tiles(exact.read_tiles(slide, list(layout(part, 1024)), part)):
        if found is not None:
            labels[found[0].slices] = most_likely_classes(to_8_bits(found[1]))  # as they are stored
    return labels


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a smaller slide, once")
    parser.add_argument("--tile", type=int, default=PredictConfig().tile)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--halo", default=PredictConfig().halo)
    args = parser.parse_args()
    side, rounds = (2048, 1) if args.short else (4096, 3)
    config = PredictConfig(tile=args.tile, halo=args.halo, runtime=args.runtime)
    with tempfile.TemporaryDirectory() as folder:
        project, name = make_project(Path(folder), side)
        (model,) = project.model_ids()
        network = load_network(project.folder / "models" / model, 2).eval()
        ready = choose_runtime(network, config.runtime, megapixels=side * side / 1e6)
        predictor = choose_predictor(network, ready, config)
        slide = SlidePatchSource(project, project.slide(name), cache=True)  # in memory once it is read
        whole = Region(0, 0, side, side)
        blocks = blocks_of(list(layout(whole, config.tile)), predictor.block(slide.factor))
        read = [predictor.read_tiles(slide, block.tiles, block.whole) for block in blocks]
        plain = RegionPredictor(ready.network, ready.device, 0)
        plain_read = [plain.read_tiles(slide, list(layout(whole, config.tile)), whole)]
        by_torch = choose_predictor(network, choose_runtime(network, "torch"), config)  # whose operations are counted
        useful = useful_share(network, by_torch, read, side * side)  # sets the first pass up, too
        bare, ours, without_margin = [], [], []
        for _ in range(rounds):
            bare.append(bare_seconds(predictor, read))
            without_margin.append(bare_seconds(plain, plain_read))
            remove_tree(project.prediction_path(model, name))
            ours += [done.seconds for done in run(predict(project, config, model, slides=[name]))]
        part = Region(0, 0, min(side, _AGREEMENT_SIDE), min(side, _AGREEMENT_SIDE))
        found = project.find_prediction(model, name).read(part)
        agreement = float((found == exact_labels(network, ready, slide, part)).mean())
        slide.close()
    rows = (("in memory", bare), ("from file to answer", ours), ("undivided, without margin", without_margin))
    for label, seconds in rows:
        print(
            f"{label:<26} {statistics.median(seconds):6.1f} s  {side**2 / 1e6 / statistics.median(seconds):.2f} Mpx/s"
        )
    result = {
        "vs_bare": round(statistics.median(bare) / statistics.median(ours), 3),
        "useful": round(useful, 3),
        "vs_plain": round(statistics.median(without_margin) / statistics.median(bare), 3),
        "agreement": round(agreement, 5),
        "runtime": str(ready.way),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
