"""Boxes of pixels, the step from level 0 to a coarser grid, and the types of pixel arrays.

Every package may use it; it imports no other.  Begin with `regions.py`; `arrays.py` is apart because it
costs the import of numpy.
"""

from napari_pathseg.geometry.regions import (
    EMPTY_REGION,
    MAX_COARSEST_SIDE,
    TILE_SIDE,
    Region,
    grid_shape,
    grid_to_level0,
    layout,
    nearest_first,
    on_grid,
    pyramid_shapes,
)

__all__ = [
    "EMPTY_REGION",
    "MAX_COARSEST_SIDE",
    "TILE_SIDE",
    "Region",
    "grid_shape",
    "grid_to_level0",
    "layout",
    "nearest_first",
    "on_grid",
    "pyramid_shapes",
]
