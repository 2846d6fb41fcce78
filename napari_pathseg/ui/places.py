"""Where on the slide in view something is done: in a selection, in the view, on the whole slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask.place import Place, place_of
from napari_pathseg.data.mask.shapes import Outline
from napari_pathseg.data.slide_entry import SlideEntry

if TYPE_CHECKING:
    from napari_pathseg.ui.session import Session

SELECTION, VIEW, SLIDE = "selection", "view", "slide"
PLACES = (SELECTION, VIEW, SLIDE)


def find_place(session: Session, where: str) -> Place:
    """Return the place that one of `PLACES` means now; without a selection that is the view."""
    layers, entry = session.layers, session.in_view
    if where == SLIDE:
        return Place(Region(0, 0, *entry.mask_shape))
    outlines = selection(session) if where == SELECTION else ()
    return place_of(outlines, entry.mask_shape) if outlines else Place(layers.view_region())


def selection(session: Session) -> tuple[Outline, ...]:
    """Return what is selected on the slide in view, in pixels of the mask; see `Selection.outlines`."""
    entry = session.slide
    if entry is None:
        return ()
    return tuple(outline_on(entry, points) for points in session.selection.outlines())


def outline_on(entry: SlideEntry, points: npt.NDArray[np.float64]) -> Outline:
    """Return a closed line of level-0 pixels as a shape on the mask of its slide."""
    return Outline([(points - (entry.downsample - 1) / 2) / entry.downsample])
