"""Import of annotation files, contours or label images, into the masks of a project.

A contour file is read once: its `AnnotationFile` is shown (`import_preview`), checked and imported.  A label image is
read again on import.  A file that changed in between is refused.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_pathseg.classes import UNLABELLED, ClassTable
from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.contours.contour import Contour, check_inside, in_painting_order
from napari_pathseg.contours.formats import AnnotationFile, AnnotationReader
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.contour_file import check_stated_size
from napari_pathseg.contours.formats.label_images.reader import is_white_ambiguous, read_label_image
from napari_pathseg.errors import AnnotationError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.edits import edit_tiles, import_contours, import_labels, reject, remove_imported
from napari_pathseg.projects.importing.class_assignment import assign_classes
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.project_state import ImportRecord
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import IMPORT, create_version
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.storage.atomic import replace_file

_MAX_WARNINGS = 20
_MAX_VALUES = 5  # of a label image, named in a message
WHITE, BLACK = "white", "black"  # the names of the nonzero value and of 0 in a label image with two values
ParsedAnnotations = Sequence[Contour] | UInt8Array  # contours with class indices, or labels on the mask's grid


@dataclass(frozen=True)
class ImportOptions:
    """How the content of an annotation file is interpreted.

    Attributes
    ----------
    classes
        The class index for a name of `contour_names`, for a value of a label image as text, or for `WHITE` or `BLACK`;
        0 for unlabelled.  A name that is missing here means the project's class of that name; the empty name means all
        contours without a class that are not named otherwise.
    transform
        The transform that aligns the contours or the label image with the slide; None if the user chose none, so that
        the image size that the file states must be the slide's.
    """

    classes: Mapping[str, int] = field(default_factory=dict)
    transform: AxisScaleTransform | None = None


DEFAULT_IMPORT_OPTIONS = ImportOptions()


def read_for_slide(reader: AnnotationReader, project: Project, record: SlideRecord, path: Path) -> AnnotationFile:
    """Read an annotation file for a slide, which need not be in the project yet."""
    with open_slide(project.find_file(record), record.page) as slide:
        geometry = SlideGeometry.from_slide(slide, record.mpp)
    return reader.read(path, geometry)


def import_file(
    project: Project,
    slide_id: str,
    source: Path | AnnotationFile,
    *,
    complete: bool,
    options: ImportOptions = DEFAULT_IMPORT_OPTIONS,
) -> SlideRecord:
    """Import an annotation file into one slide's mask.

    Parameters
    ----------
    project, slide_id
        The slide.
    source
        The file, or what was read from it for this slide.
    complete
        Whether everything outside the annotations is Background.
    options
        How the content is interpreted.

    Raises
    ------
    AnnotationError
        If the file cannot be read, names an unknown class, does not fit the slide, or changed since it was read.
    """
    with project.write_lock():
        record = project.slide(slide_id)
        record = replace(record, complete=complete or record.complete)
        file = source
        if isinstance(file, Path):
            file = read_for_slide(AnnotationReader(), project, record, file)
        import_annotations(project, record, file, options, parse_annotations(project, record, file, options))
        return project.update_slide(slide_id, complete=record.complete)


def parse_annotations(
    project: Project, record: SlideRecord, file: AnnotationFile, options: ImportOptions = DEFAULT_IMPORT_OPTIONS
) -> ParsedAnnotations:
    """Return the content of a file in terms of the project: aligned, and with class indices.

    Raises
    ------
    AnnotationError
        If it does not fit the slide, names an unknown class, or is empty although everything outside its contours
        would be Background.
    """
    if file.contours is None:
        return _labels(project.classes, record, file.path, options)
    check_stated_size(file.path, file.image_shape, record.shape, options.transform)
    contours = _with_class_indices(file, project.classes, options)
    check_inside(contours, record.shape, file.path.name)
    if not contours and record.complete:
        raise AnnotationError(
            f"{file.path.name} has no contours, so all of {record.id} would be Background. Add the slide with "
            "--negative if there is nothing to find, else outline it first."
        )
    return in_painting_order(contours)


def import_annotations(
    project: Project,
    record: SlideRecord,
    file: AnnotationFile,
    options: ImportOptions,
    annotations: ParsedAnnotations,
) -> None:
    """Import parsed annotations into a slide's mask, and copy their file into the project; the caller saves.

    A version of the mask is created before.
    """
    project.lock.check()
    earlier = project.state.imports_into(record.id)
    previous = next((name for name, one in earlier.items() if one.file == file.path.name), None)
    copy = project.folder / "contours" / (previous or _unused_name(project, record.id, file.path.suffix.lower()))
    if file.path.resolve() != copy.resolve():
        with replace_file(copy) as partial:
            shutil.copyfile(file.path, partial)
            file.check_unchanged()
    create_version(project, record.id, IMPORT)
    if record.complete:
        remove_predictions(project, record)
    with project.open_mask(record) as mask:
        if previous is not None and len(earlier) == 1:  # the new content replaces the old
            mask.run(remove_imported(Region(0, 0, *mask.shape)))
        if isinstance(annotations, np.ndarray):
            for region in edit_tiles(Region(0, 0, *mask.shape)):
                labels = annotations[region.slices]
                import_labels(mask, region, labels, labels != UNLABELLED)
            mask.end_undo_group()
        else:
            import_contours(mask, annotations, record.downsample)
    warning = ""
    if file.contours is not None:
        warning = assign_classes(file.contours, project.classes, options.classes, file.path.name).warning
    elif not options.classes and is_white_ambiguous(file.path):
        target = project.classes.specs[1].name
        warning = (
            f"{file.path.name} stores white as 0 (MinIsWhite), and programs differ in which value is the object. What "
            f"is shown in white was imported as {target}. If it is what is shown in black, import it again with "
            f'--map "{BLACK}={target}" --map "{WHITE}=Unlabelled".'
        )
    imported = ImportRecord(record.id, file.path.name, str(file.path.resolve()), options.transform or IDENTITY, warning)
    project.state.record_import(copy.name, imported)


def import_warnings(project: Project, files: Mapping[str, str | None]) -> list[str]:
    """Return the warnings about imported files, by slide; at most 20, and how many more there are."""
    found: dict[str, None] = {}
    for slide_id, name in files.items():
        imports = project.state.imports_into(slide_id).values()
        found |= {imported.warning: None for imported in imports if imported.warning and imported.file == name}
    rest = len(found) - _MAX_WARNINGS
    return [*list(found)[:_MAX_WARNINGS], *([f"There are {rest} more such warnings."] if rest > 0 else [])]


def remove_predictions(project: Project, record: SlideRecord) -> None:
    """Remove a model's labels from a slide's mask: on a complete slide every pixel has a human label."""
    if project.mask_path(record.id).exists():
        with project.open_mask(record) as mask:
            mask.run(reject(Region(0, 0, *mask.shape)))


def is_binary(values: Iterable[int]) -> bool:
    """Return whether the values of a label image are those of a binary mask, 0/1 or 0/255."""
    return set(values) <= {0, 1} or set(values) <= {0, 255}


def class_colors(classes: ClassTable) -> dict[str, int]:
    """Return the class index of each colour, leaving out colours that several classes share."""
    uses = Counter(spec.color for spec in classes)
    return {spec.color: spec.index for spec in classes if uses[spec.color] == 1}


def _unused_name(project: Project, slide_id: str, suffix: str) -> str:
    """Return a file name in ``contours/`` for a slide's next file."""
    used, name, number = project.state.imported_names, f"{slide_id}{suffix}", 2
    while name in used:
        name, number = f"{slide_id}.{number}{suffix}", number + 1
    return name


