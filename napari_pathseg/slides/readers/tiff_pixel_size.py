"""The pixel size of a TIFF: from OME-XML, the scanners' descriptions, private tags, or the resolution tags.

Where each says it: Aperio ``MPP = `` and Philips ``DICOM_PIXEL_SPACING`` (millimetres) in the
ImageDescription, libvips the properties that it took from OpenSlide there; Olympus SIS and Zeiss LSM
a private tag (metres); Hamamatsu, Leica, Akoya, ImageJ and others the resolution tags; the rest is
OpenSlide's to know.  Sources: https://openslide.org/formats/ and the readers of tifffile.
"""

import re
from typing import Any

from tifffile import TiffFile, TiffPage

from napari_pathseg.slides.ome import OmeImage
from napari_pathseg.slides.pixel_size import (
    PixelSize,
    micrometres,
    pixel_size,
    pixel_size_from_description,
)

# TIFF 6.0, ResolutionUnit: 2 inch, 3 centimetre; 4 and 5 are private: millimetre, micrometre.
_TAG_UNITS = {2: 25_400.0, 3: 1e4, 4: 1e3, 5: 1.0}


def tiff_pixel_size(tiff: TiffFile, page: TiffPage, ome: OmeImage | None) -> PixelSize | None:
    """Return the pixel size of a TIFF's level 0 `page`, of which OME-XML says `ome`, or None."""
    if tiff.is_ome:
        return (ome and ome.pixel_size) or pixel_size_from_tags(page)
    return (
        pixel_size_from_description(page.description)
        or pixel_size_from_description(tiff.pages.first.description)
        or _size_in_metres(tiff)
        or pixel_size_from_tags(page)
    )


def pixel_size_from_tags(page: TiffPage) -> PixelSize | None:
    """Return the pixel size in the resolution tags of a page, in ImageJ's unit if ImageJ wrote the file."""
    imagej = re.search(r"^unit=(.*)$", page.description, re.MULTILINE)
    if page.description.startswith("ImageJ=") and imagej:
        unit = micrometres(imagej[1])
    else:
        unit = _TAG_UNITS.get(page.tags.valueof("ResolutionUnit", 2))
    x, y = (page.tags.valueof(name) for name in ("XResolution", "YResolution"))
    return None if unit is None else pixel_size(_per_pixel(unit, x), _per_pixel(unit, y))


def _per_pixel(unit: float, value: Any) -> float | None:
    """Return the length of a pixel from a rational of pixels per unit."""
    known = isinstance(value, tuple) and len(value) == 2 and all(value)
    return unit * value[1] / value[0] if known else None


def _size_in_metres(tiff: TiffFile) -> PixelSize | None:
    """Return the pixel size in the private tags of Olympus SIS or Zeiss LSM."""
    for is_known, metadata, names in (
        (tiff.is_sis, tiff.sis_metadata, ("pixelsizex", "pixelsizey")),
        (tiff.is_lsm, tiff.lsm_metadata, ("VoxelSizeX", "VoxelSizeY")),
    ):
        if is_known and metadata:
            x, y = (metadata.get(name) for name in names)
            return pixel_size(*(1e6 * float(size) if isinstance(size, int | float) else None for size in (x, y)))
    return None
