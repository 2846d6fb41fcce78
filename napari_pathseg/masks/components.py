"""Connected components of a mask too large for memory.

Each tile is labelled alone; parts that touch across a tile border are merged into one component.
Only a few numbers for each part and the parts along the last borders are stored, never pixels.
Arrays only: reading tiles and using the components is up to the caller.
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
    """The connected parts of one tile.

    Parameters
    ----------
    numbers
        The part of each pixel, counted from 1; 0 for none.
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
    """Return the parts of a tile that is a single part or has none, without labelling it."""
    numbers = np.broadcast_to(np.int32(inside), shape)
    return TileComponents(numbers, np.array([shape[0] * shape[1]] if inside else [], np.int64))


@dataclass(frozen=True)
class Components:
    """The connected components across tiles.

    Parameters
    ----------
    parts
        The slice of each tile's parts among all parts.
    component_of
        The component of each part.
    sizes
        The pixels of each component.
    touches_border
        Whether a component reaches the border, beyond which it may continue.
    """

    parts: dict[Region, slice]
    component_of: _Numbers
    sizes: _Numbers
    touches_border: BoolArray

    def values_in(self, tile: Region, values: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
        """Return the value of each part of `tile`, given one for each component; by part number, with 0 for none."""
        return np.concatenate([np.zeros(1, values.dtype), values[self.component_of[self.parts[tile]]]])


class ComponentMerger:
    """Merge the parts of tiles into components; add the tiles row by row from the top left.

    Parameters
    ----------
    region
        The box that the tiles cover.
    border
        A component that reaches one of these four sides from within may continue beyond it.
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
        """Add the parts of the next tile."""
        numbers, region = parts.numbers, self._region
        columns = tile.shift(0, -region.left).slices[1]
        left = self._number(numbers[:, 0])
        self._top[columns] = self._number(numbers[0])
        self._bottom[columns] = self._number(numbers[-1])
        if tile.left > region.left:
            self._merge_along(self._left, left)
        self._left = self._number(numbers[:, -1])
        if tile.right == region.right:
            self._merge_along(self._above, self._top)
            self._above = self._bottom.copy()
        sides = zip(_sides(tile), _sides(self._border), strict=True)
        edges = (self._top[columns], left, self._bottom[columns], self._left)
        self._leaving += [np.unique(edge) for edge, (own, last) in zip(edges, sides, strict=True) if own == last]
        self._slices[tile] = slice(self.count, self.count + len(parts.sizes))
        self._sizes.append(parts.sizes)
        self.count += len(parts.sizes)

    def merge(self) -> Components:
        """Return the components, once all tiles have been added."""
        first, second = np.concatenate(self._pairs, axis=1) - 1
        component_of = np.empty(0, np.int64)
        if self.count:
            graph = coo_array((np.ones(len(first)), (first, second)), shape=(self.count, self.count))
            component_of = connected_components(graph, directed=False)[1].astype(np.int64)
        sizes = np.bincount(component_of, np.concatenate(self._sizes)).astype(np.int64)
        leaving = np.unique(np.concatenate(self._leaving))
        touches_border = np.zeros(len(sizes), bool)
        touches_border[component_of[leaving[leaving > 0] - 1]] = True
        return Components(self._slices, component_of, sizes, touches_border)

    def _number(self, edge: npt.NDArray[np.int32]) -> _Numbers:
        """Return the parts of one tile as numbers among all parts, from 1; 0 stays 0."""
        return np.where(edge > 0, edge + np.int64(self.count), 0)

    def _merge_along(self, first: _Numbers, second: _Numbers) -> None:
        neighbours = [(first, second)]
        if self._diagonal:
            neighbours += [(first[1:], second[:-1]), (first[:-1], second[1:])]
        for one, other in neighbours:
            pairs = np.stack([one, other])[:, (one > 0) & (other > 0)]
            new = (np.diff(pairs, axis=1, prepend=0) != 0).any(axis=0)  # two parts touch along many pixels
            self._pairs.append(pairs[:, new])


def _sides(region: Region) -> tuple[int, int, int, int]:
    return region.top, region.left, region.bottom, region.right
