"""Brush strokes that correct most errors of a predicted mask.

Arrays only.  The ground truth must be known, as it is for the synthetic sample slides.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.graph import route_through_array

_MIN_RADIUS = 3.0  # of an error, in mask pixels; thinner ones are left
_MAX_RADIUS = 60.0
_RADIUS_SHARE = 0.7  # radius of the brush, relative to the radius of the error at its centre


@dataclass(frozen=True)
class Stroke:
    """A brush stroke: class, diameter and path, ``(row, column)`` in mask pixels."""

    label: int
    diameter: int
    path: npt.NDArray[np.float64]


def correction_strokes(predicted: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], count: int) -> list[Stroke]:
    """Return at most `count` strokes, the widest first, that paint only where `predicted` is not `truth`.

    Both hold class indices.  Each stroke stays inside one error, so that it causes no new ones.
    """
    wrong = predicted != truth
    strokes: list[Stroke] = []
    while len(strokes) < count:
        # Outside the image nothing is wrong, so that the whole brush stays inside.
        depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
        depth = np.minimum(depth, _MAX_RADIUS)
        centre = tuple(int(index) for index in np.unravel_index(int(depth.argmax()), depth.shape))
        if depth[centre] < _MIN_RADIUS:
            break
        stroke = _stroke(depth, truth, (centre[0], centre[1]))
        strokes.append(stroke)
        wrong &= ~_covered(wrong.shape, stroke)
    return strokes


def _stroke(depth: npt.NDArray[np.float64], truth: npt.NDArray[np.uint8], centre: tuple[int, int]) -> Stroke:
    """Return the stroke from the centre of an error to the furthest point where the same brush fits."""
    radius = _RADIUS_SHARE * depth[centre]
    fits = (depth >= radius) & (truth == truth[centre])
    parts, _ = ndimage.label(fits)
    points = np.argwhere(parts == parts[centre])
    furthest = points[((points - centre) ** 2).sum(axis=1).argmax()]
    costs = np.where(parts == parts[centre], 1 / np.maximum(depth, 1), -1)  # -1: impassable
    route, _ = route_through_array(costs, centre, tuple(furthest))  # type: ignore[no-untyped-call]
    step = max(1, int(radius / 2))
    path = np.array([*route[:-1:step], route[-1]], np.float64)
    return Stroke(int(truth[centre]), max(1, int(2 * radius) - 1), path)


def _covered(shape: tuple[int, ...], stroke: Stroke) -> npt.NDArray[np.bool_]:
    off_path = np.ones(shape, bool)
    for start, end in zip(stroke.path, [*stroke.path[1:], stroke.path[-1]], strict=True):
        length = max(2, int(np.abs(end - start).max()) + 1)
        rows, columns = np.rint(np.linspace(start, end, length)).astype(int).T
        off_path[rows, columns] = False
    covered: npt.NDArray[np.bool_] = ndimage.distance_transform_edt(off_path) <= stroke.diameter / 2
    return covered
