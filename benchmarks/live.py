"""Measure the live model: how well it does on strokes, and how long a refit takes.

``refit_ms``           adding a stroke's pixels to sums over 500 tiles and solving, 515 features and two classes; its
                       answers are compared with those of a fit on all pixels at once
``dice_vs_training``   with --glands: Dice on the held-out patients of the live model relative to that of a minute's
                       training, both on six strokes a class on eight pictures; the mean over the seeds

    python benchmarks/live.py [--glands FOLDER] [--seeds 3]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from accuracy import fresh, sparse_gland_project, train_and_score

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.live.ridge import FeatureSums, LabelledFeatures, solve

WIDTHS = (3, 16, 24, 40, 112, 320)  # of EfficientNet-lite0, the colour first
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


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glands", type=Path, help="folder of the EBHI-SEG glands")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, object] = dict(refit())
    if options.glands:
        with tempfile.TemporaryDirectory() as folder:
            figures |= against_training(options.glands, options.seeds, Path(folder))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
