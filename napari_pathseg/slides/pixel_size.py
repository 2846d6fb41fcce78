"""The pixel size of a slide from its metadata: OME, the scanners' descriptions, resolution tags.

Micrometres per pixel (mpp) everywhere, the mean of both directions.  Many files carry junk (72 dpi,
or a converter's 1.0), so a size that no microscope makes counts as missing.

Where each says it: Aperio ``MPP = `` and Philips ``DICOM_PIXEL_SPACING`` (millimetres) in the
ImageDescription, libvips the properties that it took from OpenSlide there; Olympus SIS and Zeiss LSM
a private tag (metres); Hamamatsu, Leica, Akoya, ImageJ and others the resolution tags; the rest is
OpenSlide's to know.  Sources: https://openslide.org/formats/ and the readers of tifffile.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tifffile import TiffFile, TiffPage

# An oil lens of 100x samples at about 0.05, a 0.5x macro camera at about 20 micrometres;
# 72, 96 and 300 dpi are 353, 265 and 85 micrometres.
_FINEST_UM, _COARSEST_UM = 0.05, 20.0
_INCH_UM = 25_400.0
_UNITS = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "Å": 1e-4,
    "in": _INCH_UM,
    "micrometer": 1.0,
    "nanometer": 1e-3,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "angstrom": 1e-4,
    "inch": _INCH_UM,
}
# TIFF 6.0, ResolutionUnit: 2 inch, 3 centimetre; 4 and 5 are private: millimetre, micrometre.
_TAG_UNITS = {2: _INCH_UM, 3: 1e4, 4: 1e3, 5: 1.0}


def plausible(mpp: float) -> float | None:
    """Return `mpp`, or None where no microscope makes such pixels."""
    return mpp if math.isfinite(mpp) and _FINEST_UM <= mpp <= _COARSEST_UM else None


def mpp_from_dpi(dpi: float) -> float | None:
    """Return the pixel size that a resolution in dots per inch means, if a plausible one."""
    return plausible(_INCH_UM / dpi) if dpi > 0 else None


def mean_mpp(*sizes: str | float | None) -> float | None:
    """Return the mean of the sizes given, or None if it is not plausible.

    >>> mean_mpp("0.25", "0.26")
    0.255
    """
    numbers = [_number(size) if isinstance(size, str) else size for size in sizes]
    said = [number for number in numbers if number]
    return plausible(sum(said) / len(said)) if said else None


def mpp_from_scales(scales: Iterable[tuple[float, Any]]) -> float | None:
    """Return the mean of (size, unit) of both directions as OME-Zarr gives them; a missing unit is a micrometre."""
    sizes = [size * _UNITS.get(str(unit or "um"), math.nan) for size, unit in scales]
    return mean_mpp(*sizes)


def mpp_from_ome(xml: str, picture: int = 0) -> float | None:
    """Return PhysicalSizeX and Y of one picture of an OME-XML; micrometres where no unit is given.

    >>> mpp_from_ome('<OME><Image><Pixels PhysicalSizeX="250" PhysicalSizeXUnit="nm"/></Image></OME>')
    0.25
    """
    # By pattern, not by parser: entities and depth cannot hurt.
    elements = re.findall(r"<(?:\w+:)?Pixels\b[^>]*>", xml)
    if picture >= len(elements):
        return None
    scales = []
    for axis in "XY":
        size = re.search(rf'\bPhysicalSize{axis}\s*=\s*"([^"]*)"', elements[picture])
        unit = re.search(rf'\bPhysicalSize{axis}Unit\s*=\s*"([^"]*)"', elements[picture])
        number = _number(size[1]) if size else None
        if number is not None:
            scales.append((number, unit[1] if unit else None))
    return mpp_from_scales(scales)


def mpp_from_description(description: str) -> float | None:
    """Return the pixel size in an ImageDescription of Aperio, Philips or libvips.

    >>> mpp_from_description("Aperio Image Library|AppMag = 20|MPP = 0.4990|Left = 25.69")
    0.499
    """
    if aperio := re.search(r"\|\s*MPP\s*=\s*([^|]*)", description):
        return mean_mpp(aperio[1])
    # Of a Philips the finest is the slide's; its other levels say theirs, too.
    spacings = re.findall(r'"DICOM_PIXEL_SPACING"[^>]*>\s*(?:&quot;|")([^"&]*)', description)
    if numbers := [number for number in map(_number, spacings) if number]:
        return plausible(1e3 * min(numbers))
    vips = re.findall(r"<name>openslide\.mpp-[xy]</name>\s*<value[^>]*>([^<]*)", description)
    return mean_mpp(*vips)


def mpp_from_tags(page: TiffPage) -> float | None:
    """Return what the resolution tags of a page mean; in ImageJ's unit where it wrote the file."""
    values = [page.tags.valueof(name) for name in ("XResolution", "YResolution")]
    said = [value for value in values if isinstance(value, tuple) and len(value) == 2 and all(value)]
    imagej = re.search(r"^unit=(.*)$", page.description, re.MULTILINE)
    if page.description.startswith("ImageJ=") and imagej:
        unit = {"micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0, **_UNITS}.get(imagej[1].strip())
    else:
        unit = _TAG_UNITS.get(page.tags.valueof("ResolutionUnit", 2))
    return mean_mpp(*(unit * value[1] / value[0] for value in said)) if unit else None


def tiff_mpp(tiff: TiffFile, page: TiffPage, picture: int = 0) -> float | None:
    """Return the pixel size of a TIFF's level 0 `page`, which belongs to its series `picture`, or None."""
    description = tiff.pages.first.description
    if tiff.is_ome:
        return mpp_from_ome(description, picture) or mpp_from_tags(page)
    return (
        mpp_from_description(page.description)
        or mpp_from_description(description)
        or _mpp_in_metres(tiff)
        or mpp_from_tags(page)
    )


def _mpp_in_metres(tiff: TiffFile) -> float | None:
    """Return what the private tags of Olympus SIS or Zeiss LSM say."""
    for known, about, names in (
        (tiff.is_sis, tiff.sis_metadata, ("pixelsizex", "pixelsizey")),
        (tiff.is_lsm, tiff.lsm_metadata, ("VoxelSizeX", "VoxelSizeY")),
    ):
        if known and about:
            return mean_mpp(*_micrometres(about, names))
    return None


def _micrometres(about: dict[str, Any], names: Sequence[str]) -> list[float]:
    """Return those of the named numbers that there are, from metres."""
    return [1e6 * float(about[name]) for name in names if isinstance(about.get(name), int | float)]


def _number(text: str) -> float | None:
    """Return the number that a text begins with, a decimal comma allowed, or None."""
    found = re.match(r"\s*[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?", text)
    return float(found[0].replace(",", ".")) if found else None
