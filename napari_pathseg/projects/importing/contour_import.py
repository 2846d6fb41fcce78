"""Import of annotation files, contours or label images, into the masks of a project.

A contour file is read once: an `AnnotationReader` returns an `AnnotationFile`, from which its content is shown
(`import_preview`), checked and imported.  A label image is read again on import, as many of them at once would fill the
memory; a file that changed in between is refused.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED, ClassTable
from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.contours.contour import Contour, check_inside
from napari_pathseg.contours.formats import MASK_SUFFIXES, ContourFile
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.label_images.reader import read_label_image
from napari_pathseg.errors import AnnotationError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import open_mask
from napari_pathseg.masks.edits import edit_tiles, import_contours, import_labels, reject, remove_imported
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.project_state import ImportRecord
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import IMPORT, create_version
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.storage.atomic import replace_file

WHITE = "white"  # the name of the nonzero value of a label image with two values
ParsedAnnotations = Sequence[Contour] | UInt8Array  # contours with class indices, or labels on the mask's grid


@dataclass(frozen=True)
class ImportOptions:
    """How the content of an annotation file is interpreted.

    Attributes
    ----------
    classes
        The class index for a name in the file, for a value of a label image as text, or for `WHITE`; 0 for
        unlabelled.  A name that is missing here means the project's class of that name.
    transform
        The transform that aligns the contours with the slide.
    """

    classes: Mapping[str, int] = field(default_factory=dict)
    transform: AxisScaleTransform = IDENTITY


DEFAULT_IMPORT_OPTIONS = ImportOptions()


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file as it was read for one slide.

    Attributes
    ----------
    path
        The file.
    contours
        Its contours in level-0 pixels of the slide, with the class names of the file; None for a label image.
    version
        Size and modification time of the file when it was read.
    has_multiple_images
        Whether it is a contour file with the contours of several images.
    """

    path: Path
    contours: Sequence[Contour] | None
    version: tuple[int, int]
    has_multiple_images: bool = False

    def check_unchanged(self) -> None:
        """Raise if the file on disk is no longer the one that was read.

        Raises
        ------
        AnnotationError
            If it was written or deleted since.
        """
        if _version(self.path) != self.version:
            raise AnnotationError(f"{self.path} changed after it was read; nothing was imported. Import it again.")


def is_label_image(path: Path) -> bool:
    """Return whether an annotation file is a label image, by its suffix."""
    return path.suffix.lower() in MASK_SUFFIXES


class AnnotationReader:
    """Reads annotation files for one slide after another.

    A file with the contours of several images stays parsed until another file is read, so that it is parsed once for
    all its slides.
    """

    def __init__(self) -> None:
        self._last: ContourFile | None = None

    def read(self, path: Path, geometry: SlideGeometry) -> AnnotationFile:
        """Read a contour file; of a label image only the state of the file is taken.

        Raises
        ------
        AnnotationError
            If the file cannot be read.
        """
        if is_label_image(path):
            return AnnotationFile(path, None, _version(path))
        file = self._last
        if file is None or file.path != path or not file.is_current():
            file = ContourFile.parse(path)
        self._last = file if file.has_multiple_images else None
        return AnnotationFile(path, file.contours(geometry), file.version, file.has_multiple_images)

    def read_for_slide(self, project: Project, record: SlideRecord, path: Path) -> AnnotationFile:
        """Read an annotation file for a slide, which need not be in the project yet."""
        with open_slide(project.find_file(record), record.page) as slide:
            geometry = SlideGeometry.from_slide(slide, record.mpp)
        return self.read(path, geometry)


def read_annotations(path: Path, geometry: SlideGeometry) -> AnnotationFile:
    """Read one annotation file; see `AnnotationReader.read`."""
    return AnnotationReader().read(path, geometry)


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
        file = (
            source if isinstance(source, AnnotationFile) else AnnotationReader().read_for_slide(project, record, source)
        )
        import_annotations(project, record, file, options, parse_annotations(project, record, file, options))
        project.slides[slide_id] = record
        project.save()
    return record


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
    contours = _with_class_indices(file, project.classes, options)
    check_inside(contours, record.shape, file.path.name)
    if not contours and record.complete:
        raise AnnotationError(
            f"{file.path.name} has no contours, so all of {record.id} would be Background. Add the slide with "
            "--negative if there is nothing to find, else outline it first."
        )
    return contours


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
    with open_mask(project.mask_path(record.id), record.mask_shape, project.classes) as mask:
        if previous is not None and len(earlier) == 1:  # the new content replaces the old
            mask.run(remove_imported(Region(0, 0, *mask.shape)))
        if isinstance(annotations, np.ndarray):
            for region in edit_tiles(Region(0, 0, *mask.shape)):
                labels = annotations[region.slices]
                import_labels(mask, region, labels, labels != UNLABELLED)
            mask.end_undo_group()
        else:
            import_contours(mask, annotations, record.downsample)
    imported = ImportRecord(record.id, file.path.name, str(file.path.resolve()), options.transform)
    project.state.record_import(copy.name, imported)


