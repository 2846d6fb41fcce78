"""The live-wire: between two clicks the contour follows the cheapest path, and edges are cheap.

After Mortensen and Barrett's intelligent scissors [1]_: a click anchors the wire, the cheapest
ways from the anchor to everywhere are found at once (Dijkstra on 8 neighbours), and a move of
the mouse only walks one of them back.  As in GIMP's tool of that name, a click goes to the
strongest edge nearby.

A window of the screen has too many pixels for that to be fast, so the ways are found on a
grid of at most `_MOST_NODES` blocks of a few pixels, and the one way that is asked for is then
found again pixel by pixel, in the corridor of blocks along it.

References
----------
.. [1] Mortensen & Barrett, Intelligent scissors for image composition, SIGGRAPH 1995, 191-198.
.. [2] GIMP, ``app/tools/gimpiscissorstool.c``: gradients of a slightly blurred picture, longer
   steps along the diagonals, and clicks moved to the largest gradient, nearer ones preferred.
"""

import math

import numpy as np
import numpy.typing as npt
import shapely
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, Float32Array, UInt8Array
from napari_pathseg.interactive.optical_density import haematoxylin

Pixel = tuple[int, int]

_MOST_NODES = 90_000
_BLUR = 2.5  # pixels: nearer to the outlines of hand-drawn glands than 1.5, as near as 4
_LENGTH = 0.1  # cost of a pixel's way on the best edge; 1 more away from edges
_USUAL = 90  # percent of a picture's gradients that are below that of an edge worth following
_STRONGEST = 99.5  # percent; half of that where a picture has few edges
_LEAST_EDGE = 0.002  # optical density per pixel: noise is no edge
_FAINTEST = 0.01  # probability: a step by as much is no contour, even if it crosses one half
_NEAR = 3.0  # pixels from the model's contour at which half of its advantage is lost
_ELSEWHERE = 0.5  # what the picture's best edge costs more than the model's
_NEARER = 0.05  # cost that a pixel nearer to a click is worth; at 0.02 clicks on real outlines strayed
_SIMPLER = 0.5  # pixels by which a path may be simplified


