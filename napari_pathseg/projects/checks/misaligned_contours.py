"""Find imported contours that do not fit their slide: swapped axes, wrong scale, or from another slide."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from napari_pathseg.contours.alignment import MAX_FALSE_ALARM, PYRAMID_SCALES, BoundingBox, suggest_transform
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, AnnotationReader
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.errors import AnnotationError, PathsegError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.project_state import ImportRecord

_MAX_FILE_BYTES = 50_000_000  # larger files would delay the check


def find_misaligned_contours(project: Project) -> Iterator[str]:
    """Report imported contours whose bounding box does not fit their slide."""
    boxes: list[tuple[str, str, BoundingBox]] = []
    imports = project.state.imports
    for path in sorted(project.folder.glob("contours/*.*")):
        imported = imports.get(path.name, ImportRecord(path.stem, path.name, ""))  # older projects recorded no imports
        if path.suffix not in CONTOUR_SUFFIXES or imported.slide not in project.slides:
            continue
        if path.stat().st_size > _MAX_FILE_BYTES:
            continue
        try:
            contours = imported.transform.apply(_read(path, _geometry(project, imported.slide)))
        except AnnotationError as error:
            yield f"{error} Its outlines are already in the mask of {imported.slide}; import it again to be sure."
            continue
        box = BoundingBox.from_contours(contours, project.slides[imported.slide].shape)
        if box is not None:
            boxes.append((imported.file, imported.slide, box))
    for file, slide, box in boxes:
        if not box.fits():
            yield _describe_misfit(file, slide, box)
    yield from _find_wrong_scale([(slide, box) for _, slide, box in boxes if box.fits()])


def _read(path: Path, geometry: SlideGeometry) -> Sequence[Contour]:
    """Return the contours of a file, whatever the size of its image: that was checked on import."""
    return AnnotationReader().read(path, geometry).contours or ()


def _geometry(project: Project, slide_id: str) -> SlideGeometry:
    try:
        return project.slide_geometry(slide_id)
    except PathsegError:  # reported by another check
        record = project.slide(slide_id)
        return SlideGeometry(record.id, record.shape, record.mpp)


def _describe_misfit(file: str, slide: str, box: BoundingBox) -> str:
    rows, columns = box.slide_shape
    text = (
        f"{file} covers rows {box.top:.0f} to {box.bottom:.0f}, columns {box.left:.0f} to "
        f"{box.right:.0f}; {slide} has {rows} rows and {columns} columns."
    )
    transform = suggest_transform(box)
    if transform is None:
        return f"{text} Import the file that belongs to this slide."
    return f"{text} It would fit {transform.description}: import it again with this correction."


def _find_wrong_scale(boxes: Sequence[tuple[str, BoundingBox]]) -> Iterator[str]:
    """Report contours that were drawn on a downsampled copy: they all lie in the upper left corner."""
    reach = max((box.reach for _, box in boxes), default=1.0)
    fitting = [scale for scale in PYRAMID_SCALES if reach <= 1 / scale]
    if fitting and fitting[-1] ** (-2 * len(boxes)) <= MAX_FALSE_ALARM:
        scale = fitting[-1]
        which = f"The outlines of {boxes[0][0]}" if len(boxes) == 1 else f"All outlines of {len(boxes)} slides"
        yield (
            f"{which} lie in the upper left 1/{scale} of the slide, as if drawn on a copy of 1/{scale} of its size. "
            "Check them, then import them again at the right scale, or export them in full-size pixels."
        )
