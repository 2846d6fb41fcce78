"""What a file of contours, or a label image, says of a slide, in the words of its project."""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED, ClassTable
from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.contours.contour import Contour, check_inside
from napari_pathseg.contours.formats import MASK_SUFFIXES, read_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.label_images.label_image import read_label_image
from napari_pathseg.errors import AnnotationError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import open_mask
from napari_pathseg.masks.edits import import_contours, import_labels, pieces, reject, remove_imported
from napari_pathseg.projects.importing.import_log import ImportRecord, import_records, record_import
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import IMPORT, create_version
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.storage.atomic import replace_file

ParsedAnnotations = list[Contour] | UInt8Array  # outlines with their classes' numbers, or labels on the mask's grid


@dataclass(frozen=True)
class ImportOptions:
    """How a file is understood.

    Attributes
    ----------
    classes
        The class number that a name in the file means, or a value of a label image as text, or
        `WHITE` of one of two values; 0 for unlabelled.  Names that are not here mean the project's class of that name.
    remedy
        What brings its outlines to their place.
    """

    classes: Mapping[str, int] = field(default_factory=dict)
    remedy: AxisScaleTransform = IDENTITY


DEFAULT_IMPORT_OPTIONS = ImportOptions()
WHITE = "white"  # the name of what is not 0 in a label image of two values


def check_file(
    project: Project, entry: SlideRecord, path: Path, options: ImportOptions = DEFAULT_IMPORT_OPTIONS
) -> ParsedAnnotations:
    """Return what a file says, refusing one that cannot be taken into a slide's mask.

    Raises
    ------
    AnnotationError
        If it cannot be read, does not fit the slide, names an unknown class, or is empty where
        all the rest would be Background.
    """
    if path.suffix.lower() in MASK_SUFFIXES:
        return _labels(project.classes, entry, path, options)
    contours = _contours(project, entry, path, options)
    check_inside(contours, entry.shape, path.name)
    if not contours and entry.complete:
        raise AnnotationError(
            f"{path.name} holds no outline, so all of {entry.id} would be Background. Add the slide with --negative if "
            "there is nothing to find, else outline it first."
        )
    return contours


def take_file(
    project: Project,
    entry: SlideRecord,
    path: Path,
    options: ImportOptions = DEFAULT_IMPORT_OPTIONS,
    said: ParsedAnnotations | None = None,
) -> None:
    """Take a file into the mask, and keep it as it came; `said` is what :func:`check_file` returned, if at hand."""
    said = check_file(project, entry, path, options) if said is None else said
    earlier = import_records(project, entry.id)
    again = next((name for name, one in earlier.items() if one.file == path.name), None)
    kept = project.folder / "contours" / (again or _free_name(project, entry.id, path.suffix.lower()))
    if path.resolve() != kept.resolve():
        with replace_file(kept) as partial:
            shutil.copyfile(path, partial)
    create_version(project, entry.id, IMPORT)
    if entry.complete:
        drop_model_pixels(project, entry)
    with open_mask(project.mask_path(entry.id), entry.mask_shape, project.classes) as mask:
        if again is not None and len(earlier) == 1:  # what it said before is no longer meant
            mask.run(remove_imported(Region(0, 0, *mask.shape)))
        if isinstance(said, list):
            import_contours(mask, said, entry.downsample)
        else:
            for region in pieces(Region(0, 0, *mask.shape)):
                here = said[region.slices]
                import_labels(mask, region, here, here != UNLABELLED)
            mask.end_undo_group()
    record_import(project, kept.name, ImportRecord(entry.id, path.name, str(path.resolve()), options.remedy))


def _free_name(project: Project, slide: str, suffix: str) -> str:
    """Return the name under which a slide's further file is kept."""
    taken, name, number = import_records(project), f"{slide}{suffix}", 2
    while name in taken:
        name, number = f"{slide}.{number}{suffix}", number + 1
    return name


def drop_model_pixels(project: Project, entry: SlideRecord) -> None:
    """On a slide that is complete a person has spoken everywhere; what a model said goes."""
    if project.mask_path(entry.id).exists():
        with open_mask(project.mask_path(entry.id), entry.mask_shape, project.classes) as mask:
            mask.run(reject(Region(0, 0, *mask.shape)))


def class_number(classes: ClassTable, name: str, options: ImportOptions = DEFAULT_IMPORT_OPTIONS) -> int | None:
    """Return the number of the class that a file's name means, None where the project has none.

    QuPath's ``Ignore*`` and its like are unlabelled; no name is the first class to find.
    """
    if name in options.classes:
        return options.classes[name]
    if name.endswith("*"):
        return UNLABELLED
    spec = classes.find(name) if name else classes.specs[1]
    return None if spec is None else spec.index


def is_two_valued(values: Iterable[int]) -> bool:
    """Whether a label image of these values says yes and no, not classes."""
    return set(values) <= {0, 1} or set(values) <= {0, 255}


def painted_colors(classes: ClassTable) -> dict[str, int]:
    """Return the class that each colour says; a colour that two classes share says neither."""
    number = Counter(spec.color for spec in classes)
    return {spec.color: spec.index for spec in classes if number[spec.color] == 1}


def _contours(project: Project, entry: SlideRecord, path: Path, options: ImportOptions) -> list[Contour]:
    """Read contours and give each the number of its class."""
    with open_slide(project.find_file(entry), entry.page) as slide:  # which may not be the project's yet
        frame = SlideGeometry.from_slide(slide, entry.mpp)
    found = options.remedy.apply(read_contours(path, frame))
    contours = []
    for number, contour in enumerate(found, 1):
        label = class_number(project.classes, contour.class_name, options)
        if label is None:
            raise AnnotationError(
                f'{path.name}, contour {number}: class "{contour.class_name}" is unknown. The project has: '
                f"{', '.join(project.classes.names)}. Rename it or add the class."
            )
        contours.append(replace(contour, label=label))
    return contours


def _labels(classes: ClassTable, entry: SlideRecord, path: Path, options: ImportOptions) -> UInt8Array:
    """Read a label image, of the slide's size or the mask's, onto the mask's grid.

    Without another meaning 0/1 and 0/255 are Background and the first class.
    """
    image, certain = read_label_image(path, entry.shape, painted_colors(classes), entry.page, entry.mask_shape)
    found = [int(value) for value in np.flatnonzero(np.bincount(image.ravel(), minlength=256))]
    table = np.arange(256, dtype=np.uint8)
    if not certain and is_two_valued(found):
        table[1:] = options.classes.get(WHITE, BACKGROUND + 1)
    for value, number in options.classes.items():
        if value.isdigit() and int(value) < len(table):
            table[int(value)] = number
    unknown = [value for value in found if table[value] > len(classes)]
    if unknown:
        raise AnnotationError(
            f"{path.name} holds the value {max(unknown)}; the project's classes are 1 to {len(classes)} "
            f"({', '.join(classes.names)}). Map the values or add classes."
        )
    if image.shape != entry.mask_shape:
        step = entry.downsample
        rows, columns = (
            np.minimum(np.arange(count) * step + step // 2, size - 1)
            for count, size in zip(entry.mask_shape, entry.shape, strict=True)
        )
        image = image[np.ix_(rows, columns)]
    labels: UInt8Array = table[image]
    return labels
