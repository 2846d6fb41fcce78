"""Conversion of contours and label images between formats, with the slide's geometry where a format needs it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.contours.contour import Contour, in_painting_order
from napari_pathseg.contours.formats import MASK_SUFFIXES, read_contours, write_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.label_images.reader import read_label_image
from napari_pathseg.contours.formats.label_images.writer import write_label_image
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.contours.vectorize import vectorize
from napari_pathseg.errors import AnnotationError
from napari_pathseg.slides.registry import open_slide


def convert_contours(
    source: Path,
    target: Path,
    slide: Path | None = None,
    format: str | None = None,
    transform: AxisScaleTransform | None = None,
) -> list[Contour]:
    """Read contours, or the regions of a label image, and write them in another format.

    Parameters
    ----------
    source, target
        Contour files or label images, distinguished by suffix.
    slide
        The slide that they belong to, for formats and label images that need its size, pixel
        size or position on the glass.
    format
        A key of `formats.FORMATS`; None for the default format of the target's suffix.
    transform
        What aligns the contours with the slide; None if nothing.

    Returns
    -------
    contours
        The contours that were written.

    Raises
    ------
    AnnotationError
        If a file cannot be read or written, or needs a slide that was not given.
    UnsupportedSlideError
        If the slide cannot be opened.
    """
    if source.exists() and target.exists() and source.samefile(target):
        raise AnnotationError(f"{target} is the file that is read. Give the new file another name.")
    geometry = SlideGeometry()
    if slide is not None:
        with open_slide(slide) as opened:
            geometry = SlideGeometry.from_slide(opened)
    contours = in_painting_order(_read(source, geometry, transform))
    if target.suffix.lower() in MASK_SUFFIXES:
        _write_labels(target, contours, geometry)
    else:
        write_contours(target, contours, format=format, frame=geometry)
    return contours


def _read(path: Path, geometry: SlideGeometry, transform: AxisScaleTransform | None) -> list[Contour]:
    if path.suffix.lower() not in MASK_SUFFIXES:
        return read_contours(path, geometry, transform)
    labels = read_label_image(path, _shape(path, geometry), transform=transform or IDENTITY).values
    values = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[1:]) + 1
    patches = [replace(patch, class_name=str(value)) for value in values for patch in vectorize(labels, int(value))]
    return (transform or IDENTITY).apply(patches)


def _shape(path: Path, geometry: SlideGeometry) -> tuple[int, int]:
    if geometry.shape is None:
        raise AnnotationError(f"{path.name} is a label image, which has the size of its slide. Name the slide.")
    return geometry.shape


def _write_labels(path: Path, contours: list[Contour], geometry: SlideGeometry) -> None:
    """Paint contours in file order; numeric class names become label values, others are numbered from 2."""
    shape = _shape(path, geometry)
    names = list(dict.fromkeys(contour.class_name for contour in contours))
    numbers = {name: BACKGROUND + 1 + place for place, name in enumerate(names)}
    if names and all(name.isdigit() and 0 < int(name) < 256 for name in names):
        numbers = {name: int(name) for name in names}
    if max(numbers.values(), default=0) > 255:
        raise AnnotationError(f"{path.name}: {len(names)} classes do not fit into a label image. Write contours.")
    painted = [replace(contour, label=numbers[contour.class_name]) for contour in contours]
    write_label_image(path, rasterize(painted, shape), mpp=geometry.mpp, mark_as_classes=False)
