"""Preview of annotation files before their import: their slides, classes, contours and sizes.

Nothing is written here.  The caller decides which slide a file belongs to, what its names mean and whether to
transform it; `contour_import.import_file` then imports the file as it was read here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pathseg.contours.alignment import AxisScaleTransform, BoundingBox, suggest_transform
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES, stem_of
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.label_images.reader import read_label_image
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.importing.contour_import import (
    WHITE,
    AnnotationFile,
    class_colors,
    is_binary,
    is_label_image,
    read_annotations,
)
from napari_pathseg.projects.project import Project


@dataclass(frozen=True)
class AnnotationClassInfo:
    """A class that a file names: its name, colour if any, number of contours, and area in level-0 pixels."""

    name: str
    color: str | None
    contours: int
    pixels: float


@dataclass(frozen=True)
class AnnotationFileInfo:
    """Summary of one annotation file.

    Attributes
    ----------
    path
        The file.
    slide
        The slide that it was read for; None if the user has to choose one.
    file
        What was read, ready to be imported into that slide; None if there is a problem, or no slide.
    classes
        The classes that it names, largest area first; for a label image the values as text, or `WHITE`.
    contours, holes
        How many; 0 for a label image.
    fits, proposal
        Whether it lies on the slide, and the transform that would align it if it seems misplaced.
    problem
        Why it cannot be read; the other fields are then empty.
    """

    path: Path
    slide: str | None
    file: AnnotationFile | None = None
    classes: tuple[AnnotationClassInfo, ...] = ()
    contours: int = 0
    holes: int = 0
    fits: bool = True
    proposal: AxisScaleTransform | None = None
    problem: str = ""

    @property
    def is_label_image(self) -> bool:
        """Whether the file is a label image."""
        return is_label_image(self.path)


def annotation_files(paths: Iterable[Path], project: Project) -> list[Path]:
    """Return the contour files and label images among `paths` and in the folders among them.

    An image in a folder counts only if it is named after a slide; a slide of the project never does.
    """
    slides = {project.find_file(record).resolve() for record in project.slides.values()}
    found: list[Path] = []
    for path in paths:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            suffix = file.suffix.lower()
            named = not path.is_dir() or find_slide_named(file, project) is not None
            if suffix in CONTOUR_SUFFIXES or (suffix in MASK_SUFFIXES and named and file.resolve() not in slides):
                found.append(file)
    return found


def find_slide_named(path: Path, project: Project) -> str | None:
    """Return the slide that an annotation file is named after, or None."""
    stem = stem_of(path)
    stems = {stem.removeprefix("mask_"), stem.removesuffix("_mask"), stem, stem_of(stem)}
    for record in project.slides.values():
        if record.id in stems or (record.page is None and stem_of(project.find_file(record)) in stems):
            return record.id
    return None


def guess_slide(path: Path, project: Project, in_view: str | None) -> str | None:
    """Return the slide that a file is named after, else the one in view, else the only one, else None."""
    only = next(iter(project.slides)) if len(project.slides) == 1 else None
    return find_slide_named(path, project) or in_view or only


def inspect_file(path: Path, project: Project, slide: str | None) -> AnnotationFileInfo:
    """Read a file for a slide, or without one, and return its summary; an unreadable file has a `problem`."""
    try:
        if is_label_image(path):
            return _inspect_label_image(path, project, slide)
        file = read_annotations(path, SlideGeometry() if slide is None else project.slide_geometry(slide))
    except PathsegError as error:
        return AnnotationFileInfo(path, slide, problem=str(error))
    contours = file.contours or ()
    fits, proposal = _check_alignment(contours, project, slide)
    return AnnotationFileInfo(
        path,
        slide,
        None if slide is None else file,
        _classes(contours),
        len(contours),
        sum(len(contour.holes) for contour in contours),
        fits,
        proposal,
    )


def _check_alignment(
    contours: Sequence[Contour], project: Project, slide: str | None
) -> tuple[bool, AxisScaleTransform | None]:
    """Return whether contours lie on their slide, and the transform that would align them."""
    extent = None if slide is None else BoundingBox.from_contours(contours, project.slide(slide).shape)
    if slide is None or extent is None:
        return True, None
    record, ratios = project.slide(slide), []
    if record.mpp is not None:
        ratios = [1 / record.mpp]  # micrometres
        if project.mpp is not None:
            ratios.append(project.mpp / record.mpp)
    return extent.fits(), suggest_transform(extent, ratios)


def _classes(contours: Sequence[Contour]) -> tuple[AnnotationClassInfo, ...]:
    by_name: dict[str, list[Contour]] = {}
    for contour in contours:
        by_name.setdefault(contour.class_name, []).append(contour)
    found = [
        AnnotationClassInfo(name, next((c.color for c in named if c.color), None), len(named), sum(map(_area, named)))
        for name, named in by_name.items()
    ]
    return tuple(sorted(found, key=lambda info: -info.pixels))


def _area(contour: Contour) -> float:
    exterior, *holes = (_ring_area(ring) for ring in contour.rings)
    return float(max(0.0, exterior - sum(holes)))


def _ring_area(ring: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    rows, columns = (ring - ring[0]).T
    return abs(float(rows @ np.roll(columns, -1) - columns @ np.roll(rows, -1))) / 2


def _inspect_label_image(path: Path, project: Project, slide: str | None) -> AnnotationFileInfo:
    if slide is None:
        return AnnotationFileInfo(path, None)
    record, file = project.slide(slide), read_annotations(path, SlideGeometry())
    labels, certain = read_label_image(
        path, record.shape, class_colors(project.classes), record.page, record.mask_shape
    )
    counts = np.bincount(labels.ravel(), minlength=256)
    values = [int(value) for value in np.flatnonzero(counts[1:]) + 1]
    white = not certain and is_binary(values)
    classes = (AnnotationClassInfo(WHITE if white else str(value), None, 0, float(counts[value])) for value in values)
    return AnnotationFileInfo(path, slide, file, tuple(classes))
