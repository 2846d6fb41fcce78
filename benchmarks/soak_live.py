"""A thousand strokes with Live on, in a real window on a slide of gigapixels: does memory grow?

Strokes of two classes are drawn by mouse events where the camera is, which moves on now and then; the live model
follows in its worker.  Prints the memory of both processes, and on its last line one JSON object:

``window_mb_per_100``, ``worker_mb_per_100``  slope of the memory over strokes, after warm-up
``window_mb``, ``worker_mb``                  the most memory of each
``features_mb``                               what is kept of features on disk
``follows_s``                                 from the last stroke to an overlay of all that is in view

    xvfb-run -a -s "-screen 0 2048x1200x24 +extension GLX" python benchmarks/soak_live.py [--gigapixels 1] [--strokes N]
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from gigapixel import write_gigapixels
from live_window import COLUMNS, HOME, ROWS, Window, begin

from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.samples import draw_field

FIELD, WARM_UP, APART_S = 2048, 0.3, 0.15
MEMORY_GB = 0.1  # for features, so that it is full when the warm-up ends
MOVED, STEP = 25, 1500  # strokes between moves of the camera, and how far


def memory() -> tuple[float, float]:
    """Return the memory of the window and of its worker, in MB."""
    window = psutil.Process()
    workers = [child.memory_info().rss for child in window.children(recursive=True)]
    return window.memory_info().rss / 1e6, sum(workers) / 1e6


def soak(window: Window, strokes: int, side: int, moved: int) -> list[tuple[int, float, float]]:
    """Draw strokes; return the memory of both processes after each."""
    rng, seen, place = np.random.default_rng(0), [], HOME
    for number in range(1, strokes + 1):
        if moved and number % moved == 0:
            place = tuple(int((where + STEP * rng.integers(1, 4)) % (side - 2 * STEP) + STEP) for where in place)
            window.look(place)
            window.wait(seconds=0.3)
        x, y = rng.uniform((100, 100), (COLUMNS - 200, ROWS - 100))
        window.stroke(1 + number % 2, (x, y), (x + rng.uniform(10, 80), y))
        window.wait(seconds=APART_S)
        seen.append((number, *memory()))
        if number % max(1, strokes // 10) == 0:
            print(f"{number:5} strokes: window {seen[-1][1]:.0f} MB, worker {seen[-1][2]:.0f} MB", flush=True)
    return seen


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigapixels", type=float, default=1.0)
    parser.add_argument("--strokes", type=int, default=1000)
    parser.add_argument("--moved", type=int, default=MOVED, help="strokes between moves of the camera; 0: none")
    options = parser.parse_args()
    side = round(math.sqrt(options.gigapixels * 1e9))
    with tempfile.TemporaryDirectory() as folder:
        pixels, classes = draw_field((FIELD, FIELD), np.random.default_rng(0))
        write_gigapixels(Path(folder) / "large.tif", side, pixels)
        project = Project.create(Path(folder) / "soak.pathseg", mpp=None)
        add_slides(project, [Path(folder) / "large.tif"])
        window = Window(project)
        window.session.live.set_config(window.session.live.config.replace(memory_gb=MEMORY_GB))
        begin(window, np.tile(classes, (2, 2)))
        seen = soak(window, options.strokes, side, options.moved)
        since = time.perf_counter()
        if not window.wait(lambda: window.covered):
            sys.exit("The view was not answered in a minute.")
        follows = time.perf_counter() - since
        kept = sum(path.stat().st_size for path in (project.folder / "features").rglob("*") if path.is_file())
        drawn = int(window.session.mask.counts[1:3, 4:].sum())
        window.dock.shutdown()
        window.viewer.close()
    if not drawn:
        sys.exit("Nothing was drawn: the figures are meaningless")
    table = np.array(seen)
    warm = table[table[:, 0] > WARM_UP * options.strokes]
    slopes = [float(np.polyfit(warm[:, 0] / 100, warm[:, column], 1)[0]) for column in (1, 2)]
    answer = {"window_mb_per_100": round(slopes[0], 2), "worker_mb_per_100": round(slopes[1], 2)}
    answer |= {"window_mb": round(float(table[:, 1].max())), "worker_mb": round(float(table[:, 2].max()))}
    print(json.dumps(answer | {"features_mb": round(kept / 1e6), "follows_s": round(follows, 2)}))


if __name__ == "__main__":
    main()
