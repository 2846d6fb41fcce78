"""What files of contours hold, before they are imported: for whom, which classes, how many, how large.

Nothing is written here.  Who looks at it decides which slide a file belongs to, what its names
mean, and whether a remedy is taken; `importing.import_file` carries that out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pathseg.contours.alignment import AxisScaleTransform, BoundingBox, suggest_transform
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES, read_contours, stem_of
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.label_images.label_image import read_label_image
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.importing.contour_import import WHITE, is_two_valued, painted_colors
from napari_pathseg.projects.project import Project


@dataclass(frozen=True)
class AnnotationClassInfo:
    """A class that a file names: its name, colour if it has one, contours, and area in level-0 pixels."""

    name: str
    color: str | None
    contours: int
    pixels: float


@dataclass(frozen=True)
class AnnotationFileInfo:
    """What one file holds.

    Attributes
    ----------
    path
        The file.
    slide
        The slide that it is named after, or the only one; None where that is for a person to say.
    classes
        What it names, by falling area; of a label image the values as text, `contour_import.WHITE` of two.
    contours, holes
        How many; 0 for a label image.
    fits, proposal
        Whether it lies on that slide, and what would bring it there if it seems misplaced.
    problem
        Why it cannot be read; then nothing else is known.
    """

    path: Path
    slide: str | None
    classes: tuple[AnnotationClassInfo, ...] = ()
    contours: int = 0
    holes: int = 0
    fits: bool = True
    proposal: AxisScaleTransform | None = None
    problem: str = ""

    @property
    def is_picture(self) -> bool:
        """Whether it is a label image."""
        return self.path.suffix.lower() in MASK_SUFFIXES


def contour_files(paths: Iterable[Path], project: Project) -> list[Path]:
    """Return files of contours and label images among `paths` and in folders among them.

    Of a folder pictures count only where they are named after a slide, and slides never do.
    """
    slides = {project.find_file(entry).resolve() for entry in project.slides.values()}
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in inside:
            suffix = file.suffix.lower()
            named = not path.is_dir() or find_slide_named(file, project) is not None
            if suffix in CONTOUR_SUFFIXES or (suffix in MASK_SUFFIXES and named and file.resolve() not in slides):
                found.append(file)
    return found


def find_slide_named(path: Path, project: Project) -> str | None:
    """Return the slide that a file of contours is named after, or None."""
    stem = stem_of(path)
    stems = {stem.removeprefix("mask_"), stem.removesuffix("_mask"), stem, stem_of(stem)}
    for entry in project.slides.values():
        if entry.id in stems or (entry.page is None and stem_of(project.find_file(entry)) in stems):
            return entry.id
    return None


def inspect_file(path: Path, project: Project, slide: str | None) -> AnnotationFileInfo:
    """Return what a file holds, seen as one of `slide`; None where its slide is not known yet."""
    try:
        if path.suffix.lower() in MASK_SUFFIXES:
            return _picture(path, project, slide)
        frame = SlideGeometry() if slide is None else project.frame(slide)
        contours = read_contours(path, frame)
    except PathsegError as error:
        return AnnotationFileInfo(path, slide, problem=str(error))
    holes = sum(len(contour.holes) for contour in contours)
    fits, proposal = _place(contours, project, slide)
    return AnnotationFileInfo(path, slide, _classes(contours), len(contours), holes, fits=fits, proposal=proposal)


def guess_slide(path: Path, project: Project, in_view: str | None) -> str | None:
    """Return the slide that a file is named after, else the one in view, else the only one, else None."""
    only = next(iter(project.slides)) if len(project.slides) == 1 else None
    return find_slide_named(path, project) or in_view or only


def _place(contours: Sequence[Contour], project: Project, slide: str | None) -> tuple[bool, AxisScaleTransform | None]:
    """Return whether contours lie on their slide, and what seems to be the matter with them."""
    extent = None if slide is None else BoundingBox.from_contours(contours, project.slide(slide).shape)
    if slide is None or extent is None:
        return True, None
    entry, ratios = project.slide(slide), []
    if entry.mpp is not None:
        ratios = [1 / entry.mpp]  # micrometres
        if project.mpp is not None:
            ratios.append(project.mpp / entry.mpp)
    return extent.fits(), suggest_transform(extent, ratios)


def _classes(contours: Sequence[Contour]) -> tuple[AnnotationClassInfo, ...]:
    named: dict[str, list[Contour]] = {}
    for contour in contours:
        named.setdefault(contour.class_name, []).append(contour)
    found = [
        AnnotationClassInfo(name, next((c.color for c in of if c.color), None), len(of), sum(map(_area, of)))
        for name, of in named.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.pixels))


def _area(contour: Contour) -> float:
    exterior, *holes = (_ring_area(ring) for ring in contour.rings)
    return float(max(0.0, exterior - sum(holes)))


def _ring_area(ring: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    rows, columns = (ring - ring[0]).T
    return abs(float(rows @ np.roll(columns, -1) - columns @ np.roll(rows, -1))) / 2


def _picture(path: Path, project: Project, slide: str | None) -> AnnotationFileInfo:
    if slide is None:
        return AnnotationFileInfo(path, None)
    entry = project.slide(slide)
    numbers, certain = read_label_image(
        path, entry.shape, painted_colors(project.classes), entry.page, entry.mask_shape
    )
    counts = np.bincount(numbers.ravel(), minlength=256)
    values = [int(value) for value in np.flatnonzero(counts[1:]) + 1]
    white = not certain and is_two_valued(values)
    classes = (AnnotationClassInfo(WHITE if white else str(value), None, 0, float(counts[value])) for value in values)
    return AnnotationFileInfo(path, slide, tuple(classes))