def remove_predictions(project: Project, record: SlideRecord) -> None:
    """Remove a model's labels from a slide's mask: on a complete slide every pixel has a human label."""
    if project.mask_path(record.id).exists():
        with open_mask(project.mask_path(record.id), record.mask_shape, project.classes) as mask:
            mask.run(reject(Region(0, 0, *mask.shape)))


def class_index(classes: ClassTable, name: str, options: ImportOptions = DEFAULT_IMPORT_OPTIONS) -> int | None:
    """Return the class index for a name in a file, or None if the project has no such class.

    Names that end in ``*``, such as QuPath's ``Ignore*``, are unlabelled; an empty name is the first class after
    Background.
    """
    if name in options.classes:
        return options.classes[name]
    if name.endswith("*"):
        return UNLABELLED
    spec = classes.find(name) if name else classes.specs[1]
    return None if spec is None else spec.index


def is_binary(values: Iterable[int]) -> bool:
    """Return whether the values of a label image are those of a binary mask, 0/1 or 0/255."""
    return set(values) <= {0, 1} or set(values) <= {0, 255}


def class_colors(classes: ClassTable) -> dict[str, int]:
    """Return the class index of each colour, leaving out colours that several classes share."""
    uses = Counter(spec.color for spec in classes)
    return {spec.color: spec.index for spec in classes if uses[spec.color] == 1}


def _version(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # reading it reports why
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def _unused_name(project: Project, slide_id: str, suffix: str) -> str:
    """Return a file name in ``contours/`` for a slide's next file."""
    used, name, number = project.state.imports, f"{slide_id}{suffix}", 2
    while name in used:
        name, number = f"{slide_id}.{number}{suffix}", number + 1
    return name


def _with_class_indices(file: AnnotationFile, classes: ClassTable, options: ImportOptions) -> list[Contour]:
    contours = []
    for number, contour in enumerate(options.transform.apply(file.contours or ()), 1):
        label = class_index(classes, contour.class_name, options)
        if label is None:
            raise AnnotationError(
                f'{file.path.name}, contour {number}: class "{contour.class_name}" is unknown. The project has: '
                f"{', '.join(classes.names)}. Rename it or add the class."
            )
        contours.append(replace(contour, label=label))
    return contours


def _labels(classes: ClassTable, record: SlideRecord, path: Path, options: ImportOptions) -> UInt8Array:
    """Read a label image, at level-0 or mask size, onto the mask's grid.

    Unless `options` say otherwise, the values of a binary mask mean Background and the first class after it.
    """
    image, certain = read_label_image(path, record.shape, class_colors(classes), record.page, record.mask_shape)
    values = [int(value) for value in np.flatnonzero(np.bincount(image.ravel(), minlength=256))]
    table = np.arange(256, dtype=np.uint8)
    if not certain and is_binary(values):
        table[1:] = options.classes.get(WHITE, BACKGROUND + 1)
    for value, index in options.classes.items():
        if value.isdigit() and int(value) < len(table):
            table[int(value)] = index
    unknown = [value for value in values if table[value] > len(classes)]
    if unknown:
        raise AnnotationError(
            f"{path.name} holds the value {max(unknown)}; the project's classes are 1 to {len(classes)} "
            f"({', '.join(classes.names)}). Map the values or add classes."
        )
    if image.shape != record.mask_shape:
        step = record.downsample
        rows, columns = (
            np.minimum(np.arange(count) * step + step // 2, size - 1)
            for count, size in zip(record.mask_shape, record.shape, strict=True)
        )
        image = image[np.ix_(rows, columns)]
    labels: UInt8Array = table[image]
    return labels
