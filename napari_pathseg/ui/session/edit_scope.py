"""Where on the slide in view something is done: in a selection, in the view, on the whole slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.shapes import EditRegion, PolygonShape, resolve_region
from napari_pathseg.projects.slide_record import SlideRecord

if TYPE_CHECKING:
    from napari_pathseg.ui.session.session import Session

SELECTION, VIEW, SLIDE = "selection", "view", "slide"
EDIT_SCOPES = (SELECTION, VIEW, SLIDE)
NONE_SELECTED, DRAW_SELECTION = "Nothing is selected on this slide.", "Draw around an area with Select first."


def resolve_scope(session: Session, where: str) -> EditRegion:
    """Return the place that one of `EDIT_SCOPES` means now.

    Raises
    ------
    ProjectError
        If the selection is meant and nothing is selected.
    """
    entry = session.require_slide()
    if where == SLIDE:
        return EditRegion(Region(0, 0, *entry.mask_shape))
    if where == VIEW:
        return EditRegion(session.layers.visible_region())
    outlines = selected_outlines(session)
    if not outlines:
        raise ProjectError(f"{NONE_SELECTED} {DRAW_SELECTION}")
    return resolve_region(outlines, entry.mask_shape)


def selected_outlines(session: Session) -> tuple[PolygonShape, ...]:
    """Return what is selected on the slide in view, in pixels of the mask; see `Selection.outlines`."""
    entry = session.slide
    if entry is None:
        return ()
    return tuple(outline_on(entry, points) for points in session.selection.outlines())


def outline_on(entry: SlideRecord, points: npt.NDArray[np.float64]) -> PolygonShape:
    """Return a closed line of level-0 pixels as a shape on the mask of its slide."""
    return PolygonShape([(points - (entry.downsample - 1) / 2) / entry.downsample])
