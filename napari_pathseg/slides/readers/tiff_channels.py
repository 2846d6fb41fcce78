"""What a TIFF says of its channels, in OME-XML or as ImageJ does, and whether its planes are one picture in colour."""

import math
import re
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from tifffile import TiffFile, TiffPageSeries

from napari_pathseg.slides.channels import Channel, ColourChannels, colour_channels
from napari_pathseg.slides.ome import OmeImage, read_ome

_KINDS = ("ome", "imagej", "shaped")  # of tifffile's series, whose axes are stated


def ome_image(tiff: TiffFile, series: TiffPageSeries) -> OmeImage | None:
    """Return what OME-XML says of a series, or None without OME-XML."""
    images = read_ome(tiff.pages.first.description) if tiff.is_ome else []
    index = tiff.series.index(series)
    return images[index] if index < len(images) else None


def named_channels(tiff: TiffFile, about: OmeImage | None) -> Sequence[Channel]:
    """Return what a file says of its channels, in their order; empty where it says nothing."""
    if about is not None:
        return about.channels
    return _imagej_channels(tiff) if tiff.is_imagej else ()


def colour_planes(tiff: TiffFile, series: TiffPageSeries, channels: Sequence[Channel]) -> ColourChannels | None:
    """Return which pages of a series are the red, green and blue of one picture, or None if they are not."""
    if series.kind not in _KINDS:
        return None
    size = dict(zip(series.axes, series.shape, strict=True))
    planes = size.pop("C", 1)
    rest = math.prod(length for axis, length in size.items() if axis not in "YX")
    if rest != 1 or planes not in (3, 4) or len(series) != planes:
        return None
    bits = series.keyframe.bitspersample
    if not isinstance(bits, int):
        return None
    # Channels that ImageJ shows in grey are colour only where they are called so.
    grey = series.kind == "imagej" and (tiff.imagej_metadata or {}).get("mode") == "grayscale"
    return colour_channels(channels, planes, 0 if grey else bits)


def _imagej_channels(tiff: TiffFile) -> list[Channel]:
    """Return the channels of an ImageJ hyperstack: the labels of its pages, and the colours of its look-up tables."""
    about = tiff.imagej_metadata or {}
    labels, tables = about.get("Labels"), about.get("LUTs")
    names = [_label(text) for text in labels] if isinstance(labels, list) else []
    colours = [_brightest(table) for table in tables] if isinstance(tables, list) else []
    return [Channel(name or "", colour) for name, colour in zip_longest(names[:4], colours[:4])]


def _label(text: object) -> str:
    """Return the label of a page, empty where it is not a channel's name but that of a file or a position."""
    return "" if re.search(r"[.:/]", str(text)) else str(text)


def _brightest(table: object) -> int | None:
    """Return the last colour of a look-up table, or None for anything else."""
    colours = np.asarray(table)
    if colours.shape != (3, 256):
        return None
    red, green, blue = (int(value) for value in colours[:, -1])
    return red << 16 | green << 8 | blue
