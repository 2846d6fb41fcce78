"""Where a predicted mask is wrong, and the brush strokes that mend most of it.

Arrays only: the truth is known for the drawn sample slides, and only they are corrected so.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.graph import route_through_array

_MIN_RADIUS = 3.0  # of a mistake, in mask pixels; what is thinner is left
_MAX_RADIUS = 60.0
_RADIUS_SHARE = 0.7  # share of the radius at a mistake's middle that a stroke stays away from its edge


@dataclass(frozen=True)
class Stroke:
    """A stroke of the brush: its class, its diameter and its way, ``(row, column)`` in mask pixels."""

    label: int
    diameter: int
    path: npt.NDArray[np.float64]


def correction_strokes(predicted: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], count: int) -> list[Stroke]:
    """Return at most `count` strokes, the widest first, that paint only where `predicted` is not `truth`.

    Both hold class indices; each stroke stays inside one mistake, so that it makes no new one.
    """
    wrong = predicted != truth
    strokes: list[Stroke] = []
    while len(strokes) < count:
        # Beyond the picture's edge nothing is wrong, so that the whole brush stays inside.
        depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
        depth = np.minimum(depth, _MAX_RADIUS)
        middle = tuple(int(index) for index in np.unravel_index(int(depth.argmax()), depth.shape))
        if depth[middle] < _MIN_RADIUS:
            break
        stroke = _stroke(depth, truth, (middle[0], middle[1]))
        strokes.append(stroke)
        wrong &= ~_covered(wrong.shape, stroke)
    return strokes


def _stroke(depth: npt.NDArray[np.float64], truth: npt.NDArray[np.uint8], middle: tuple[int, int]) -> Stroke:
    """Return the stroke from the middle of a mistake to the furthest place that the same brush fits."""
    radius = _RADIUS_SHARE * depth[middle]
    fits = (depth >= radius) & (truth == truth[middle])
    parts, _ = ndimage.label(fits)
    places = np.argwhere(parts == parts[middle])
    furthest = places[((places - middle) ** 2).sum(axis=1).argmax()]
    costs = np.where(parts == parts[middle], 1 / np.maximum(depth, 1), -1)  # -1: no way through
    route, _ = route_through_array(costs, middle, tuple(furthest))  # type: ignore[no-untyped-call]
    step = max(1, int(radius / 2))
    path = np.array([*route[:-1:step], route[-1]], np.float64)
    return Stroke(int(truth[middle]), max(1, int(2 * radius) - 1), path)


def _covered(shape: tuple[int, ...], stroke: Stroke) -> npt.NDArray[np.bool_]:
    away = np.ones(shape, bool)
    for start, end in zip(stroke.path, [*stroke.path[1:], stroke.path[-1]], strict=True):
        length = max(2, int(np.abs(end - start).max()) + 1)
        rows, columns = np.rint(np.linspace(start, end, length)).astype(int).T
        away[rows, columns] = False
    covered: npt.NDArray[np.bool_] = ndimage.distance_transform_edt(away) <= stroke.diameter / 2
    return covered
