"""Rasterization: the pixels inside a contour.

A pixel belongs to a contour if its centre does.  Every edge toggles the pixels to its right on
the rows it crosses, so one pass over all edges, holes included, gives the inside by parity,
whatever the order and direction of the vertices.  Two contours that share an edge share no
pixel and leave no gap.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.contour import Contour, check_contours
from napari_pathseg.geometry import EMPTY_REGION, Region

_BAND_PIXELS = 4_000_000  # pixels in memory at a time
_CROSSINGS_PER_CHUNK = 1_000_000  # crossings of edges and rows in memory at a time
_SMALL_PIXELS = 4096  # of a contour's box, up to which contours are filled many at a time
_BATCH = 256  # contours


class _Edges(NamedTuple):
    """The edges of a contour that cross rows of a mask, each from its upper end, in mask pixels."""

    first: npt.NDArray[np.intp]  # the first row crossed
    last: npt.NDArray[np.intp]  # the row after the last one crossed
    row: npt.NDArray[np.float64]
    column: npt.NDArray[np.float64]
    height: npt.NDArray[np.float64]
    width: npt.NDArray[np.float64]

    def take(self, index: npt.NDArray[np.intp] | slice) -> "_Edges":
        """Return some of the edges."""
        ends = self.row[index], self.column[index], self.height[index], self.width[index]
        return _Edges(self.first[index], self.last[index], *ends)


def rasterize(contours: Iterable[Contour], shape: tuple[int, int], downsample: int = 1) -> npt.NDArray[np.uint8]:
    """Paint `contours` into a label mask.

    Where contours overlap the later one wins.

    Parameters
    ----------
    contours
        Outlines with their holes, ``(row, column)`` in level-0 pixels.
    shape
        Rows and columns of the mask.
    downsample
        Level-0 pixels per mask pixel, 1 or more.

    Returns
    -------
    mask : uint8 array of `shape`
        The class index of each pixel; 0 outside all contours.

    Raises
    ------
    AnnotationError
        If an outline has fewer than three vertices, or one of them is not finite.

    Notes
    -----
    Even-odd scan conversion at pixel centres [1]_, the rule of GDAL and SVG's ``evenodd``.
    A centre on an edge belongs to the side below or to the left.

    References
    ----------
    .. [1] Foley et al., Computer Graphics: Principles and Practice, 2nd ed., section 3.6.

    Examples
    --------
    >>> square = Contour(np.array([[0, 0], [0, 4], [4, 4], [4, 0]]), label=2)
    >>> rasterize([square], (3, 3), downsample=2)
    array([[2, 2, 0],
           [2, 2, 0],
           [0, 0, 0]], dtype=uint8)
    """
    contours = list(contours)
    check_contours(contours)
    mask = np.zeros(shape, np.uint8)
    paint_contours(mask, contours, downsample)
    return mask


def paint_contours(
    mask: npt.NDArray[np.uint8], contours: Iterable[Contour], downsample: int = 1, offset: int = 0
) -> Region:
    """Paint contours, later ones over earlier ones, as their label plus `offset`; return a box that holds them all.

    Small contours are filled many at a time: one by one, each would take longer than its pixels do.
    """
    contours, reached = list(contours), EMPTY_REGION
    for first in range(0, len(contours), _BATCH):
        batch = contours[first : first + _BATCH]
        small = _pixels_in_boxes(batch, downsample) <= _SMALL_PIXELS
        for is_small, numbers in groupby(range(len(batch)), key=small.__getitem__):
            run = [batch[number] for number in numbers]
            fill = _fill_small if is_small else _fill_large
            reached = reached.unite(fill(mask, run, downsample, offset))
    return reached


def _pixels_in_boxes(contours: Sequence[Contour], downsample: int) -> npt.NDArray[np.float64]:
    """Return how many pixels of the mask each contour's bounding box has, about."""
    rings, owners = _rings(contours)
    points = np.concatenate(rings) / downsample
    starts = np.cumsum([0, *map(len, rings[:-1])])[np.flatnonzero(np.diff(owners, prepend=-1))]
    sides: npt.NDArray[np.float64] = np.maximum.reduceat(points, starts) - np.minimum.reduceat(points, starts) + 1
    pixels: npt.NDArray[np.float64] = sides.prod(axis=1)
    return pixels


def _fill_small(mask: npt.NDArray[np.uint8], contours: Sequence[Contour], downsample: int, offset: int) -> Region:
    """Paint contours of few pixels at once; return a box that holds them all."""
    rings, owners = _rings(contours)
    rows, columns = mask.shape
    edges, ring = _edges(rings, rows, downsample)
    edge, row, column = _crossings(edges, edges.first, edges.last)
    owner, pixel = owners[ring[edge]], (np.floor(column) + 1).clip(0, columns).astype(np.intp)
    # Each row of a contour is crossed an even number of times; it lies inside from each odd crossing to the next.
    order = np.lexsort((pixel, row, owner))
    start, stop = pixel[order[::2]], pixel[order[1::2]]
    row, owner = row[order[::2]], owner[order[::2]]
    lengths = stop - start
    if not lengths.any():
        return EMPTY_REGION
    at = np.arange(lengths.sum()) + np.repeat(start - (np.cumsum(lengths) - lengths), lengths)
    labels = np.array([contour.label + offset for contour in contours], np.uint8)
    mask[np.repeat(row, lengths), at] = np.repeat(labels[owner], lengths)  # of a pixel's labels, the last one stays
    top, left = int(row.min()), int(start.min())
    return Region(top, left, int(row.max()) + 1 - top, int(stop.max()) - left)


