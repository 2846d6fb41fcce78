"""What several tests of masks need: to create, fill, paint and read a small one."""

import numpy as np

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import MAX_COARSEST_SIDE, Region
from napari_pathseg.masks import Provenance, open_mask
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.masks.stroke_queue import Brush, Stroke
from napari_pathseg.masks.zarr_store import create_store


def open_or_create(path, shape, coarsest=MAX_COARSEST_SIDE):
    """Open the mask at `path`; a small `coarsest` creates it with more levels than usual for its size."""
    if not path.exists():
        create_store(path, shape, DEFAULT_CLASSES, coarsest=coarsest)
    return open_mask(path, shape, DEFAULT_CLASSES)


def fill(mask, region, label, provenance=Provenance.DRAWN):
    size = (region.height, region.width)
    return mask.edit(region, np.full(size, label, np.uint8), np.full(size, provenance, np.uint8))


def read_all(mask):
    return np.stack(mask.read(Region(0, 0, *mask.shape)))


def dab(row, column, label):
    return Stroke(BrushSegment((row, column), (row + 30, column + 30), 20), Brush(label))
