"""Boxes of pixels, tiles, and the step from level 0 to a coarser grid.

``(row, column)`` everywhere, pixel centres on whole numbers, as napari draws them.  A grid
that is `downsample` times coarser than level 0 has pixels that cover whole blocks of it:
grid pixel ``i`` covers level-0 pixels ``i*d ... i*d + d - 1``, so its centre lies at
``i*d + (d - 1)/2``.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Region(NamedTuple):
    """A box of pixels: its first row and column, its height and width."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The row after the last one."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The column after the last one."""
        return self.left + self.width

    @property
    def empty(self) -> bool:
        """Whether no pixel lies inside."""
        return self.height <= 0 or self.width <= 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as an index into a two-dimensional array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def clip(self, shape: tuple[int, int]) -> "Region":
        """Return the part that lies inside an array of `shape`; it may be empty."""
        return self.intersect(Region(0, 0, *shape))

    def intersect(self, other: "Region") -> "Region":
        """Return the intersection of both boxes; it may be empty."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Region(top, left, max(0, bottom - top), max(0, right - left))

    def unite(self, other: "Region") -> "Region":
        """Return the smallest box around both; an empty box adds nothing."""
        if self.empty or other.empty:
            return other if self.empty else self
        top, left = min(self.top, other.top), min(self.left, other.left)
        bottom, right = max(self.bottom, other.bottom), max(self.right, other.right)
        return Region(top, left, bottom - top, right - left)

    def shift(self, rows: int, columns: int) -> "Region":
        """Return the box moved by `rows` and `columns`."""
        return self._replace(top=self.top + rows, left=self.left + columns)

    def coarser(self, downsample: int) -> "Region":
        """Return the box of a `downsample` times coarser grid that covers this one."""
        top, left = self.top // downsample, self.left // downsample
        bottom, right = -(-self.bottom // downsample), -(-self.right // downsample)
        return Region(top, left, bottom - top, right - left)

    def finer(self, downsample: int) -> "Region":
        """Return the level-0 box that this box of a coarser grid covers."""
        return Region(*(value * downsample for value in self))


EMPTY_REGION = Region(0, 0, 0, 0)
TILE_SIDE = 512  # pixels; of the tiles and chunks that we write
MAX_COARSEST_SIDE = 1024  # pixels; of the last level of a pyramid that we write


def layout(region: Region, tile: int) -> Iterator[Region]:
    """Yield the tiles of a box, row by row; those at the right and bottom edge may be smaller."""
    for top in range(region.top, region.bottom, tile):
        for left in range(region.left, region.right, tile):
            yield Region(top, left, tile, tile).intersect(region)


def nearest_first(tiles: Iterable[Region], box: Region) -> list[Region]:
    """Return tiles: first those that lie in a box, from its centre outwards, then the others in their order.

    >>> nearest_first(layout(Region(0, 0, 1, 4), 1), Region(0, 2, 1, 2))[:2]
    [Region(top=0, left=2, height=1, width=1), Region(top=0, left=3, height=1, width=1)]
    """
    row, column = box.top + box.height / 2, box.left + box.width / 2

    def rank(tile: Region) -> float:
        if tile.intersect(box).empty:
            return math.inf
        return (tile.top + tile.height / 2 - row) ** 2 + (tile.left + tile.width / 2 - column) ** 2

    return sorted(tiles, key=rank)


def on_grid(box: Region, downsample: int) -> Region:
    """Return the box of pixels of a `downsample` times coarser grid whose centres lie in a level-0 box."""
    top, left, bottom, right = (
        -(-(2 * edge - downsample) // (2 * downsample)) for edge in (box.top, box.left, box.bottom, box.right)
    )
    return Region(top, left, bottom - top, right - left)


def grid_shape(shape: tuple[int, int], downsample: float) -> tuple[int, int]:
    """Return the rows and columns of the grid that covers level 0 of `shape`."""
    return math.ceil(shape[0] / downsample), math.ceil(shape[1] / downsample)


def pyramid_shapes(shape: tuple[int, int], coarsest_side: int = MAX_COARSEST_SIDE) -> list[tuple[int, int]]:
    """Return the shapes of all levels of a pyramid: each half the one before, rounded up, until it is small enough.

    >>> pyramid_shapes((3000, 1001))
    [(3000, 1001), (1500, 501), (750, 251)]
    """
    shapes = [shape]
    while max(shapes[-1]) > coarsest_side:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def grid_to_level0(positions: float, downsample: int) -> float:
    """Return the level-0 row or column of the centre of a grid pixel; works on arrays, too."""
    return positions * downsample + (downsample - 1) / 2
