"""Slides that look unusual, or that the settings of a training do not fit."""

from collections.abc import Iterator, Sequence

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import PathsegError, UnsupportedSlideError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import SMALLEST_TILE, fitting_tile, longest_sides, working_shape
from napari_pathseg.slides.appearance import grouped, oddities, pixels_not_square
from napari_pathseg.slides.slide import Slide

_MOST_SLIDES = 100  # that are looked at
_TOO_SMALL = 32  # pixels; fewer show hardly anything
_MUCH_SMALLER = 4  # times; slides that are somewhat smaller than a tile need no word


def find_unusual_slides(project: Project, records: Sequence[SlideRecord]) -> list[str]:
    """Return what is odd in how slides look, a sentence for each kind; of many slides, some are looked at."""
    found = {}
    for record in _spread(records):
        try:
            with project.open_slide(record.id) as slide:
                found[record.id] = _oddities(slide)
                size = slide.pixel_size
                # Version 0.1.0 took the mean of both sides, whose areas are wrong; another size was given by hand.
                if size is not None and record.mpp is not None and abs(record.mpp - sum(size) / 2) < 1e-6:
                    found[record.id] += filter(None, [pixels_not_square(slide)])
        except PathsegError:  # reported by another check
            continue
    return grouped(found)


def find_unfit_settings(
    project: Project, records: Sequence[SlideRecord], config: TrainConfig | None = None
) -> Iterator[str]:
    """Yield which settings do not fit the training slides `records`, and what happens then."""
    if not records:
        return
    config = config or TrainConfig()
    sides = longest_sides(project.mpp, records)
    shapes = {record.id: working_shape(project.mpp, record) for record in records}
    tiny = [name for name, shape in shapes.items() if min(shape) < _TOO_SMALL]
    if tiny:
        rows, columns = shapes[tiny[0]]
        at = "" if project.mpp is None else f" at the project's {project.mpp:g} um per pixel"
        yield (
            f"{len(tiny)} of {len(records)} training slides are very small, {tiny[0]} {rows} x {columns} pixels{at}. "
            "Make the project with a finer --mpp (or native), or add larger pieces of the slides."
        )
    tile = fitting_tile(sides, config.tile)
    if tile * _MUCH_SMALLER <= config.tile:
        count = sum(side <= tile for side in sides)
        which = "All" if count == len(sides) else f"{count} of {len(sides)}"
        larger = f"Slides of at least {config.tile} pixels would show more of the surroundings."
        at_least = f" (the smallest tile is {SMALLEST_TILE})" if tile == SMALLEST_TILE else ""
        yield (
            f"{which} training slides are smaller than a tile of {config.tile} pixels, so they are learned in tiles of "
            f"{tile}{at_least}. {larger}"
        )
        return
    small = [name for name, shape in shapes.items() if max(shape) * _MUCH_SMALLER <= config.tile]
    if small:
        yield (
            f"{len(small)} of {len(records)} training slides are much smaller than a tile of {config.tile} pixels "
            f"({', '.join(small[:3])}{' ...' if len(small) > 3 else ''}): tiles are filled with their mirror images. "
            "Lower --tile if most slides are that small."
        )


def _oddities(slide: Slide) -> list[str]:
    try:
        return oddities(slide)
    except UnsupportedSlideError as error:
        return [f"unreadable in places ({error.__cause__ or error}): copy it again from its source"]


def _spread(records: Sequence[SlideRecord]) -> Sequence[SlideRecord]:
    """Return at most `_MOST_SLIDES` of the slides, evenly spread."""
    if len(records) <= _MOST_SLIDES:
        return records
    return [records[index * len(records) // _MOST_SLIDES] for index in range(_MOST_SLIDES)]
