"""Rasterization: the pixels inside a contour.

A pixel belongs to a contour if its centre does.  Every edge toggles the pixels to its right on
the rows it crosses, so one pass over all edges, holes included, gives the inside by parity,
whatever the order and direction of the vertices.  Two contours that share an edge share no
pixel and leave no gap.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.contour import Contour, check_contours
from napari_pathseg.geometry import EMPTY_REGION, Region

_BAND_PIXELS = 4_000_000  # pixels in memory at a time
_CROSSINGS_PER_CHUNK = 1_000_000  # crossings of edges and rows in memory at a time


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
    for contour in contours:
        for region, inside in scanline_fill(contour, shape, downsample):
            np.copyto(mask[region.slices], np.uint8(contour.label), where=inside)
    return mask


def scanline_fill(
    contour: Contour, shape: tuple[int, int], downsample: int = 1
) -> Iterator[tuple[Region, npt.NDArray[np.bool_]]]:
    """Yield the inside of `contour` band by band, from top to bottom, clipped to a mask of `shape`.

    Each band is a box of mask pixels and a bool array of its size, at most 4 Mpx (or one row),
    so the mask of a whole slide is never in memory.  `downsample` is level-0 pixels per mask
    pixel.
    """
    edges = _edges(contour, shape[0], downsample)
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


def _edges(contour: Contour, rows: int, downsample: int) -> _Edges:
    """Return the edges of exterior and holes that cross one of the `rows` of the mask."""
    half = (downsample - 1) / 2
    row, column = np.concatenate([((ring - half) / downsample).T for ring in contour.rings], axis=1)
    lengths = [len(ring) for ring in contour.rings]
    after = np.arange(1, len(row) + 1)
    after[np.cumsum(lengths) - 1] -= lengths  # each ring's last vertex is joined to its first
    below = np.ceil(row).clip(0, rows).astype(np.intp)  # the first mask row at or below each vertex
    start = np.flatnonzero(below != below[after])
    end = after[start]
    upper, lower = np.where(below[start] < below[end], (start, end), (end, start))
    first, last, top, left = below[upper], below[lower], row[upper], column[upper]
    return _Edges(first, last, top, left, row[lower] - top, column[lower] - left)


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
    counts = last - first
    edge = np.repeat(np.arange(len(first)), counts)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    # GDAL's order of operations, so that a centre on an edge falls to the same side.
    column = (row - edges.row[edge]) * edges.width[edge] / edges.height[edge] + edges.column[edge]
    pixel = (np.floor(column) + 1 - band.left).clip(0, band.width).astype(np.intp)
    np.bitwise_xor.at(flips.reshape(-1), (row - band.top) * flips.shape[1] + pixel, np.uint8(1))
