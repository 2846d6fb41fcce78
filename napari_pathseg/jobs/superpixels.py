"""Superpixels of what is on screen, cut for the window; no torch, so that they come at once."""

from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.geometry import Region, grid_shape
from napari_pathseg.interactive.superpixels import superpixels
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import replace_file


def cut(message: dict[str, Any]) -> dict[str, Any]:
    """Cut a box of a slide into superpixels, write them as ``.npy``, and return the box that lies on the slide.

    Parameters
    ----------
    message
        Project, slide, ``box`` on the grid that is ``downsample`` times coarser than level 0, the
        ``size`` of a superpixel in its pixels, and the ``path`` to write to.

    Raises
    ------
    PathsegError
        If the slide cannot be read.
    """
    path = Path(message["path"])
    with Project.open(Path(message["project"])).open_slide(message["slide"]) as slide:
        box = Region(*message["box"]).clip(grid_shape(slide.shape, message["downsample"]))
        patches = superpixels(slide.read_grid(box, message["downsample"]), message["size"])
    with replace_file(path) as partial, partial.open("wb") as file:
        np.save(file, patches)
    return {"path": str(path), "box": list(box)}
