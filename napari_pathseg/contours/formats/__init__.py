"""Contour files and label images of other programs: one module per format, one table of them all.

It may import `contours`, `slides` and `storage`; every format converts coordinates to ours, and
nothing outside this package does.  Begin with `registry.py`, then `base.py` and any format.
"""

from napari_pathseg.contours.formats.base import ContourFormat, SlideGeometry
from napari_pathseg.contours.formats.contour_file import (
    MASK_SUFFIXES,
    AnnotationFile,
    AnnotationReader,
    find_contour_file,
    is_label_image,
    read_contours,
    stem_of,
    write_contours,
)
from napari_pathseg.contours.formats.registry import CONTOUR_SUFFIXES, FORMATS

__all__ = [
    "CONTOUR_SUFFIXES",
    "FORMATS",
    "MASK_SUFFIXES",
    "AnnotationFile",
    "AnnotationReader",
    "ContourFormat",
    "SlideGeometry",
    "find_contour_file",
    "is_label_image",
    "read_contours",
    "stem_of",
    "write_contours",
]
