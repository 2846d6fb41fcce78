"""Where on a mask something is done: in a box, or in what shapes cover of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_pathseg.arrays import BoolArray
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.masks.shapes import Shape

Inside = Callable[[Region], BoolArray]  # which pixels of a box are meant


@dataclass(frozen=True)
class EditRegion:
    """A box of a mask; where there are shapes, what they cover of it alone."""

    box: Region
    shapes: tuple[Shape, ...] = ()

    @property
    def inside(self) -> Inside | None:
        """Gives which pixels of a box are meant; None where all of the place's box is."""
        return self._covered if self.shapes else None

    def _covered(self, region: Region) -> BoolArray:
        covered = np.zeros((region.height, region.width), bool)
        for shape in self.shapes:
            flags = None if shape.covers(region) is False else shape.flags(region)
            if flags is not None:
                covered |= flags
        return covered


def resolve_region(shapes: tuple[Shape, ...], shape: tuple[int, int]) -> EditRegion:
    """Return what shapes cover of a mask of `shape`."""
    box = EMPTY_REGION
    for one in shapes:
        box = box.unite(one.box.clip(shape))
    return EditRegion(box, shapes)
