"""Flattening: ellipses, Bezier curves and SVG's elliptical arcs as polylines, vectorized.

No polyline deviates from its curve by more than `tolerance`.  The number of points is passed to
`consume` before they are created.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.contour import Points

Consume = Callable[[float], None]
FLATNESS = 0.1  # pixels: how far polylines may deviate from the curves of a file
_MIN_STEP = 1e-9  # radians: smaller steps always exceed the limit on points


def ellipse(
    center: tuple[float, float],
    radii: tuple[float, float],
    angles: tuple[float, float],
    tolerance: float,
    consume: Consume,
) -> Points:
    """Return points on an axis-parallel ellipse, from one angle to the other, in radians."""
    step = 2 * math.acos(max(0.9, 1 - tolerance / max(radii)))
    pieces = math.ceil(abs(angles[1] - angles[0]) / max(step, _MIN_STEP))
    consume(pieces + 1)
    angle = np.linspace(*angles, pieces + 1)
    points: Points = np.array(center) + np.array(radii) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points


def flatten_beziers(control: Points, tolerance: float, consume: Consume) -> Points:
    """Return the points of Bezier curves after their first; `control` is (curves, degree + 1, 2)."""
    degree = control.shape[1] - 1
    bend = np.hypot(*np.moveaxis(np.diff(control, 2, axis=1), 2, 0)).max(axis=1)
    pieces = np.ceil(np.sqrt(degree * (degree - 1) / 8 * bend / tolerance)).clip(1)  # Wang, 1984
    curve, t = _spread_points(pieces, consume)
    points: Points = np.zeros((len(curve), 2))
    for index in range(degree + 1):
        weight = math.comb(degree, index) * (1 - t) ** (degree - index) * t**index
        points += weight[:, None] * control[curve, index]
    points[t == 1] = control[:, -1]
    return points


def flatten_bezier(control: Sequence[complex], tolerance: float, consume: Consume) -> list[tuple[float, float]]:
    """Return the points of one Bezier curve after its first, faster than :func:`flatten_beziers`.

    Points are complex, x + iy, in `control` and pairs in the result.
    """
    p0, p1, p2, p3 = control if len(control) == 4 else (*control, 0)
    cubic = len(control) == 4
    bend = max(abs(p0 - 2 * p1 + p2), abs(p1 - 2 * p2 + p3) if cubic else 0)
    pieces = max(1.0, math.sqrt((0.75 if cubic else 0.25) * bend / tolerance))  # Wang, 1984
    consume(pieces)
    count = math.ceil(pieces)
    found = []
    for index in range(1, count):
        t = index / count
        s = 1 - t
        if cubic:
            at = s * s * s * p0 + 3 * s * s * t * p1 + 3 * s * t * t * p2 + t * t * t * p3
        else:
            at = s * s * p0 + 2 * s * t * p1 + t * t * p2
        found.append((at.real, at.imag))
    found.append((control[-1].real, control[-1].imag))
    return found


def flatten_arcs(starts: Points, shapes: Points, ends: Points, tolerance: float, consume: Consume) -> Points:
    """Return the points of elliptical arcs after their first.

    `shapes` holds both radii, the rotation of the x axis in degrees and the two flags of SVG; the
    conversion from end points to centre is that of SVG 1.1, appendix F.6.5.
    """
    straight = (np.abs(shapes[:, :2]).min(axis=1) <= 1e-9) | (starts == ends).all(axis=1)
    radii = np.where(straight[:, None], 1.0, np.abs(shapes[:, :2]))
    rotation = np.radians(shapes[:, 2])
    large, sweep = shapes[:, 3] == 1, shapes[:, 4] == 1
    half = _rotated((starts - ends) / 2, -rotation) / radii  # on the unit circle
    length = (half**2).sum(axis=1)
    grown = np.sqrt(length.clip(1))[:, None]  # radii too short for the end points are scaled up
    radii, half, length = radii * grown, half / grown, length.clip(1e-300, 1)
    reach = np.sqrt((1 / length - 1).clip(0)) * np.where(large == sweep, -1, 1)
    center = reach[:, None] * np.stack([half[:, 1], -half[:, 0]], axis=1)
    begin, stop = (np.arctan2(*(side - center).T[::-1]) for side in (half, -half))
    span = stop - begin
    span += 2 * np.pi * ((sweep & (span < 0)).astype(int) - (~sweep & (span > 0)))
    span[straight] = 0
    step = 2 * np.arccos((1 - tolerance / radii.max(axis=1)).clip(0.9))
    curve, t = _spread_points(np.ceil(np.abs(span) / step.clip(_MIN_STEP)).clip(1), consume)
    angle = begin[curve] + span[curve] * t
    on_circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) + center[curve]
    points = _rotated(on_circle * radii[curve], rotation[curve]) + ((starts + ends) / 2)[curve]
    points[t == 1] = ends
    return points


def _rotated(points: Points, angle: npt.NDArray[np.float64]) -> Points:
    """Return each point rotated about the origin by its angle."""
    cos, sin, (x, y) = np.cos(angle), np.sin(angle), points.T
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)


def _spread_points(
    pieces: npt.NDArray[np.float64], consume: Consume
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return, for each point to be created, the number of its curve and its parameter t, which ends at 1."""
    consume(float(pieces.sum()))
    counts = pieces.astype(np.intp)
    curve = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(1, len(curve) + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    return curve, step / counts[curve]
