"""Measure the live model: how well it does on strokes, and how long a refit takes.

``refit_ms``           adding a stroke's pixels to sums over 500 tiles and solving, 515 features and two classes; its
                       answers are compared with those of a fit on all pixels at once
``dice_vs_training``   with --glands: Dice on the held-out patients of the live model relative to that of a minute's
                       training, both on six strokes a class on eight pictures; the mean over the seeds
``view_ms``            from a stroke to the last answer for a view of 1600 x 1000 pixels, features at hand, without a
                       window; 95th percentile
``encode_vs_bare``     pixels a second of features of a slide's tiles, reading and halo included, relative to the bare
                       encoder on tiles of 512 pixels in the same precision
``refresh_s``          answering for each fourth pixel of a slide of 10,000 x 10,000, features at hand

    python benchmarks/live.py [--glands FOLDER] [--seeds 3]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from accuracy import fresh, sparse_gland_project, train_and_score

from napari_pathseg.config import LINEAR, LiveConfig, TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.events import Event, LiveTile
from napari_pathseg.engine.live.discriminant import FeatureSums, LabelledFeatures, LinearClassifier, solve
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.engine.live.live_model import LiveModel
from napari_pathseg.engine.live.live_slide import LiveSlide
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.engine.live.tile_features import SIDE, ScaleWeights, TileFeatures
from napari_pathseg.engine.networks import build_network
from napari_pathseg.geometry import Region, layout
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

WIDTHS, STRIDES = (3, 16, 24, 40, 112, 320), (2, 2, 4, 8, 16, 32)  # of EfficientNet-lite0, the colour first
STROKES, QUIET_S, TURNS, DISTINCT = 24, 0.5, 20, 24
TILES, PIXELS, STROKE, REFITS = 500, 400, 600, 40
PENALTY = 0.03


def drawn(rng: np.random.Generator, count: int) -> LabelledFeatures:
    """Return labelled pixels of two classes that differ in some features."""
    classes = rng.integers(1, 3, count).astype(np.uint8)
    features = rng.normal(size=(count, sum(WIDTHS))).astype(np.float32)
    features[:, ::7] += classes[:, None] - 1.5
    return LabelledFeatures(features, classes, np.ones(count, np.float32))


def refit() -> dict[str, float]:
    """Measure a refit after each of some strokes."""
    rng, sums = np.random.default_rng(0), FeatureSums(2, sum(WIDTHS))
    before, times = [drawn(rng, TILES * PIXELS // 50) for _ in range(50)], []
    for part in before:
        sums.add(part)
    strokes = [drawn(rng, STROKE) for _ in range(REFITS)]
    for stroke in strokes:
        start = time.perf_counter()
        sums.add(stroke)
        (found,) = solve(sums, WIDTHS, [PENALTY])
        times.append(1000 * (time.perf_counter() - start))
    parts = [*before, *strokes]
    together = FeatureSums(2, sum(WIDTHS))
    names = ("features", "classes", "weights")
    together.add(LabelledFeatures(*(np.concatenate([getattr(part, name) for part in parts]) for name in names)))
    (expected,) = solve(together, WIDTHS, [PENALTY])
    probe = drawn(rng, 1000).features
    np.testing.assert_allclose(found.logits(probe), expected.logits(probe), atol=1e-6)
    return {"refit_ms": round(statistics.median(times), 1), "refit_ms_95th": round(np.percentile(times, 95), 1)}


def against_training(glands: Path, seeds: int, folder: Path) -> dict[str, object]:
    """Train on the same strokes for a minute, and fit the live model to them."""
    live, trained = [], []
    for seed in range(seeds):
        project = sparse_gland_project(fresh(folder, f"live{seed}"), glands, seed)
        live.append(train_and_score(project, TrainConfig(preset="live"))[1])
        trained.append(train_and_score(project, TrainConfig(minutes=1, seed=seed))[1])
    ratio = statistics.mean(live) / statistics.mean(trained)
    return {
        "dice_vs_training": round(ratio, 3),
        "live": [round(dice, 4) for dice in live],
        "training": [round(dice, 4) for dice in trained],
    }


def tissue_project(folder: Path) -> Project:
    """Return a project of a synthetic slide of 2048 x 1280 pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(20, 32, 3)) * 30 + (180, 110, 170)
    pixels = np.kron(coarse, np.ones((64, 64, 1))) + rng.normal(size=(1280, 2048, 3)) * 15
    tifffile.imwrite(folder / "tissue.tif", pixels.clip(0, 255).astype(np.uint8), photometric="rgb", tile=(256, 256))
    project = Project.create(folder / "live.pathseg")
    add_slides(project, [folder / "tissue.tif"], AddOptions())
    return project


