"""How large a pixel is, from what a file says: OME-XML, Aperio's description, resolution tags.

Micrometres per pixel (mpp) everywhere.  Many files carry junk (72 dpi, or a converter's 1.0),
so that a size outside what microscopes make counts as not said.
"""

import math
import re

from tifffile import TiffFile, TiffPage

# An oil lens of 100x samples at about 0.05, a 0.5x macro camera at about 20 micrometres;
# 72, 96 and 300 dpi are 353, 265 and 85 micrometres.
_FINEST_UM, _COARSEST_UM = 0.05, 20.0
_INCH_UM = 25_400.0
_OME_UNITS = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "Å": 1e-4,
    "in": _INCH_UM,
}
# TIFF 6.0, ResolutionUnit: 2 inch, 3 centimetre; 4 and 5 are private: millimetre, micrometre.
_TAG_UNITS = {2: _INCH_UM, 3: 1e4, 4: 1e3, 5: 1.0}


def plausible(mpp: float) -> float | None:
    """Return `mpp`, or None where no microscope makes such pixels."""
    return mpp if math.isfinite(mpp) and _FINEST_UM <= mpp <= _COARSEST_UM else None


def mpp_from_dpi(dpi: float) -> float | None:
    """Return the pixel size that a resolution in dots per inch means, if a plausible one."""
    return plausible(_INCH_UM / dpi) if dpi > 0 else None


def mpp_from_ome(xml: str, picture: int = 0) -> float | None:
    """Return PhysicalSizeX of one picture of an OME-XML; micrometres where no unit is given.

    >>> mpp_from_ome('<OME><Image><Pixels PhysicalSizeX="250" PhysicalSizeXUnit="nm"/></Image></OME>')
    0.25
    """
    # By pattern, not by parser: entities and depth cannot hurt.
    elements = re.findall(r"<(?:\w+:)?Pixels\b[^>]*>", xml)
    if picture >= len(elements):
        return None
    size = re.search(r'\bPhysicalSizeX\s*=\s*"([^"]*)"', elements[picture])
    unit = re.search(r'\bPhysicalSizeXUnit\s*=\s*"([^"]*)"', elements[picture])
    scale = _OME_UNITS.get(unit[1] if unit else "um")
    number = _number(size[1]) if size else None
    return plausible(number * scale) if number is not None and scale is not None else None


def mpp_from_aperio(description: str) -> float | None:
    """Return the value of ``MPP = `` in an Aperio ImageDescription.

    >>> mpp_from_aperio("Aperio Image Library|AppMag = 20|MPP = 0.4990|Left = 25.69")
    0.499
    """
    found = re.search(r"\|\s*MPP\s*=\s*([^|]*)", description)
    number = _number(found[1]) if found else None
    return plausible(number) if number is not None else None


def mpp_from_tags(page: TiffPage) -> float | None:
    """Return what XResolution and ResolutionUnit of a page mean; ImageJ's unit where it wrote the file."""
    value = page.tags.valueof("XResolution")
    if not isinstance(value, tuple) or len(value) != 2 or not value[0]:
        return None
    imagej = re.search(r"^unit=(.*)$", page.description, re.MULTILINE)
    if page.description.startswith("ImageJ=") and imagej:
        unit = {"micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0, **_OME_UNITS}.get(imagej[1].strip())
    else:
        unit = _TAG_UNITS.get(int(page.tags.valueof("ResolutionUnit", 2)))
    return plausible(unit * value[1] / value[0]) if unit else None


def tiff_mpp(tiff: TiffFile, page: TiffPage, picture: int = 0) -> float | None:
    """Return the pixel size of a TIFF's level 0 `page`, which belongs to its series `picture`, or None."""
    description = tiff.pages.first.description
    if tiff.is_ome:
        return mpp_from_ome(description, picture) or mpp_from_tags(page)
    if page.description.startswith("Aperio"):
        return mpp_from_aperio(page.description) or mpp_from_tags(page)
    return mpp_from_tags(page)


def _number(text: str) -> float | None:
    """Return the number that a text begins with, a decimal comma allowed, or None."""
    found = re.match(r"\s*[-+]?\d*[.,]?\d+(?:[eE][-+]?\d+)?", text)
    return float(found[0].replace(",", ".")) if found else None
