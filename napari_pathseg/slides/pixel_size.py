"""The size of a slide's pixels: units of length, and what scanners write into descriptions.

Micrometres per pixel (mpp) everywhere.  Many files carry junk (72 dpi, or a converter's 1.0), so a size that no
microscope makes counts as missing.  The mpp of pixels that are not square is the
side of a square of the same area.
Sources: https://openslide.org/formats/ and the OME schema.
"""

import math
import re
from typing import Any, NamedTuple

from napari_pathseg.errors import ConfigError

# An oil lens of 100x samples at about 0.05, a 0.5x macro camera at about 20 micrometres;
# 72, 96 and 300 dpi are 353, 265 and 85 micrometres.
_FINEST_UM, _COARSEST_UM = 0.05, 20.0
# What a person may give is bounded more loosely.
SMALLEST_GIVEN_UM, LARGEST_GIVEN_UM = 0.01, 100.0
_INCH_UM = 25_400.0
_SI = {
    "yotta": ("Y", 24), "zetta": ("Z", 21), "exa": ("E", 18), "peta": ("P", 15), "tera": ("T", 12), "giga": ("G", 9),
    "mega": ("M", 6), "kilo": ("k", 3), "hecto": ("h", 2), "deca": ("da", 1), "": ("", 0), "deci": ("d", -1),
    "centi": ("c", -2), "milli": ("m", -3), "micro": ("µ", -6), "nano": ("n", -9), "pico": ("p", -12),
    "femto": ("f", -15), "atto": ("a", -18), "zepto": ("z", -21), "yocto": ("y", -24),
}  # fmt: skip
_FOOT_UM = 12 * _INCH_UM
# Micrometres per unit of OME (UnitsLength) and OME-Zarr (UDUNITS-2); "pixel" and "reference frame" are no lengths, and
# astronomers' units make no plausible pixel.
_UNITS = {
    **{f"{symbol}m": 10.0 ** (power + 6) for symbol, power in _SI.values()},
    **{f"{prefix}{name}": 10.0 ** (power + 6) for prefix, (_, power) in _SI.items() for name in ("meter", "metre")},
    **dict.fromkeys(("μm", "um", "mcm", "micron", "microns", "\\u00B5m"), 1.0),  # Greek mu; ImageJ's escape
    **dict.fromkeys(("Å", "\u212b", "angstrom", "ångström"), 1e-4),  # the letter, and the sign
    **dict.fromkeys(("in", "inch", "inches"), _INCH_UM),
    **dict.fromkeys(("thou", "mil"), _INCH_UM / 1e3),
    **dict.fromkeys(("li", "line"), _INCH_UM / 12),
    **dict.fromkeys(("pt", "point"), _INCH_UM / 72),
    **dict.fromkeys(("ft", "foot", "feet"), _FOOT_UM),
    **dict.fromkeys(("yd", "yard"), 3 * _FOOT_UM),
    **dict.fromkeys(("mi", "mile"), 5280 * _FOOT_UM),
}
# Directions that differ by less are those of a scanner's stage: pixels count as square.
_SAME = 0.05


class PixelSize(NamedTuple):
    """Micrometres per pixel along a row (x) and along a column (y)."""

    x: float
    y: float

    @property
    def mpp(self) -> float:
        """The side of a square pixel of the same area."""
        return self.x if self.x == self.y else math.sqrt(self.x * self.y)

    @property
    def is_square(self) -> bool:
        """Whether both directions are the same, but for a scanner's tolerance."""
        return max(self) <= (1 + _SAME) * min(self)


def plausible(mpp: float) -> float | None:
    """Return `mpp`, or None where no microscope makes such pixels."""
    return mpp if math.isfinite(mpp) and _FINEST_UM <= mpp <= _COARSEST_UM else None


def check_pixel_size(mpp: float) -> None:
    """Raise ConfigError unless `mpp` can be a pixel size that a person gives."""
    if not SMALLEST_GIVEN_UM <= mpp <= LARGEST_GIVEN_UM:
        raise ConfigError(
            f"pixel size is {mpp:g} um; it must lie between {SMALLEST_GIVEN_UM:g} and {LARGEST_GIVEN_UM:g} um."
        )


def pixel_size(x: str | float | None, y: str | float | None) -> PixelSize | None:
    """Return the size of pixels whose width and height are given, or None if they are not plausible.

    A direction that is not given is like the other.

    >>> pixel_size("0.25", None)
    PixelSize(x=0.25, y=0.25)
    """
    across, down = (to_number(size) if isinstance(size, str) else size for size in (x, y))
    across, down = across or down, down or across
    if not across or not down or plausible(across) is None or plausible(down) is None:
        return None
    return PixelSize(across, down)


def pixel_size_from_dpi(x: float, y: float) -> PixelSize | None:
    """Return the pixel size that resolutions in dots per inch mean, if a plausible one."""
    return pixel_size(*(_INCH_UM / dpi if dpi > 0 else None for dpi in (x, y)))


def micrometres(unit: str) -> float | None:
    """Return how many micrometres a unit of length has, by its name or symbol, or None if it is not known."""
    name = unit.strip()
    return _UNITS.get(name, _UNITS.get(name.lower()) if len(name) > 2 else None)


def pixel_size_from_scales(x: tuple[float, Any] | None, y: tuple[float, Any] | None) -> PixelSize | None:
    """Return the pixel size from (size, unit) of each direction, as OME gives them; no unit is a micrometre."""
    across, down = (
        None if size is None else size[0] * (micrometres(str(size[1] or "um")) or math.nan) for size in (x, y)
    )
    return pixel_size(across, down)


def pixel_size_from_description(description: str) -> PixelSize | None:
    """Return the pixel size in an ImageDescription of Aperio, Philips or libvips.

    >>> pixel_size_from_description("Aperio Image Library|AppMag = 20|MPP = 0.4990|Left = 25.69")
    PixelSize(x=0.499, y=0.499)
    """
    if aperio := re.search(r"\|\s*MPP\s*=\s*([^|]*)", description):
        return pixel_size(aperio[1], None)
    # Philips lists the spacings of all levels, rows before columns; the finest is the slide's.
    spacings = re.findall(r'"DICOM_PIXEL_SPACING"[^>]*>\s*((?:(?:&quot;|")[^"&<]*\s*)+)', description)
    if found := [sizes for spacing in spacings if (sizes := _spacing_um(spacing))]:
        down, across = min(found)
        return pixel_size(across, down)
    vips = dict(re.findall(r"<name>openslide\.mpp-([xy])</name>\s*<value[^>]*>([^<]*)", description))
    return pixel_size(vips.get("x"), vips.get("y"))


def _spacing_um(text: str) -> tuple[float, float] | None:
    """Return the two numbers of a text, or its only one twice, from millimetres."""
    numbers = [1e3 * number for part in re.split(r'&quot;|"|\s', text) if (number := to_number(part))]
    return (numbers[0], numbers[-1]) if numbers else None


def to_number(text: str) -> float | None:
    """Return the number that a text begins with, a decimal comma allowed, or None."""
    found = re.match(r"\s*[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?", text)
    return float(found[0].replace(",", ".")) if found else None