def settle(model: LiveModel) -> list[Event]:
    """Let a live model do all it has to do."""
    events: list[Event] = []
    while not model.idle:
        events += model.work(background=True)
    return events


def follow_strokes(project: Project) -> dict[str, float]:
    """Measure how soon a view is answered after a stroke, its features at hand."""
    model, rng, times = LiveModel(project, LiveConfig(disk_gb=0)), np.random.default_rng(0), []
    model.show("tissue", Region(140, 200, 1000, 1600), 1)
    for number in range(STROKES):
        top, left = (int(place) for place in rng.integers(200, 1000, 2))
        stroke = np.stack(
            [np.full((20, 150), number % 2 + 1, np.uint8), np.full((20, 150), Provenance.DRAWN, np.uint8)]
        )
        start = last = time.perf_counter()
        model.update("tissue", Region(top, left, 20, 150), stroke)
        while not model.idle:
            for event in model.work(background=False):
                last = time.perf_counter() if isinstance(event, LiveTile) else last
            if time.perf_counter() - last > QUIET_S:
                break
        if number >= STROKES // 4:
            times.append(1000 * (last - start))
        settle(model)
    model.close()
    return {"view_ms": round(float(np.percentile(times, 95)), 1), "view_ms_median": round(statistics.median(times), 1)}


def encode(project: Project) -> dict[str, float]:
    """Compare the rate of features with that of the bare encoder."""
    features = KeptFeatures(project, LiveConfig(disk_gb=0))
    features.load_encoder()
    slide = LiveSlide(project, project.slide("tissue"), "none", [])
    network = build_network(NetworkSpec(LINEAR, LiveConfig().encoder, 2), "imagenet").eval()
    device = choose_device(network, torch.zeros(1, 3, 256, 256))
    sample = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    times: dict[str, list[float]] = {"bare": [], "kept": []}
    for turn in range(TURNS):
        start = time.process_time()  # of all threads, so that the load of other programs does not count
        with torch.inference_mode(), device.autocast():
            network.encoder(network._scale(sample))
        between = time.process_time()
        features.compute(slide, (turn // 4 % 2, turn % 4))
        times["bare"].append(between - start)
        times["kept"].append(time.process_time() - between)
    bare, kept = (min(times[name][2:]) for name in ("bare", "kept"))
    return {"encode_vs_bare": round(bare / kept, 2), "encode_cpu_ms": round(1000 * kept, 1)}


def refresh() -> dict[str, float]:
    """Measure how long the whole of a large slide takes."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(SIDE // stride + 2, SIDE // stride + 2, width) for stride, width in zip(STRIDES, WIDTHS, strict=True)]
    tiles = [[torch.randn(shape, generator=generator).half() for shape in shapes] for _ in range(DISTINCT)]
    rng = np.random.default_rng(0)
    weights = ScaleWeights.of(LinearClassifier(rng.normal(size=(2, sum(WIDTHS))), np.zeros(2)), WIDTHS)
    start, whole = time.perf_counter(), Region(0, 0, 10_000, 10_000)
    for number, box in enumerate(layout(whole, SIDE)):
        tile = TileFeatures(box, STRIDES, tuple(tiles[number % DISTINCT]))
        pack(weights.answer(tile, box, 4, 1.0))
    return {"refresh_s": round(time.perf_counter() - start, 2)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glands", type=Path, help="folder of the EBHI-SEG glands")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, object] = refit() | refresh()
    with tempfile.TemporaryDirectory() as folder:
        project = tissue_project(Path(folder))
        figures |= encode(project) | follow_strokes(project)
    if options.glands:
        with tempfile.TemporaryDirectory() as folder:
            figures |= against_training(options.glands, options.seeds, Path(folder))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
