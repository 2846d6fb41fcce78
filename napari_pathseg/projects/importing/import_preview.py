"""Preview of annotation files before their import: their slides, classes, contours and sizes.

Nothing is written here.  The caller decides which slide a file belongs to, what its names mean and whether to
transform it; `contour_import.import_file` then imports the file as it was read here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_pathseg.classes import ClassTable
from napari_pathseg.contours.alignment import (
    IDENTITY,
    AxisScaleTransform,
    BoundingBox,
    fits_stated_size,
    suggest_transform,
    transform_for_stated_size,
)
from napari_pathseg.contours.class_names import contour_names
from napari_pathseg.contours.contour import Contour, contour_areas
from napari_pathseg.contours.formats import AnnotationFile, AnnotationReader, is_label_image
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.label_images.reader import (
    is_white_ambiguous,
    label_image_shape,
    read_label_image,
)
from napari_pathseg.errors import AnnotationError, PathsegError
from napari_pathseg.projects.importing.class_assignment import default_classes
from napari_pathseg.projects.importing.contour_import import BLACK, WHITE, class_colors, is_binary
from napari_pathseg.projects.importing.file_survey import pages_of
from napari_pathseg.projects.project import Project


@dataclass(frozen=True)
class AnnotationClassInfo:
    """A name in a file (see `contour_names`) or a value of a label image.

    Attributes
    ----------
    name, color
        The name, and its colour if any.
    contours, pixels
        The number of contours, and their area in level-0 pixels.
    default
        The class of the project that it means; None if the user has to choose.
    """

    name: str
    color: str | None
    contours: int
    pixels: float
    default: int | None


@dataclass(frozen=True)
class AnnotationFileInfo:
    """Summary of one annotation file.

    Attributes
    ----------
    path
        The file.
    slides
        The slides that it was read for: one, or the pages of a stack; empty if the user has to choose.
    file
        What was read, ready to be imported into these slides; None if there is a problem, or no slide.
    classes
        The classes that it names, largest area first; for a label image the values as text, or `WHITE`, and `BLACK` too
        where either may be the object.
    contours, holes
        How many; 0 for a label image.
    fits, proposal
        Whether it lies on the slide, and the transform that would align it if it seems misplaced.
    is_other_size
        Whether the file states an image size other than the slide's, so that the user has to choose a transform.
    problem
        Why it cannot be read; the other fields are then empty.
    ignored
        Why it is not imported, though nothing is wrong with it; see `SurveyedFile`.
    pages
        How many masks a label image holds.
    """

    path: Path
    slides: tuple[str, ...] = ()
    file: AnnotationFile | None = None
    classes: tuple[AnnotationClassInfo, ...] = ()
    contours: int = 0
    holes: int = 0
    fits: bool = True
    proposal: AxisScaleTransform | None = None
    is_other_size: bool = False
    problem: str = ""
    ignored: str = ""
    pages: int = 1

    @property
    def is_label_image(self) -> bool:
        """Whether the file is a label image."""
        return is_label_image(self.path)


def inspect_file(
    path: Path, project: Project, slides: tuple[str, ...], reader: AnnotationReader | None = None
) -> AnnotationFileInfo:
    """Read a file for a slide, or a mask for the pages of a stack, or a file without a slide; return its summary.

    An unreadable file has a `problem`.  With the same `reader`, a file with the contours of several images is parsed
    once for all of its slides.
    """
    pages = pages_of(path) if is_label_image(path) else 1
    try:
        geometry = SlideGeometry()
        if slides and not is_label_image(path):
            geometry = project.slide_geometry(slides[0])
        file = (reader or AnnotationReader()).read(path, geometry)
        if file.contours is None:
            return _inspect_pages(file, project, slides, pages)
    except PathsegError as error:
        return AnnotationFileInfo(path, slides, problem=str(error), pages=pages)
    contours, slide = file.contours, next(iter(slides), None)
    fits, proposal = _check_alignment(contours, project, slide)
    differs = False
    if slide is not None and file.image_shape is not None:
        shape = project.slide(slide).shape
        differs = not fits_stated_size(file.image_shape, shape)
        proposal = transform_for_stated_size(file.image_shape, shape) if differs else proposal
    return AnnotationFileInfo(
        path,
        slides,
        None if slide is None else file,
        _classes(contours, project.classes),
        len(contours),
        sum(len(contour.holes) for contour in contours),
        fits,
        proposal,
        is_other_size=differs,
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


def _classes(contours: Sequence[Contour], classes: ClassTable) -> tuple[AnnotationClassInfo, ...]:
    by_name: dict[str, list[tuple[Contour, float]]] = {}
    for name, contour, area in zip(contour_names(contours), contours, contour_areas(contours).tolist(), strict=True):
        by_name.setdefault(name, []).append((contour, area))
    defaults = default_classes(contours, classes)
    infos = [
        AnnotationClassInfo(
            name,
            next((contour.color for contour, _ in named if contour.color), None),
            len(named),
            sum(area for _, area in named),
            defaults[name],
        )
        for name, named in by_name.items()
    ]
    return tuple(sorted(infos, key=lambda info: -info.pixels))


def _inspect_pages(file: AnnotationFile, project: Project, slides: tuple[str, ...], pages: int) -> AnnotationFileInfo:
    """Return the summary of a label image for its slides; without any, read no more than its size.

    Raises
    ------
    AnnotationError
        If it cannot be read, or does not have a page for each slide.
    """
    if not slides:
        label_image_shape(file.path, None)
        return AnnotationFileInfo(file.path, pages=pages)
    if pages < len(slides):
        raise AnnotationError(f"{file.path.name} holds {pages} masks, but {len(slides)} slides were chosen for it.")
    found = [_inspect_label_image(file, project, slide) for slide in slides]
    classes: dict[str, AnnotationClassInfo] = {}
    for one in (one for page in found for one in page.classes):
        earlier = classes.get(one.name)
        classes[one.name] = one if earlier is None else replace(earlier, pixels=earlier.pixels + one.pixels)
    return replace(found[0], slides=slides, classes=tuple(classes.values()), pages=pages)


def _inspect_label_image(file: AnnotationFile, project: Project, slide: str) -> AnnotationFileInfo:
    record = project.slide(slide)
    found = label_image_shape(file.path, record.page)
    proposal = None
    if found not in (record.shape, record.mask_shape):
        proposal = transform_for_stated_size(found, record.shape)
    labels, certain = read_label_image(
        file.path,
        record.shape,
        class_colors(project.classes),
        record.page,
        record.mask_shape,
        proposal or IDENTITY,
    )
    counts = np.bincount(labels.ravel(), minlength=256) * (record.shape[0] * record.shape[1] / labels.size)
    values = [int(value) for value in np.flatnonzero(counts[1:]) + 1]
    defaults: dict[str, tuple[float, int | None]] = {
        str(value): (float(counts[value]), value if value in project.classes.numbers else None) for value in values
    }
    if not certain and is_binary(values):
        asked = is_white_ambiguous(file.path)
        inside = float(counts[1:].sum()), None if asked else project.classes.specs[1].index
        defaults = ({WHITE: inside} if values else {}) | ({BLACK: (float(counts[0]), None)} if asked else {})
    classes = [AnnotationClassInfo(name, None, 0, *pixels_and_default) for name, pixels_and_default in defaults.items()]
    return AnnotationFileInfo(
        file.path, (slide,), file, tuple(classes), proposal=proposal, is_other_size=proposal is not None
    )
