"""Ten thousand strokes with undo in one session: does memory grow?

Strokes lie at random on a mask of a whole slide, are carried out as the window does it, and one
in ten is undone; the mask is saved now and then.  Prints the memory after each thousand strokes and,
on the last line, one JSON object:

``mb_per_1000_strokes``  slope of the memory of the process after warm-up
``strokes``              how many were painted
``ms_per_stroke``        time for each, with its share of undo and saving

    python benchmarks/soak_strokes.py [--short] [--strokes 10000] [--side 20000]
"""

import argparse
import gc
import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.masks import Mask, open_mask
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.masks.stroke_queue import Brush, Stroke

WARM_UP = 0.2  # of the strokes: until the chunks that are kept in memory are all in use


def paint(mask: Mask, chance: random.Random) -> None:
    """Paint a stroke of several brush segments, and sometimes undo it."""
    label, radius = chance.choice([0, 1, 2]), chance.choice([5, 25, 25, 100])
    at = tuple(chance.uniform(0, size) for size in mask.shape)
    for _ in range(chance.randint(1, 5)):
        to = tuple(place + chance.uniform(-100, 100) for place in at)
        mask.add_stroke(Stroke(BrushSegment(at, to, radius), Brush(label)))
        mask.process_pending(0.008)
        at = to
    mask.end_undo_group()
    if chance.random() < 0.1:
        mask.undo()
        if chance.random() < 0.5:
            mask.redo()
    if chance.random() < 0.01:
        mask.flush()


def main() -> None:
    """Paint, and measure the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strokes", type=int)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    strokes = options.strokes or (1000 if options.short else 10_000)
    chance, process = random.Random(0), psutil.Process()
    seen: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "soak.zarr"
        begin = time.perf_counter()
        with open_mask(path, (options.side, options.side), DEFAULT_CLASSES) as mask:
            for number in range(1, strokes + 1):
                paint(mask, chance)
                if number % (strokes // 50) == 0:
                    gc.collect()
                    seen.append((number, process.memory_info().rss / 1e6))
                if number % (strokes // 10) == 0:
                    journal = path.with_suffix(".journal").stat().st_size / 1e6
                    print(f"{number:6} strokes: {seen[-1][1]:.1f} MB, journal {journal:.0f} MB", flush=True)
        seconds = time.perf_counter() - begin
    warm = np.array([one for one in seen if one[0] > WARM_UP * strokes])
    slope = float(np.polyfit(warm[:, 0] / 1000, warm[:, 1], 1)[0])
    answer = {"mb_per_1000_strokes": round(slope, 3), "strokes": strokes}
    print(json.dumps({**answer, "ms_per_stroke": round(1000 * seconds / strokes, 2)}))


if __name__ == "__main__":
    main()
