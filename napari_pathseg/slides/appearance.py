"""What is odd in how a slide looks: nearly black, nearly white, or shown by an assumption about its samples.

A network learns nothing from such pixels, and a wrong range of the samples is the usual reason.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.slide import Slide

_SIDE = 256  # of the thumbnail that is looked at
_MAX_PIXELS = 16_000_000  # of the coarsest level; of one that is larger nine boxes are looked at
_BOX = 256
_DARK, _DARK_SHARE = 50, 99.0  # so many percent of the pixels are darker
_BRIGHT, _BRIGHT_SHARE = 240, 0.2  # all but so many percent are brighter
_NAMES_SHOWN = 3


def oddities(slide: Slide) -> list[str]:
    """Return what is odd in how an open slide looks: sentences without a subject or full stop.

    Raises
    ------
    UnsupportedSlideError
        If its pixels cannot be decoded.
    """
    rows, columns = slide.levels[-1].shape
    whole = rows * columns <= _MAX_PIXELS
    pixels = slide.thumbnail(_SIDE) if whole else _boxes(slide)
    dark, bright = np.percentile(pixels, [_BRIGHT_SHARE, _DARK_SHARE])
    found = list(slide.notes)
    if bright < _DARK:
        found.append(
            f"nearly black: {_DARK_SHARE:.0f} % of the pixels lie below {_DARK} of 255. If the file is not dark in "
            "other programs, its samples use fewer bits than it states: save it as 8 bits"
        )
    if whole and dark > _BRIGHT:  # boxes can miss a small piece of tissue
        found.append(
            f"nearly white: all pixels lie above {_BRIGHT} of 255, so no tissue is seen. Check that it is the right "
            "file, and that it is not overexposed or all transparent"
        )
    return found


def _boxes(slide: Slide) -> UInt8Array:
    """Return the pixels of nine boxes of the coarsest level, evenly spread."""
    level = len(slide.levels) - 1
    rows, columns = slide.levels[level].shape
    boxes = (
        Region(row * (rows - _BOX) // 2, column * (columns - _BOX) // 2, _BOX, _BOX).clip((rows, columns))
        for row in range(3)
        for column in range(3)
    )
    return np.concatenate([slide.read_level(level, box).ravel() for box in boxes])


def square_mpp(slide: Slide) -> float | None:
    """Return the pixel size of an open slide, None if the file does not state it.

    Raises
    ------
    UnsupportedSlideError
        If its pixels are not square.
    """
    problem = pixels_not_square(slide)
    if problem:
        raise UnsupportedSlideError(f"{slide.path.name} has {problem}.")
    return slide.mpp


def pixels_not_square(slide: Slide) -> str:
    """Return a sentence like those of `oddities` if a slide's file states pixels that are not square, else ""."""
    size = slide.pixel_size
    if size is None or size.is_square:
        return ""
    across, down = (max(1.0, round(side / min(size), 2)) for side in size)
    return (
        f"pixels of {size.x:.4g} x {size.y:.4g} µm, which are not square, so that shapes and areas would be wrong. "
        f"Resample it (for example vips resize IN.tif OUT.tif {across:g} --vscale {down:g}) and add the result with "
        f"pathseg add --pixel-size {min(size):.4g}. If the file is wrong and they are square, give their size so, too"
    )


def grouped(found: Mapping[str, Iterable[str]]) -> list[str]:
    """Return one sentence for each oddity, with the names of the slides that have it."""
    slides: dict[str, list[str]] = defaultdict(list)
    for name, texts in found.items():
        for text in texts:
            slides[text].append(name)
    return [f"{_listed(names)}: {text}." for text, names in slides.items()]


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
