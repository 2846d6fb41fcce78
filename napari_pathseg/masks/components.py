"""The connected components of a mask that is too large to be held at once.

Each tile is labelled alone; parts that touch across a border between tiles are one component.
Kept are a few numbers a part and the parts along the last borders, never pixels.  Arrays only:
who reads the tiles and what becomes of a component is decided elsewhere.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray

_Numbers = npt.NDArray[np.int64]
_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True)
class TileComponents:
    """What is connected within one tile.

    Parameters
    ----------
    numbers
        The part of each pixel, counted from 1; 0 where none is.
    sizes
        The pixels of each part.
    """

    numbers: npt.NDArray[np.int32]
    sizes: _Numbers


def label_tile(inside: BoolArray, *, diagonal: bool) -> TileComponents:
    """Return the parts of `inside`; with `diagonal`, pixels that share a corner are connected."""
    if inside.all() or not inside.any():
        return uniform_tile(inside.shape, inside=bool(inside.size and inside.flat[0]))
    structure = ndimage.generate_binary_structure(2, 2 if diagonal else 1)
    numbers, _ = ndimage.label(inside, structure, output=np.int32)
    return TileComponents(numbers, np.bincount(numbers[inside])[1:])


def uniform_tile(shape: tuple[int, ...], *, inside: bool) -> TileComponents:
    """Return the parts of a tile that is one part or holds none, at no cost."""
    numbers = np.broadcast_to(np.int32(inside), shape)
    return TileComponents(numbers, np.array([shape[0] * shape[1]] if inside else [], np.int64))


@dataclass(frozen=True)
class Components:
    """What is connected across tiles.

    Parameters
    ----------
    parts
        Where the parts of each tile lie among all parts.
    of_part
        The component of each part.
    sizes
        The pixels of each component.
    leaves
        Whether a component reaches the border behind which it may go on.
    """

    parts: dict[Region, slice]
    of_part: _Numbers
    sizes: _Numbers
    leaves: BoolArray

    def spread(self, tile: Region, values: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
        """Return a value of each component as one of each part of `tile`, by part number; 0 for none."""
        return np.concatenate([np.zeros(1, values.dtype), values[self.of_part[self.parts[tile]]]])


class ComponentMerger:
    """Takes the parts of the tiles of a region, row by row from its top left, and joins them.

    Parameters
    ----------
    region
        What the tiles cover.
    border
        A component that reaches one of these four sides from within may go on behind it.
    diagonal
        Whether pixels that share a corner are connected.
    """

    def __init__(self, region: Region, border: Region, *, diagonal: bool) -> None:
        self._region, self._border, self._diagonal = region, border, diagonal
        self._slices: dict[Region, slice] = {}
        self._sizes: list[_Numbers] = [np.empty(0, np.int64)]
        self._pairs: list[_Numbers] = [np.empty((2, 0), np.int64)]
        self._leaving: list[_Numbers] = [np.empty(0, np.int64)]
        self.count = 0  # parts so far
        self._left = np.empty(0, np.int64)  # the last column of the tile before
        self._above, self._top, self._bottom = np.zeros((3, region.width), np.int64)  # whole rows

    def add(self, tile: Region, parts: TileComponents) -> None:
        """Take the parts of the next tile."""
        numbers, region = parts.numbers, self._region
        columns = tile.shift(0, -region.left).slices[1]
        left = self._number(numbers[:, 0])
        self._top[columns] = self._number(numbers[0])
        self._bottom[columns] = self._number(numbers[-1])
        if tile.left > region.left:
            self._join(self._left, left)
        self._left = self._number(numbers[:, -1])
        if tile.right == region.right:
            self._join(self._above, self._top)
            self._above = self._bottom.copy()
        sides = zip(_sides(tile), _sides(self._border), strict=True)
        edges = (self._top[columns], left, self._bottom[columns], self._left)
        self._leaving += [np.unique(edge) for edge, (own, last) in zip(edges, sides, strict=True) if own == last]
        self._slices[tile] = slice(self.count, self.count + len(parts.sizes))
        self._sizes.append(parts.sizes)
        self.count += len(parts.sizes)

    def merge(self) -> Components:
        """Return the components; every tile was added."""
        first, second = np.concatenate(self._pairs, axis=1) - 1
        of_part = np.empty(0, np.int64)
        if self.count:
            graph = coo_array((np.ones(len(first)), (first, second)), shape=(self.count, self.count))
            of_part = connected_components(graph, directed=False)[1].astype(np.int64)
        sizes = np.bincount(of_part, np.concatenate(self._sizes)).astype(np.int64)
        leaving = np.unique(np.concatenate(self._leaving))
        leaves = np.zeros(len(sizes), bool)
        leaves[of_part[leaving[leaving > 0] - 1]] = True
        return Components(self._slices, of_part, sizes, leaves)

    def _number(self, edge: npt.NDArray[np.int32]) -> _Numbers:
        """Return parts of one tile as numbers among all parts, from 1; 0 stays."""
        return np.where(edge > 0, edge + np.int64(self.count), 0)

    def _join(self, first: _Numbers, second: _Numbers) -> None:
        neighbours = [(first, second)]
        if self._diagonal:
            neighbours += [(first[1:], second[:-1]), (first[:-1], second[1:])]
        for one, other in neighbours:
            pairs = np.stack([one, other])[:, (one > 0) & (other > 0)]
            new = (np.diff(pairs, axis=1, prepend=0) != 0).any(axis=0)  # the same two touch along many pixels
            self._pairs.append(pairs[:, new])


def _sides(region: Region) -> tuple[int, int, int, int]:
    return region.top, region.left, region.bottom, region.right
