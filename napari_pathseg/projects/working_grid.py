"""The working grid of a slide, on which networks learn and predict, and the training tile that fits it.

It has the project's pixel size, whichever scanner a slide comes from; if that or the slide's is unknown, it is
the mask's grid.
"""

import math
from collections.abc import Iterable, Sequence

from napari_pathseg.config import TrainConfig
from napari_pathseg.geometry import grid_shape
from napari_pathseg.projects.project import DEFAULT_MPP, Project
from napari_pathseg.projects.slide_record import SlideRecord

SMALLEST_TILE, TILE_STEP = 64, 32  # of `TrainConfig.tile`
_DEFAULT_TILE = TrainConfig().tile
_MOST = 0.75  # share of the slides that decides on the default tile
_NAMES_SHOWN = 3
_SAME_SCALE = 0.04  # grids whose pixel sizes differ by less count as one


def working_factor(mpp: float | None, record: SlideRecord) -> float:
    """Return mask pixels along a working pixel: 1 if the grids are the same or a pixel size is unknown."""
    if mpp is None or record.mask_mpp is None or abs(mpp / record.mask_mpp - 1) < _SAME_SCALE:
        return 1.0
    return mpp / record.mask_mpp


def working_shape(mpp: float | None, record: SlideRecord) -> tuple[int, int]:
    """Return rows and columns of a slide's working grid in a project of `mpp` micrometres per pixel."""
    return grid_shape(record.shape, record.downsample * working_factor(mpp, record))


def unscaled_note(project: Project, records: Sequence[SlideRecord]) -> str:
    """Return a sentence if a project's pixel size was chosen and some slides, without one, are not learned at it."""
    silent = [record.id for record in records if record.mpp is None]
    chosen = project.state.mpp_is_chosen or project.mpp != DEFAULT_MPP  # older versions did not record it
    if project.mpp is None or not chosen or not silent:
        return ""
    names = ", ".join(silent[:_NAMES_SHOWN]) + (" ..." if len(silent) > _NAMES_SHOWN else "")
    state, them = ("states", "it: it is") if len(silent) == 1 else ("state", "them: they are")
    return (
        f"{len(silent)} of {len(records)} slides {state} no pixel size ({names}), so the project's {project.mpp:g} um "
        f"per pixel does not apply to {them} learned at full resolution. Give the pixel size of a slide: "
        f"pathseg set {project.folder.name} --slide NAME --pixel-size UM, or add it with --pixel-size UM."
    )


def longest_sides(mpp: float | None, records: Iterable[SlideRecord]) -> list[int]:
    """Return the longer side of each slide's working grid."""
    return [max(working_shape(mpp, record)) for record in records]


def fitting_tile(sides: Sequence[int], tile: int) -> int:
    """Return the side of training tiles: `tile`, or less where every slide fits into less.

    A larger one would hold the same pixels several times, mirrored, and a step would take as many times as long.  For
    that reason the default tile also shrinks where only most slides fit into less.

    Parameters
    ----------
    sides
        The longer side of each training slide, see `longest_sides`.
    tile
        As chosen in the settings.
    """
    if not sides:
        return tile
    place = math.ceil(_MOST * len(sides)) if tile == _DEFAULT_TILE else len(sides)
    longest = sorted(sides)[place - 1]
    return min(tile, max(SMALLEST_TILE, -(-longest // TILE_STEP) * TILE_STEP))
