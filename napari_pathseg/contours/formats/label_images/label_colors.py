"""Masks painted in class colours: which class each colour of a picture is.

A picture is gone through in bands, so that no second copy of it in wider numbers is held.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import AnnotationError

_BAND = 4_000_000  # pixels looked up at once
_UNKNOWN = 255  # no class has that number
_MOST_COLORS = 1_000  # unknown ones, after which a picture is no mask
_COLORS_SHOWN = 3


class Painted(NamedTuple):
    """A picture as it is stored: numbers or colours, the palette of RGB that numbers point to.

    `own` says that this program wrote it: its numbers are classes.
    """

    pixels: npt.NDArray[Any]
    palette: npt.NDArray[np.uint8] | None = None
    own: bool = False


def by_colors(painted: Painted, colors: Mapping[str, int], name: str) -> npt.NDArray[np.uint8] | None:
    """Return the classes that a picture's colours say, or None where its numbers count.

    Parameters
    ----------
    painted
        The picture.
    colors
        The number, up to 254, of each colour as ``#rrggbb``; empty where none is known.
    name
        The file, for messages.

    Raises
    ------
    AnnotationError
        If a picture is painted in colours that are no class's: which, and of how many pixels.
    """
    if not colors:
        return None
    table = {int(color[1:], 16): index for color, index in colors.items()}
    table.setdefault(0, 0)
    pixels = painted.pixels
    if painted.palette is not None and pixels.ndim == 2 and pixels.dtype == np.uint8:
        return _by_palette(pixels, painted.palette, table, name)
    if pixels.ndim != 3 or pixels.shape[-1] not in (3, 4) or pixels.dtype != np.uint8:
        return None
    if pixels.shape[-1] == 4:
        pixels = pixels[..., :3] * (pixels[..., 3:] > 0)
    if (pixels == pixels[..., :1]).all():
        grey = np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 3)
        return _by_palette(pixels[..., 0], grey, table, name, grey=True)
    return _by_look_up(pixels, table, name)


def _by_palette(
    pixels: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8], table: dict[int, int], name: str, grey: bool = False
) -> npt.NDArray[np.uint8] | None:
    """Return the classes where the palette's colours that are used have a class's among them, else None.

    Of greys all must be, as one of many numbers may happen to be a class's.
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    packed = _packed(palette).tolist()
    used = np.flatnonzero(counts).tolist()
    if used[-1] >= len(packed) or not any(table.get(packed[index], 0) for index in used):
        return None
    unknown = Counter({packed[index]: int(counts[index]) for index in used if packed[index] not in table})
    if grey and unknown:
        return None
    _refuse(unknown, name)
    classes = np.zeros(256, np.uint8)
    classes[used] = [table[packed[index]] for index in used]
    return classes[pixels]


def _by_look_up(pixels: npt.NDArray[np.uint8], table: dict[int, int], name: str) -> npt.NDArray[np.uint8]:
    """Return the class of each pixel's colour."""
    classes = np.full(1 << 24, _UNKNOWN, np.uint8)
    for color, index in table.items():
        classes[color] = index
    labels = np.empty(pixels.shape[:2], np.uint8)
    unknown: Counter[int] = Counter()
    for rows in _bands(pixels.shape[:2]):
        packed = _packed(pixels[rows])
        found = classes[packed]
        strange, counts = np.unique(packed[found == _UNKNOWN], return_counts=True)
        if len(strange) + len(unknown) > _MOST_COLORS:
            raise AnnotationError(
                f"{name} holds more than {_MOST_COLORS:,} colours that are no class's. Export the mask without "
                "smoothing, as PNG or TIFF, not JPEG."
            )
        unknown.update(dict(zip(strange.tolist(), counts.tolist(), strict=True)))
        labels[rows] = found
    _refuse(unknown, name)
    return labels


def _refuse(unknown: Counter[int], name: str) -> None:
    if unknown:
        listed = ", ".join(f"#{color:06x} ({count:,} pixels)" for color, count in unknown.most_common(_COLORS_SHOWN))
        more = f" and {len(unknown) - _COLORS_SHOWN} more" if len(unknown) > _COLORS_SHOWN else ""
        raise AnnotationError(
            f"{name} holds colours that are no class's: {listed}{more}. Give the project's classes these colours, "
            "or save the mask with class numbers as grey values."
        )


def _packed(colors: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return red, green and blue as one number."""
    red, green, blue = (colors[..., channel].astype(np.uint32) for channel in range(3))
    return (red << 16 | green << 8 | blue).astype(np.uint32, copy=False)


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    height = max(1, _BAND // shape[1])
    yield from (slice(top, top + height) for top in range(0, shape[0], height))