class LiveWire:
    """The live-wire on one picture window.

    Parameters
    ----------
    picture
        The image, RGB (rows, columns, 3) or grey (rows, columns).
    probability
        The model's probability of the class on the same pixels, 0 to 255.  Its contour at one
        half is followed rather than the picture's edges; where it has none, the picture's are.
    snap
        Pixels around a position within which it moves to the strongest edge; 0 leaves it.
    """

    def __init__(self, picture: UInt8Array, probability: UInt8Array | None = None, snap: int = 6) -> None:
        self._snap = snap
        self._cost = _cost(picture, probability)
        self._block = max(1, math.ceil(math.sqrt(self._cost.size / _MOST_NODES)))
        blocks = _averaged(self._cost, self._block)
        self._grid = blocks.shape[0], blocks.shape[1]
        self._graph = _graph(blocks, np.ones(self._grid, bool))
        self._anchor: Pixel | None = None
        self._before = np.empty(0, np.int32)

    def snapped(self, row: float, column: float) -> Pixel:
        """Return the pixel of the strongest edge near a position, which may lie outside the window."""
        rows, columns = self._cost.shape
        at = min(max(round(row), 0), rows - 1), min(max(round(column), 0), columns - 1)
        side = 2 * self._snap + 1
        box = Region(at[0] - self._snap, at[1] - self._snap, side, side).clip((rows, columns))
        down, across = np.ogrid[box.slices]
        away = np.hypot(down - at[0], across - at[1])
        score = self._cost[box.slices] + _NEARER * away
        score[away > self._snap] = np.inf
        best = np.unravel_index(int(score.argmin()), score.shape)
        return box.top + int(best[0]), box.left + int(best[1])

    def anchor(self, row: float, column: float) -> Pixel:
        """Fix the wire at the edge near a click, and return where; the same position snaps to the same pixel."""
        self._anchor = self.snapped(row, column)
        start = _number(self._grid, self._anchor[0] // self._block, self._anchor[1] // self._block)
        self._before = dijkstra(self._graph, indices=start, return_predecessors=True)[1]
        return self._anchor

    def path_to(self, row: float, column: float) -> Points:
        """Return the cheapest way from the anchor to the edge near a position.

        Returns
        -------
        path : float64 array (n, 2)
            From the anchor to the end, simplified by half a pixel; one point where both are the same.
        """
        assert self._anchor is not None, "the wire has no anchor"
        end = self.snapped(row, column)
        if end == self._anchor:
            return np.array([end], np.float64)
        last = _number(self._grid, end[0] // self._block, end[1] // self._block)
        blocks = np.stack(np.divmod(_walk(self._before, last), self._grid[1]), axis=1)
        line = self._along(blocks, end)
        return np.asarray(shapely.get_coordinates(shapely.simplify(shapely.linestrings(line), _SIMPLER)))

    def _along(self, blocks: npt.NDArray[np.intp], end: Pixel) -> Points:
        """Return the cheapest way from the anchor to a pixel that keeps to blocks and those around them."""
        assert self._anchor is not None
        low, high = blocks.min(axis=0) - 1, blocks.max(axis=0) + 2
        near = np.zeros(high - low, bool)
        for down in range(3):
            for across in range(3):
                near[blocks[:, 0] - low[0] - 1 + down, blocks[:, 1] - low[1] - 1 + across] = True
        whole = Region(*(low * self._block).tolist(), *((high - low) * self._block).tolist())
        box = whole.clip((self._cost.shape[0], self._cost.shape[1]))
        inside = near.repeat(self._block, axis=0).repeat(self._block, axis=1)
        inside = inside[box.shift(-whole.top, -whole.left).slices]
        places = np.argwhere(inside)
        corner = np.array([box.top, box.left])
        start, last = (_index(inside, pixel - corner) for pixel in (np.array(self._anchor), np.array(end)))
        before = dijkstra(_graph(self._cost[box.slices], inside), indices=start, return_predecessors=True)[1]
        return np.asarray(places[_walk(before, last)][::-1] + corner, np.float64)


def _cost(picture: UInt8Array, probability: UInt8Array | None) -> Float32Array:
    """Return the cost of crossing each pixel: little on edges, the model's before the image's."""
    slope = _slope(_blurred(haematoxylin(picture)))
    usual, strongest = np.percentile(slope[::4, ::4], [_USUAL, _STRONGEST]).tolist()
    usual = max(usual, strongest / 2, _LEAST_EDGE)
    cost = (usual / (slope + usual)) ** 2
    if probability is not None:
        share = _blurred(probability.astype(np.float32) / np.float32(255))
        # How far off the contour at one half lies, by the slope, so that a gentle one has a line to follow, too.
        away = (np.abs(share - np.float32(0.5)) + np.float32(_FAINTEST)) / np.maximum(_slope(share), 1e-6)
        model = away**2 / (away**2 + _NEAR**2)
        cost = np.minimum(model, _ELSEWHERE + (1 - _ELSEWHERE) * cost)
    return np.asarray(cost + np.float32(_LENGTH), np.float32)


def _blurred(field: Float32Array) -> Float32Array:
    return np.asarray(ndimage.gaussian_filter(field, _BLUR, truncate=3))


def _slope(field: Float32Array) -> Float32Array:
    """Return how much a field changes from pixel to pixel."""
    wide = np.pad(field, 1, mode="edge")
    down = wide[2:, 1:-1] - wide[:-2, 1:-1]
    across = wide[1:-1, 2:] - wide[1:-1, :-2]
    return np.asarray(np.sqrt(down**2 + across**2) / 2)


def _averaged(cost: Float32Array, block: int) -> Float32Array:
    """Return the mean cost in each block of a map; the last ones may hang over its edge."""
    missing = [(0, -size % block) for size in cost.shape]
    wide = np.pad(cost, missing, mode="edge")
    return np.asarray(wide.reshape(wide.shape[0] // block, block, -1, block).mean(axis=(1, 3)))


def _graph(cost: Float32Array, inside: BoolArray) -> csr_array:
    """Return the ways between the pixels `inside` and their 8 neighbours there, numbered row by row."""
    width = inside.shape[1] + 2
    numbers = np.full((inside.shape[0] + 2, width), -1, np.int32)
    count = np.count_nonzero(inside)
    numbers[1:-1, 1:-1][inside] = np.arange(count, dtype=np.int32)
    steps = np.array([[down, across] for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across])
    flat = numbers.ravel()
    neighbours = flat[np.flatnonzero(flat >= 0)[:, None] + steps @ [width, 1]]
    exists = neighbours >= 0
    own = cost[inside].astype(np.float64)
    ways = (own[:, None] + own[neighbours]) * (np.hypot(*steps.T) / 2)
    ends = np.concatenate([[0], np.cumsum(np.count_nonzero(exists, axis=1))]).astype(np.int32)
    return csr_array((ways[exists], neighbours[exists], ends), shape=(count, count))


def _walk(before: npt.NDArray[np.int32], node: int) -> list[int]:
    """Return the nodes from one back to where the ways began."""
    nodes = []
    while node >= 0:
        nodes.append(node)
        node = int(before[node])
    return nodes


def _number(shape: tuple[int, int], row: int, column: int) -> int:
    return row * shape[1] + column


def _index(inside: BoolArray, pixel: npt.NDArray[np.intp]) -> int:
    """Return the number of a pixel among those `inside`."""
    row, column = pixel.tolist()
    return int(np.count_nonzero(inside[:row])) + int(np.count_nonzero(inside[row, :column]))