def _fill_large(mask: npt.NDArray[np.uint8], contours: Sequence[Contour], downsample: int, offset: int) -> Region:
    """Paint contours one after another; return a box that holds them all."""
    reached = EMPTY_REGION
    for contour in contours:
        for region, inside in scanline_fill(contour, mask.shape, downsample):
            np.copyto(mask[region.slices], np.uint8(contour.label + offset), where=inside)
            reached = reached.unite(region)
    return reached


def _rings(contours: Sequence[Contour]) -> tuple[list[npt.NDArray[np.float64]], npt.NDArray[np.intp]]:
    """Return the rings of all contours, and the number of the contour that each belongs to."""
    rings = [ring for contour in contours for ring in contour.rings]
    return rings, np.repeat(np.arange(len(contours)), [len(contour.rings) for contour in contours])


def scanline_fill(
    contour: Contour, shape: tuple[int, int], downsample: int = 1
) -> Iterator[tuple[Region, npt.NDArray[np.bool_]]]:
    """Yield the inside of `contour` band by band, from top to bottom, clipped to a mask of `shape`.

    Each band is a box of mask pixels and a bool array of its size, at most 4 Mpx (or one row),
    so the mask of a whole slide is never in memory.  `downsample` is level-0 pixels per mask
    pixel.
    """
    edges, _ = _edges(contour.rings, shape[0], downsample)
    box = _box(edges, shape[1])
    if box.empty:
        return
    height = max(1, _BAND_PIXELS // box.width)
    edges = edges.take(np.argsort(edges.first)) if box.height > height else edges
    begin, reaching = 0, np.empty(0, np.intp)
    for top in range(box.top, box.bottom, height):
        band = Region(top, box.left, min(height, box.bottom - top), box.width)
        end = len(edges.first) if band.bottom == box.bottom else int(edges.first.searchsorted(band.bottom))
        active = np.concatenate([reaching, np.arange(begin, end)])
        yield band, _inside(edges.take(active), band)
        begin, reaching = end, active[edges.last[active] > band.bottom]


def _edges(rings: Sequence[npt.NDArray[np.float64]], rows: int, downsample: int) -> tuple[_Edges, npt.NDArray[np.intp]]:
    """Return the edges of rings that cross one of the `rows` of the mask, and the number of the ring of each."""
    half = (downsample - 1) / 2
    row, column = ((np.concatenate(rings) - half) / downsample).T
    lengths = [len(ring) for ring in rings]
    after = np.arange(1, len(row) + 1)
    after[np.cumsum(lengths) - 1] -= lengths  # each ring's last vertex is joined to its first
    below = np.ceil(row).clip(0, rows).astype(np.intp)  # the first mask row at or below each vertex
    start = np.flatnonzero(below != below[after])
    end = after[start]
    upper, lower = np.where(below[start] < below[end], (start, end), (end, start))
    first, last, top, left = below[upper], below[lower], row[upper], column[upper]
    ring = np.repeat(np.arange(len(lengths)), lengths)[start]
    return _Edges(first, last, top, left, row[lower] - top, column[lower] - left), ring


def _box(edges: _Edges, columns: int) -> Region:
    """Return the bounding box, in mask pixels, of the area that the edges can enclose."""
    if not len(edges.first):
        return EMPTY_REGION
    ends = edges.column + edges.width
    left = min(edges.column.min(), ends.min())
    right = max(edges.column.max(), ends.max())
    top, bottom = int(edges.first.min()), int(edges.last.max())
    start, stop = (int(np.clip(np.floor(value) + 1, 0, columns)) for value in (left, right + 1))
    return Region(top, start, bottom - top, stop - start)


def _inside(edges: _Edges, band: Region) -> npt.NDArray[np.bool_]:
    """Return which pixels of the band are to the right of an odd number of edges."""
    flips = np.zeros((band.height, band.width + 1), np.uint8)  # one more column, for edges right of the band
    first, last = edges.first.clip(min=band.top), edges.last.clip(max=band.bottom)
    total = np.cumsum(last - first)
    begin = 0
    while begin < len(first):
        done = total[begin - 1] if begin else 0
        end = max(begin + 1, int(total.searchsorted(done + _CROSSINGS_PER_CHUNK, "right")))
        chunk = slice(begin, end)
        _flip(flips, edges.take(chunk), first[chunk], last[chunk], band)
        begin = end
    np.bitwise_xor.accumulate(flips, axis=1, out=flips)
    return flips.view(np.bool_)[:, :-1]


def _flip(
    flips: npt.NDArray[np.uint8],
    edges: _Edges,
    first: npt.NDArray[np.intp],
    last: npt.NDArray[np.intp],
    band: Region,
) -> None:
    """Flip, on each row that an edge crosses, the first pixel whose centre is to its right."""
    _, row, column = _crossings(edges, first, last)
    pixel = (np.floor(column) + 1 - band.left).clip(0, band.width).astype(np.intp)
    np.bitwise_xor.at(flips.reshape(-1), (row - band.top) * flips.shape[1] + pixel, np.uint8(1))


def _crossings(
    edges: _Edges, first: npt.NDArray[np.intp], last: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return where edges cross rows, each from its `first` to before its `last`: number of the edge, row and column."""
    counts = last - first
    edge = np.repeat(np.arange(len(first)), counts)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    # GDAL's order of operations, so that a centre on an edge falls to the same side.
    column = (row - edges.row[edge]) * edges.width[edge] / edges.height[edge] + edges.column[edge]
    return edge, row, column
