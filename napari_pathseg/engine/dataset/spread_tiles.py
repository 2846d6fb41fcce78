"""Tiles spread over the tissue of a slide, the same ones each time: few are enough to know how it looks."""

import numpy as np

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.tissue_masks import SMALL_PIXELS, load_tissue
from napari_pathseg.slides.tissue import tissue_of

_THUMBNAIL = 512  # its longest side
_MOSTLY = 0.5  # share of tissue in a tile


def spread_tiles(project: Project, slide: SlidePatchSource, count: int, side: int) -> list[Region]:
    """Return at most `count` boxes of a slide's working grid, `side` wide or smaller at its edges, mostly tissue.

    Boxes with less tissue are taken where no others are.

    Raises
    ------
    UnsupportedSlideError
        If the pixels of the slide cannot be decoded.
    """
    rows, columns = slide.shape
    down, across = -(-rows // side), -(-columns // side)
    tissue, step = _tissue(project, slide)  # working pixels along a pixel of it
    cells = [((np.arange(length) + 0.5) * step / side).astype(int) for length in tissue.shape]
    at = (cells[0].clip(0, down - 1)[:, None] * across + cells[1].clip(0, across - 1))[tissue]
    filled = np.bincount(at, minlength=down * across)
    chosen = np.flatnonzero(filled >= _MOSTLY * filled.max(initial=1))
    if len(chosen) > count:
        chosen = chosen[((np.arange(count) + 0.5) * len(chosen) / count).astype(int)]
    boxes = (Region(int(cell) // across * side, int(cell) % across * side, side, side) for cell in chosen)
    return [box.clip(slide.shape) for box in boxes]


def _tissue(project: Project, slide: SlidePatchSource) -> tuple[BoolArray, float]:
    """Return where a slide has tissue, all of it if none is found, and working pixels along a pixel of that."""
    record, level_0 = slide.record, slide.record.downsample * slide.factor
    if record.mask_shape[0] * record.mask_shape[1] > SMALL_PIXELS:
        try:
            found = load_tissue(project, record.id)
            if found.pixels.any():
                return found.pixels, found.downsample / level_0
        except PathsegError:  # of a damaged file; the prediction says so
            pass
    thumbnail = slide.thumbnail(_THUMBNAIL)
    pixels = tissue_of(thumbnail)
    step = max(whole / part for whole, part in zip(slide.shape, pixels.shape, strict=True))
    return (pixels if pixels.any() else np.ones_like(pixels)), step
