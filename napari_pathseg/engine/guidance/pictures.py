"""Small pictures of places, as the window shows them."""

import numpy as np

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region, grid_shape
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.projects.project import Project

_SIDE = 192  # pixels at most


def picture_of(project: Project, slide: str, region: Region) -> UInt8Array | None:
    """Return a box of a slide, in level-0 pixels, as a small RGB picture; None if the slide cannot be read."""
    step = max(1, -(-max(region.height, region.width) // _SIDE))
    try:
        with project.open_slide(slide) as file:
            pixels = file.read_grid(region.coarser(step).clip(grid_shape(file.shape, step)), step)
    except PathsegError:
        return None
    return np.ascontiguousarray(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels)
