"""Vectorization: outlines of a class, exact enough that rasterizing them gives the same mask.

An outline runs half-way between the pixels inside and outside and cuts each corner, so outlines
of touching classes share their border and never overlap.  A smoothed outline stays within half
the smoothing distance of that line, so two touching outlines stay within the smoothing distance
of each other.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import contourpy
import numpy as np
import numpy.typing as npt
import shapely

from napari_pathseg.contours.contour import Contour, Points
from napari_pathseg.geometry import Region

_BLOCK = 16  # pixels: side of the squares in which a mask is searched for patches
_MAX_PATCHES = 20_000  # outlined one by one; more are outlined together
_MAX_TRIES = 5  # each with half the smoothing of the one before
_MIN_SMOOTHING = 0.05  # pixels: less makes no difference


def vectorize(
    mask: npt.NDArray[np.uint8],
    label: int,
    downsample: int = 1,
    offset: tuple[int, int] = (0, 0),
    smooth: float = 0.0,
) -> list[Contour]:
    """Return the outlines of the pixels of `mask` that equal `label`, with their holes.

    Parameters
    ----------
    mask
        Class indices, or a part of them.
    label
        The class to outline; it becomes the contours' label.
    downsample
        Level-0 pixels per mask pixel.
    offset
        Row and column of the part's first pixel in the whole mask, in mask pixels.
    smooth
        Distance in mask pixels (micrometres divided by the mask's pixel size) by which outlines
        of touching classes may differ after the pixel steps are smoothed away.  An outline that
        would lose a hole or a narrow neck is smoothed less or not at all.

    Returns
    -------
    contours
        One for each patch, ``(row, column)`` in level-0 pixels.  Pixels that touch only at
        a corner belong to separate patches.  Without smoothing, :func:`rasterize` gives back
        every pixel.

    Notes
    -----
    A Gaussian filter along each ring is applied twice as Taubin does [1]_, so that round shapes do not
    shrink.

    References
    ----------
    .. [1] Taubin, A signal processing approach to fair surface design, SIGGRAPH 1995.

    Examples
    --------
    >>> mask = np.zeros((4, 4), np.uint8)
    >>> mask[1, 1:3] = 2
    >>> [contour] = vectorize(mask, 2)
    >>> contour.exterior.tolist()
    [[1.0, 0.5], [0.5, 1.0], [0.5, 2.0], [1.0, 2.5], [1.5, 2.0], [1.5, 1.0]]
    """
    contours = []
    for region, chosen in _patches(mask == label):
        first = np.array([offset[0] + region.top - 1, offset[1] + region.left - 1], np.float64)
        lines = contourpy.contour_generator(z=chosen, fill_type="OuterOffset").filled(0.5, np.inf)
        for points, starts in zip(*lines, strict=True):
            rings = (points[begin : end - 1, ::-1] for begin, end in pairwise(starts))
            exterior, *holes = ((_corners(ring) + first) * downsample + (downsample - 1) / 2 for ring in rings)
            contours.append(Contour(exterior, tuple(holes), label=label))
    return contours if smooth <= 0 or not contours else _smooth(contours, smooth * downsample / 2)


def _patches(chosen: npt.NDArray[np.bool_]) -> Iterator[tuple[Region, npt.NDArray[np.float64]]]:
    """Yield boxes and their chosen pixels, padded by one pixel, so that no patch is cut."""
    rows, columns = (-(-side // _BLOCK) for side in chosen.shape)
    padded = np.zeros((rows * _BLOCK, columns * _BLOCK), bool)
    padded[: chosen.shape[0], : chosen.shape[1]] = chosen
    words = padded.view(np.uint64).reshape(rows, _BLOCK, columns, -1)
    blocks = np.bitwise_or.reduce(np.bitwise_or.reduce(words, axis=1), axis=2) != 0
    from skimage.measure import label as connected  # 0.4 s, which no listing of a project needs

    numbers, count = connected(blocks, connectivity=2, return_num=True)  # type: ignore[no-untyped-call]
    boxes = _boxes(numbers, count)
    area = sum(box.height * box.width for box in boxes)
    if count > _MAX_PATCHES or area > rows * columns:
        numbers, boxes = blocks.astype(np.intp), _boxes(blocks.astype(np.intp), 1)
    for number, box in enumerate(boxes, 1):
        region = Region(*(side * _BLOCK for side in (box.top, box.left, box.height, box.width)))
        own = np.kron(numbers[box.slices] == number, np.ones((_BLOCK, _BLOCK), bool))
        yield region, np.pad((padded[region.slices] & own).astype(np.float64), 1)


def _boxes(numbers: npt.NDArray[np.intp], count: int) -> list[Region]:
    """Return the box around each number from 1."""
    rows, columns = np.nonzero(numbers)
    found = numbers[rows, columns] - 1
    low = np.full((count, 2), np.iinfo(np.intp).max)
    high = np.zeros((count, 2), np.intp)
    for axis, places in enumerate((rows, columns)):
        np.minimum.at(low[:, axis], found, places)
        np.maximum.at(high[:, axis], found, places + 1)
    return [
        Region(top, left, bottom - top, right - left)
        for (top, left), (bottom, right) in zip(low.tolist(), high.tolist(), strict=True)
    ]


def _corners(ring: Points) -> Points:
    """Return the ring without collinear points."""
    step = np.diff(ring, axis=0, append=ring[:1])
    before = np.concatenate([step[-1:], step[:-1]])
    corner = before[:, 0] * step[:, 1] != before[:, 1] * step[:, 0]
    return np.ascontiguousarray(ring[corner])


def _smooth(contours: list[Contour], furthest: float) -> list[Contour]:
    """Return contours smoothed by at most `furthest`; those that would then overlap stay as they are."""
    smoothed = [_smoothed(contour, furthest) for contour in contours]
    polygons = np.array([shapely.Polygon(contour.exterior, contour.holes) for contour in smoothed])
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    clash = set(one[one != other].tolist())
    return [contours[index] if index in clash else contour for index, contour in enumerate(smoothed)]


def _smoothed(contour: Contour, furthest: float) -> Contour:
    """Return a contour smoothed by at most `furthest` that keeps its topology."""
    before = shapely.Polygon(contour.exterior, contour.holes)
    for _ in range(_MAX_TRIES):
        if furthest < _MIN_SMOOTHING:
            break
        exterior, *holes = (_smooth_ring(ring, furthest) for ring in contour.rings)
        after = shapely.Polygon(exterior, holes)
        if after.is_valid and 0.5 * before.area < after.area < 2 * before.area:
            return replace(contour, exterior=exterior, holes=tuple(holes))
        furthest /= 2
    return contour


def _smooth_ring(ring: Points, furthest: float) -> Points:
    """Return the ring smoothed along its length, displaced by at most `furthest`."""
    closed = np.concatenate([ring, ring[:1]])
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = max(8, int(np.ceil(2 * along[-1] / furthest)))  # samples half of `furthest` apart: corners lose a quarter
    places = np.arange(count) * (along[-1] / count)
    line = np.interp(places, along, closed[:, 0]) + 1j * np.interp(places, along, closed[:, 1])
    kept = np.exp(-0.5 * (2 * np.pi * np.fft.fftfreq(count, along[-1] / count) * 2 * furthest) ** 2)
    moved = np.fft.ifft(np.fft.fft(line) * (1 - (1 - kept) ** 2)) - line
    line = line + moved * np.minimum(1, 0.7 * furthest / np.maximum(np.abs(moved), 1e-12))
    smoothed = shapely.linearrings(np.stack([line.real, line.imag], axis=1))
    simple = shapely.get_coordinates(shapely.simplify(smoothed, 0.05 * furthest))
    return np.ascontiguousarray(simple[:-1])
