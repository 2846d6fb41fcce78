"""How fast do the wand and the live-wire answer a move of the mouse, and how fast are superpixels cut?

On a window of 1000 x 800 pixels of drawn tissue the wand is dragged along a random walk, and
the wire is anchored and led about, with the model's probability and without.  Every event is
timed, the first ones of a window too.  Prints a table of milliseconds, and on its last line one
JSON object:

``wand_p95_ms``       one move of a drag, with QuPath's reach of 75 pixels
``live_wire_p95_ms``  one move of the free end, anywhere in the window
``anchor_p95_ms``     one click on the same window

    python benchmarks/gestures.py [--short]
"""

import argparse
import json
import time

import numpy as np
from scipy import ndimage

from napari_pathseg.interactive import LiveWire, Wand
from napari_pathseg.interactive.superpixels import superpixels, touched
from napari_pathseg.samples import draw_field

SHAPE = (800, 1000)
REACH = 75


def timed(work, *arguments) -> float:
    """Return the milliseconds that a call takes."""
    start = time.perf_counter()
    work(*arguments)
    return (time.perf_counter() - start) * 1e3


def walk(steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return the positions of a hand that wanders about the window, some ten pixels at a time."""
    ways = np.cumsum(rng.normal(0, 8, (steps, 2)), axis=0) + rng.random(2) * SHAPE
    folded = np.abs(ways) % (2 * np.array(SHAPE))
    return np.minimum(folded, 2 * np.array(SHAPE) - 1 - folded).clip(0)


def drag_wand(picture, reach: int, drags: int, rng) -> list[float]:
    """Return the milliseconds of each move of some drags of 40, every fourth on a new window."""
    moves = []
    for number in range(drags):
        if number % 4 == 0:
            wand = Wand(picture)
        wand.begin()
        moves += [timed(wand.grow, *position, reach) for position in walk(40, rng)]
    return moves


def lead_wire(wire: LiveWire, anchors: int, rng) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each click, and of each of 40 moves after it."""
    clicks, moves = [], []
    for _ in range(anchors):
        clicks.append(timed(wire.anchor, *(rng.random(2) * SHAPE)))
        moves += [timed(wire.path_to, *position) for position in rng.random((40, 2)) * SHAPE]
    return clicks, moves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a fifth of the events")
    rounds = 4 if parser.parse_args().short else 20
    rng = np.random.default_rng(0)
    picture, classes = draw_field(SHAPE, rng, tumour=0.4)
    probability = (ndimage.gaussian_filter((classes == 2).astype(np.float32), 4) * 255).astype(np.uint8)
    times = {
        f"wand, reach {REACH}": drag_wand(picture, REACH, rounds, rng),
        "wand, reach 150": drag_wand(picture, 150, rounds, rng),
    }
    made, clicks, moves = [], [], []
    for model in (None, probability):
        made += [timed(LiveWire, picture, model) for _ in range(3)]
        for found, more in zip((clicks, moves), lead_wire(LiveWire(picture, model), rounds, rng), strict=True):
            found += more
    times |= {"live-wire made for a window": made, "live-wire, click": clicks, "live-wire, move": moves}
    times["superpixels of 20"] = [timed(superpixels, picture, 20) for _ in range(3)]
    labels = superpixels(picture, 20)
    times["superpixels, stroke"] = [timed(touched, labels, walk(2, rng), 5.0) for _ in range(rounds * 10)]
    print(f"{'ms':30}{'events':>10}{'p50':>10}{'p95':>10}{'most':>10}")
    for name, values in times.items():
        p50, p95 = np.percentile(values, [50, 95])
        print(f"{name:30}{len(values):10}{p50:10.1f}{p95:10.1f}{max(values):10.1f}")
    result = {"wand_p95_ms": times[f"wand, reach {REACH}"], "live_wire_p95_ms": moves, "anchor_p95_ms": clicks}
    print(json.dumps({name: round(float(np.percentile(values, 95)), 2) for name, values in result.items()}))


if __name__ == "__main__":
    main()