def _with_class_indices(file: AnnotationFile, classes: ClassTable, options: ImportOptions) -> list[Contour]:
    contours = (options.transform or IDENTITY).apply(file.contours or ())
    labels = assign_classes(contours, classes, options.classes, file.path.name).labels
    pairs = zip(contours, labels, strict=True)
    return [replace(contour, label=label) for contour, label in pairs if label is not None]


def _labels(classes: ClassTable, record: SlideRecord, path: Path, options: ImportOptions) -> UInt8Array:
    """Read a label image, at level-0 or mask size or as `options` transform it, onto the mask's grid.

    Unless `options` say otherwise, the values of a binary mask mean Background and the first class after it.
    """
    transform = options.transform or IDENTITY
    image, certain = read_label_image(
        path, record.shape, class_colors(classes), record.page, record.mask_shape, transform
    )
    values = [int(value) for value in np.flatnonzero(np.bincount(image.ravel(), minlength=256))]
    table = np.arange(256, dtype=np.uint8)
    if not certain and is_binary(values):
        table[1:] = options.classes.get(WHITE, classes.specs[1].index)
        table[0] = options.classes.get(BLACK, UNLABELLED)
    for value, index in options.classes.items():
        if value.isdigit() and int(value) < len(table):
            table[int(value)] = index
    unknown = [value for value in values if table[value] not in (UNLABELLED, *classes.numbers)]
    if unknown:
        raise AnnotationError(_describe_unknown(path.name, unknown, classes))
    labels: UInt8Array = table[_on_mask_grid(image, record, transform)]
    return labels


def _describe_unknown(name: str, values: Sequence[int], classes: ClassTable) -> str:
    """Return the refusal of a label image with values that no class has."""
    known = ", ".join(f"{spec.index} {spec.name}" for spec in classes)
    if len(values) > _MAX_VALUES:
        return (
            f"{name} holds {len(values)} values from {values[0]} to {values[-1]} that no class has; the project's "
            f"classes are {known}. Resizing and JPEG make such masks of binary ones: save it again without them."
        )
    listed = f"the value{'s' if len(values) > 1 else ''} {', '.join(map(str, values))}"
    return (
        f"{name} holds {listed}; the project's classes are {known}. Map the values, as with "
        f'--map "{values[-1]}={classes.specs[1].name}", or add classes.'
    )


def _on_mask_grid(image: UInt8Array, record: SlideRecord, transform: AxisScaleTransform) -> UInt8Array:
    """Return for each pixel of the mask the nearest one of a label image."""
    if transform == IDENTITY and image.shape == record.mask_shape:
        return image
    image = image.T if transform.swap_axes else image
    step = record.downsample
    rows, columns = (
        np.minimum((np.minimum(np.arange(count) * step + step // 2, side - 1) + 0.5) / transform.scale, found - 1)
        for count, side, found in zip(record.mask_shape, record.shape, image.shape, strict=True)
    )
    return image[np.ix_(rows.astype(np.intp), columns.astype(np.intp))]
