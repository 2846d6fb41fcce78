"""Superpixels of what is on screen, computed for the window without torch, so that they come at once."""

from pathlib import Path

import numpy as np

from napari_pathseg.geometry import grid_shape
from napari_pathseg.interactive.superpixels import superpixels
from napari_pathseg.jobs.protocol import ComputeSuperpixels, SuperpixelsReady
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import replace_file


def compute_superpixels(command: ComputeSuperpixels) -> SuperpixelsReady:
    """Divide a box of a slide into superpixels and write them as ``.npy``.

    Raises
    ------
    PathsegError
        If the slide cannot be read.
    """
    path = Path(command.path)
    with Project.open(Path(command.project)).open_slide(command.slide) as slide:
        region = command.region.clip(grid_shape(slide.shape, command.downsample))
        patches = superpixels(slide.read_grid(region, command.downsample), command.size)
    with replace_file(path) as partial, partial.open("wb") as file:
        np.save(file, patches)
    return SuperpixelsReady(command.number, str(path), region)
