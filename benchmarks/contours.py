"""How fast do contours come in, become masks and come out of masks again?

Files of one outline of a million vertices and of a hundred thousand outlines are read in
each format; the same outline is painted by this product and by GDAL (rasterio) in turn;
and a mask of two thousand patches is outlined and painted again.  Prints a table, and on
its last line one JSON object:

``seconds_1m``, ``seconds_100k``   to read each file, by format
``vs_rasterio``                    time of our rasteriser over that of GDAL
``agreement``                      share of pixels on which both agree
``outline_s``, ``outline_wrong``   to outline the mask; pixels that differ when painted again

    python benchmarks/contours.py [--short]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from rasterio.features import rasterize as gdal_rasterize

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import read_contours, write_contours
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.contours.vectorize import vectorize

FORMATS = {"svg": ".svg", "geojson": ".geojson", "asap": ".xml"}
SIDE = 4096
ROUNDS = 5
Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds that some work took, and what it returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def wavy(vertices: int) -> Contour:
    """Return one outline with fine waves that fills much of a mask."""
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = 1500 + 300 * np.sin(7 * angle) + 20 * np.sin(vertices / 200 * angle)
    ring = SIDE / 2 + radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return Contour(np.round(ring, 3), class_name="Tumour", color="#c80000")


def many(count: int) -> list[Contour]:
    """Return outlines of 20 vertices each, spread over a slide."""
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    places, radii = rng.uniform(0, 60_000, (count, 2)), rng.uniform(5, 40, count)
    rings = np.round(places[:, None] + radii[:, None, None] * circle, 1)
    return [Contour(ring, class_name="Tumour", color="#c80000") for ring in rings]


def reading(contours: list[Contour], folder: Path) -> dict[str, float]:
    """Return the seconds that each format takes to read them; stop where one reads others."""
    seconds = {}
    for name, suffix in FORMATS.items():
        path = folder / f"contours{suffix}"
        write_contours(path, contours)
        seconds[name], again = timed(lambda path=path: read_contours(path))
        vertices = [sum(len(contour.exterior) for contour in some) for some in (contours, again)]
        # An outline in another of its class is a hole to formats that know no holes.
        if vertices[0] - vertices[1] > 0.01 * vertices[0] or len(again) < 0.99 * len(contours):
            sys.exit(f"{name}: {vertices[1]} of {vertices[0]} vertices came back")
    return seconds


def painting(contour: Contour) -> tuple[float, float, float]:
    """Return our seconds and GDAL's for one outline, each the best of some in turn, and their agreement."""
    shape = (SIDE, SIDE)
    ring = contour.exterior[:, ::-1] + 0.5
    polygon = {"type": "Polygon", "coordinates": [np.vstack([ring, ring[:1]]).tolist()]}
    ours, theirs = [], []
    for _ in range(ROUNDS):
        seconds, mask = timed(lambda: rasterize([contour], shape))
        ours.append(seconds)
        seconds, other = timed(lambda: gdal_rasterize([(polygon, contour.label)], out_shape=shape))
        theirs.append(seconds)
    if not mask.any():
        sys.exit("nothing was painted: the figures mean nothing")
    return min(ours), min(theirs), float((mask == other).mean())


def patches(side: int, count: int) -> np.ndarray:
    """Return a mask of star-shaped patches of one class."""
    rng = np.random.default_rng(1)
    mask = np.zeros((side, side), np.uint8)
    rows, columns = np.mgrid[-60:61, -60:61]
    distance, angle = np.hypot(rows, columns), np.arctan2(rows, columns)
    for top, left, radius in zip(*rng.integers(0, side - 121, (2, count)), rng.uniform(10, 48, count), strict=True):
        mask[top : top + 121, left : left + 121][distance < radius * (1 + 0.2 * np.sin(5 * angle))] = 2
    return mask


def outlining(mask: np.ndarray) -> tuple[float, int]:
    """Return the seconds to outline a mask, the best of some, and the wrong pixels when painted again."""
    rounds = [timed(lambda: vectorize(mask, 2)) for _ in range(ROUNDS)]
    contours = rounds[0][1]
    return min(seconds for seconds, _ in rounds), int((rasterize(contours, mask.shape) != mask).sum())


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a tenth of the outlines, vertices and pixels")
    part = 10 if parser.parse_args().short else 1
    one = wavy(1_000_000 // part)
    with tempfile.TemporaryDirectory() as folder:
        seconds_1m = reading([one], Path(folder))
        seconds_100k = reading(many(100_000 // part), Path(folder))
    ours, theirs, agreement = painting(one)
    side = 8192 if part == 1 else 2048
    outline_s, outline_wrong = outlining(patches(side, 2000 // part))
    print(f"{'':40}" + "".join(f"{name:>10}" for name in FORMATS))
    for title, row in (("1 outline of many vertices", seconds_1m), ("many outlines", seconds_100k)):
        print(f"{title + ', read (s)':40}" + "".join(f"{row[name]:10.2f}" for name in FORMATS))
    print(f"{'':40}{'ours':>10}{'GDAL':>10}{'agreement':>12}")
    print(f"{f'painted on {SIDE}² (s)':40}{ours:10.3f}{theirs:10.3f}{agreement:12.6f}")
    print(f"{f'mask of {side}² outlined (s)':40}{outline_s:10.2f}")
    figures = {
        "seconds_1m": {name: round(value, 2) for name, value in seconds_1m.items()},
        "seconds_100k": {name: round(value, 2) for name, value in seconds_100k.items()},
        "vs_rasterio": round(ours / theirs, 3),
        "agreement": round(agreement, 6),
        "outline_s": round(outline_s, 2),
        "outline_wrong": outline_wrong,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
