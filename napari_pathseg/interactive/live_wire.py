"""The live-wire: between two clicks the contour follows the path of least cost, and edges are cheap.

After Mortensen and Barrett's intelligent scissors [1]_: a click anchors the wire and finds the
cheapest paths from there to every pixel (Dijkstra on 8 neighbours); a move of the mouse only
traces one of them back.  As in GIMP's tool of that name [2]_, a click snaps to the strongest
edge nearby.

A view has too many pixels for that to be fast, so the paths are found on a grid of at most
`_MAX_NODES` blocks of a few pixels; the requested path is then refined pixel by pixel, in the
corridor of blocks along it.

References
----------
.. [1] Mortensen & Barrett, Intelligent scissors for image composition, SIGGRAPH 1995, 191-198.
.. [2] GIMP, ``app/tools/gimpiscissorstool.c``: gradients of a slightly blurred image, longer
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

_MAX_NODES = 90_000
_SIGMA = 2.5  # pixels: closer to the outlines of hand-drawn glands than 1.5, as close as 4
_BASE_COST = 0.1  # of a pixel on the best edge; up to 1 more away from edges
_EDGE_PERCENTILE = 90  # of the image's gradients: a steeper one is an edge worth following
_STRONG_EDGE_PERCENTILE = 99.5  # half of this gradient is the limit where an image has few edges
_MIN_EDGE = 0.002  # optical density per pixel: less is noise
_MIN_STEP = 0.01  # probability: a smaller step is not a contour, even if it crosses one half
_HALF_ADVANTAGE_DISTANCE = 3.0  # pixels from the model's contour at which half of its advantage is lost
_IMAGE_EDGE_COST = 0.5  # extra cost of the image's best edge compared with the model's
_SNAP_COST_PER_PIXEL = 0.05  # of distance from a click; at 0.02 clicks on real outlines strayed
_SIMPLIFY_TOLERANCE = 0.5  # pixels


class LiveWire:
    """The live-wire on the image of one view.

    Parameters
    ----------
    image
        RGB (rows, columns, 3) or grey (rows, columns).
    probability
        The model's probability of the class on the same pixels, 0 to 255.  The wire follows its
        contour at one half, and the edges of the image where it has no contour.
    snap
        Distance in pixels within which a position moves to the strongest edge; 0 turns snapping off.
    """

    def __init__(self, image: UInt8Array, probability: UInt8Array | None = None, snap: int = 6) -> None:
        self._snap = snap
        self._cost = _cost(image, probability)
        self._block = max(1, math.ceil(math.sqrt(self._cost.size / _MAX_NODES)))
        blocks = _block_means(self._cost, self._block)
        self._grid = blocks.shape[0], blocks.shape[1]
        self._graph = _graph(blocks, np.ones(self._grid, bool))
        self._anchor: Pixel | None = None
        self._predecessors = np.empty(0, np.int32)

    def snapped(self, row: float, column: float) -> Pixel:
        """Return the pixel of the strongest edge near a position, which may be outside the image."""
        rows, columns = self._cost.shape
        at = min(max(round(row), 0), rows - 1), min(max(round(column), 0), columns - 1)
        side = 2 * self._snap + 1
        box = Region(at[0] - self._snap, at[1] - self._snap, side, side).clip((rows, columns))
        down, across = np.ogrid[box.slices]
        distance = np.hypot(down - at[0], across - at[1])
        score = self._cost[box.slices] + _SNAP_COST_PER_PIXEL * distance
        score[distance > self._snap] = np.inf
        best = np.unravel_index(int(score.argmin()), score.shape)
        return box.top + int(best[0]), box.left + int(best[1])

    def anchor(self, row: float, column: float) -> Pixel:
        """Anchor the wire at the edge near a click and return that pixel, the one `snapped` gives."""
        self._anchor = self.snapped(row, column)
        start = _flat_index(self._grid, self._anchor[0] // self._block, self._anchor[1] // self._block)
        self._predecessors = dijkstra(self._graph, indices=start, return_predecessors=True)[1]
        return self._anchor

    def path_to(self, row: float, column: float) -> Points:
        """Return the cheapest path from the anchor to the edge near a position.

        Returns
        -------
        path : float64 array (n, 2)
            From the anchor to the end, simplified by half a pixel; one point if both are the same.
        """
        assert self._anchor is not None, "the wire has no anchor"
        end = self.snapped(row, column)
        if end == self._anchor:
            return np.array([end], np.float64)
        last = _flat_index(self._grid, end[0] // self._block, end[1] // self._block)
        blocks = np.stack(np.divmod(_trace_back(self._predecessors, last), self._grid[1]), axis=1)
        line = self._refined(blocks, end)
        return np.asarray(shapely.get_coordinates(shapely.simplify(shapely.linestrings(line), _SIMPLIFY_TOLERANCE)))

    def _refined(self, blocks: npt.NDArray[np.intp], end: Pixel) -> Points:
        """Return the cheapest path from the anchor to a pixel within the given blocks and their neighbours."""
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
        pixels = np.argwhere(inside)
        corner = np.array([box.top, box.left])
        start, last = (_index_among(inside, pixel - corner) for pixel in (np.array(self._anchor), np.array(end)))
        predecessors = dijkstra(_graph(self._cost[box.slices], inside), indices=start, return_predecessors=True)[1]
        return np.asarray(pixels[_trace_back(predecessors, last)][::-1] + corner, np.float64)


def _cost(image: UInt8Array, probability: UInt8Array | None) -> Float32Array:
    """Return the cost of crossing each pixel: low on edges, and lower on the model's than on the image's."""
    gradient = _gradient_magnitude(_blurred(haematoxylin(image)))
    percentiles = [_EDGE_PERCENTILE, _STRONG_EDGE_PERCENTILE]
    edge, strong_edge = np.percentile(gradient[::4, ::4], percentiles).tolist()
    edge = max(edge, strong_edge / 2, _MIN_EDGE)
    cost = (edge / (gradient + edge)) ** 2
    if probability is not None:
        smooth = _blurred(probability.astype(np.float32) / np.float32(255))
        # The distance of the contour at one half, estimated from the slope: a gentle slope has a line to follow, too.
        slope = np.maximum(_gradient_magnitude(smooth), 1e-6)
        distance = (np.abs(smooth - np.float32(0.5)) + np.float32(_MIN_STEP)) / slope
        model = distance**2 / (distance**2 + _HALF_ADVANTAGE_DISTANCE**2)
        cost = np.minimum(model, _IMAGE_EDGE_COST + (1 - _IMAGE_EDGE_COST) * cost)
    return np.asarray(cost + np.float32(_BASE_COST), np.float32)


def _blurred(values: Float32Array) -> Float32Array:
    return np.asarray(ndimage.gaussian_filter(values, _SIGMA, truncate=3))


def _gradient_magnitude(values: Float32Array) -> Float32Array:
    """Return the slope at each pixel, by central differences."""
    wide = np.pad(values, 1, mode="edge")
    down = wide[2:, 1:-1] - wide[:-2, 1:-1]
    across = wide[1:-1, 2:] - wide[1:-1, :-2]
    return np.asarray(np.sqrt(down**2 + across**2) / 2)


def _block_means(cost: Float32Array, block: int) -> Float32Array:
    """Return the mean cost of each block; the last row and column of blocks may extend beyond the edge."""
    missing = [(0, -size % block) for size in cost.shape]
    wide = np.pad(cost, missing, mode="edge")
    return np.asarray(wide.reshape(wide.shape[0] // block, block, -1, block).mean(axis=(1, 3)))


def _graph(cost: Float32Array, inside: BoolArray) -> csr_array:
    """Return the graph of the pixels `inside`, numbered row by row, each joined to its 8 neighbours there."""
    width = inside.shape[1] + 2
    numbers = np.full((inside.shape[0] + 2, width), -1, np.int32)
    count = np.count_nonzero(inside)
    numbers[1:-1, 1:-1][inside] = np.arange(count, dtype=np.int32)
    steps = np.array([[down, across] for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across])
    flat = numbers.ravel()
    neighbours = flat[np.flatnonzero(flat >= 0)[:, None] + steps @ [width, 1]]
    exists = neighbours >= 0
    own = cost[inside].astype(np.float64)
    weights = (own[:, None] + own[neighbours]) * (np.hypot(*steps.T) / 2)
    ends = np.concatenate([[0], np.cumsum(np.count_nonzero(exists, axis=1))]).astype(np.int32)
    return csr_array((weights[exists], neighbours[exists], ends), shape=(count, count))


def _trace_back(predecessors: npt.NDArray[np.int32], node: int) -> list[int]:
    """Return the nodes of the path from `node` back to the start of the search."""
    nodes = []
    while node >= 0:
        nodes.append(node)
        node = int(predecessors[node])
    return nodes


def _flat_index(shape: tuple[int, int], row: int, column: int) -> int:
    return row * shape[1] + column


def _index_among(inside: BoolArray, pixel: npt.NDArray[np.intp]) -> int:
    """Return the number of a pixel among those `inside`, counted row by row."""
    row, column = pixel.tolist()
    return int(np.count_nonzero(inside[:row])) + int(np.count_nonzero(inside[row, :column]))
