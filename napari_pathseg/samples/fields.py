"""Random fields and random points, from which tissue is drawn.

Fields are smooth Gaussian noise of unit variance at a chosen scale; points are thinned until
none are too close.  The same generator gives the same numbers with any number of threads:
no BLAS, no FFT.
"""

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from napari_pathseg.geometry.arrays import BoolArray, Float32Array, Float64Array

# Square root of the integral of the squared cubic B-spline, in both directions.
_SPLINE_DEVIATION = 0.4794


def _spline_weights(length: int, step: float) -> sparse.csr_array:
    """Return the cubic B-spline weights of knots `step` apart, (length, knots)."""
    position = (np.arange(length) + 0.5) / step
    first = np.floor(position).astype(int)
    t = position - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    columns = first[:, None] + np.arange(4)
    rows = np.broadcast_to(np.arange(length)[:, None], columns.shape)
    shape = (length, int(columns.max()) + 1)
    entries = (weights.ravel().astype(np.float32), (rows.ravel(), columns.ravel()))
    return sparse.csr_array(entries, shape=shape)


def noise(shape: tuple[int, int], step: float | tuple[float, float], rng: np.random.Generator) -> Float32Array:
    """Return smooth noise of mean 0 and variance 1 with one knot every `step` pixels.

    Two steps (rows, columns) stretch the pattern; its blobs are two to three steps wide.
    """
    steps = step if isinstance(step, tuple) else (step, step)
    down, across = (_spline_weights(n, s) for n, s in zip(shape, steps, strict=True))
    knots = rng.standard_normal((down.shape[1], across.shape[1]), dtype=np.float32)
    return _interpolate(knots / np.float32(_SPLINE_DEVIATION), down, across)


def enlarge(coarse: Float32Array, shape: tuple[int, int], step: int) -> Float32Array:
    """Return a field enlarged `step` times to `shape`, linear between pixel centres."""
    down, across = (_linear_weights(n, m, step) for n, m in zip(shape, coarse.shape, strict=True))
    return _interpolate(coarse, down, across)


def _interpolate(knots: Float32Array, down: sparse.csr_array, across: sparse.csr_array) -> Float32Array:
    """Return ``down @ knots @ across.T``, in C order."""
    return np.asarray(down @ np.ascontiguousarray((across @ np.ascontiguousarray(knots.T)).T))


def _linear_weights(length: int, knots: int, step: int) -> sparse.csr_array:
    """Return the weights of `knots` pixels of `step` each for linear interpolation, (length, knots)."""
    position = np.clip((np.arange(length) + 0.5) / step - 0.5, 0, knots - 1)
    first = np.minimum(position.astype(int), max(0, knots - 2))
    columns = np.stack([first, np.minimum(first + 1, knots - 1)], 1)
    weights = np.stack([1 - (position - first), position - first], 1).astype(np.float32)
    rows = np.broadcast_to(np.arange(length)[:, None], columns.shape)
    return sparse.csr_array((weights.ravel(), (rows.ravel(), columns.ravel())), shape=(length, knots))


def ramp(field: Float32Array, low: float, high: float) -> Float32Array:
    """Return 0 at `low` and below, 1 at `high` and above, linear between."""
    return np.asarray(np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1))


def scatter(probability: Float32Array, count: int, rng: np.random.Generator) -> Float64Array:
    """Return some of `count` uniform random points, each accepted with the probability at its position."""
    points = rng.random((count, 2)) * probability.shape
    accepted = rng.random(count) < sample(probability, points)
    return points[accepted]


def sample(field: Float32Array, points: Float64Array) -> Float32Array:
    """Return the values of a field at points (row, column); points outside get the value at the edge."""
    rows = np.clip(points[:, 0].astype(int), 0, field.shape[0] - 1)
    columns = np.clip(points[:, 1].astype(int), 0, field.shape[1] - 1)
    return np.asarray(field[rows, columns])


def keep_apart(points: Float64Array, radii: Float64Array, priority: Float64Array) -> BoolArray:
    """Return which points stay if no two may be closer than the sum of their radii.

    Of two that are too close the one of higher priority stays (Luby's algorithm: every
    round keeps all local maxima and drops their neighbours).
    """
    alive = np.ones(len(points), bool)
    if len(points) < 2:
        return alive
    pairs = cKDTree(points).query_pairs(2 * float(radii.max()), output_type="ndarray")
    distance = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    pairs = pairs[distance < radii[pairs].sum(1)]
    swap = priority[pairs[:, 0]] < priority[pairs[:, 1]]
    pairs[swap] = pairs[swap, ::-1]
    while len(pairs):
        beaten = np.zeros(len(points), bool)
        beaten[pairs[:, 1]] = True
        winners = ~beaten[pairs[:, 0]]
        alive[pairs[winners, 1]] = False
        resolved = winners | ~alive[pairs].all(1)
        pairs = pairs[~resolved]
    return alive
