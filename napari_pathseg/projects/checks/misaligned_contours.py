"""Detection of imported contours that do not fit their slide: swapped, scaled, or of another slide."""

from collections.abc import Iterator, Sequence

from napari_pathseg.contours.alignment import MAX_FALSE_ALARM, PYRAMID_SCALES, BoundingBox, suggest_transform
from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, read_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.errors import AnnotationError, PathsegError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.project_state import ImportRecord

_LARGEST_FILE = 50_000_000  # bytes; larger ones would hold up the check


def find_misaligned_contours(project: Project) -> Iterator[str]:
    """Report imported contours whose bounding box does not fit their slide."""
    drawn: list[tuple[str, str, BoundingBox]] = []
    known = project.state.imports
    for path in sorted(project.folder.glob("contours/*.*")):
        imported = known.get(path.name, ImportRecord(path.stem, path.name, ""))  # older projects recorded no imports
        if path.suffix not in CONTOUR_SUFFIXES or imported.slide not in project.slides:
            continue
        if path.stat().st_size > _LARGEST_FILE:
            continue
        try:
            contours = imported.transform.apply(read_contours(path, _geometry(project, imported.slide)))
        except AnnotationError as error:
            yield f"{error} Its outlines are in the mask of {imported.slide} already; import it again to be sure."
            continue
        found = BoundingBox.from_contours(contours, project.slides[imported.slide].shape)
        if found is not None:
            drawn.append((imported.file, imported.slide, found))
    for file, slide, extent in drawn:
        if not extent.fits():
            yield _outside(file, slide, extent)
    yield from _corner([(slide, extent) for _, slide, extent in drawn if extent.fits()])


def _geometry(project: Project, slide_id: str) -> SlideGeometry:
    try:
        return project.slide_geometry(slide_id)
    except PathsegError:  # reported by another check
        record = project.slide(slide_id)
        return SlideGeometry(record.id, record.shape, record.mpp)


def _outside(file: str, slide: str, extent: BoundingBox) -> str:
    rows, columns = extent.slide_shape
    text = (
        f"{file} lies at rows {extent.top:.0f} to {extent.bottom:.0f}, columns {extent.left:.0f} to "
        f"{extent.right:.0f}; {slide} has {rows} rows and {columns} columns."
    )
    transform = suggest_transform(extent)
    if transform is None:
        return f"{text} Import the file that belongs to this slide."
    return f"{text} It would fit {transform.description}: import it again and choose that."


def _corner(drawn: Sequence[tuple[str, BoundingBox]]) -> Iterator[str]:
    """Report contours that were drawn on a downsampled copy: all of them lie in the upper left corner."""
    reach = max((extent.reach for _, extent in drawn), default=1.0)
    fitting = [scale for scale in PYRAMID_SCALES if reach <= 1 / scale]
    if fitting and fitting[-1] ** (-2 * len(drawn)) <= MAX_FALSE_ALARM:
        scale = fitting[-1]
        which = f"The outlines of {drawn[0][0]}" if len(drawn) == 1 else f"All outlines of {len(drawn)} slides"
        yield (
            f"{which} lie in the upper left 1/{scale} of the slide, as if drawn on a copy of 1/{scale} of its size. "
            "Look at them; import them again at the right size, or export them in pixels of the full size."
        )
