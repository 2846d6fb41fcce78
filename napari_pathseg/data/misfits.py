"""Contour files that do not fit their slide: swapped, scaled, or another slide's."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pathseg.data.formats import CONTOUR_SUFFIXES, read_contours
from napari_pathseg.data.project import Project
from napari_pathseg.errors import AnnotationError

_OVERHANG = 0.05  # share of a side by which outlines may leave the slide: hands draw beyond its edge
_SCALES = (2, 4, 8, 16, 32)  # levels of a pyramid
_CHANCE = 1 / 256  # that places without a rule all lie in that corner; rarer ones are a finding
_LARGEST_FILE = 50_000_000  # bytes; larger ones would hold up the check


@dataclass(frozen=True)
class _Drawn:
    """How far the outlines of a slide reach, in level-0 pixels."""

    slide: str
    file: str
    shape: tuple[int, int]
    top: float
    left: float
    bottom: float
    right: float

    def fits(self, scale: float = 1, *, swapped: bool = False) -> bool:
        """Whether they lie on the slide, divided by `scale`, maybe with rows as columns."""
        corners = [(self.top, self.bottom), (self.left, self.right)]
        return all(
            first >= -_OVERHANG * size and last / scale <= (1 + _OVERHANG) * size
            for size, (first, last) in zip(self.shape, corners[::-1] if swapped else corners, strict=True)
        )

    @property
    def reach(self) -> float:
        """How far down or right they reach, as a share of the slide's side."""
        return max(self.bottom / self.shape[0], self.right / self.shape[1])


def find_misfits(project: Project) -> Iterator[str]:
    """Yield what is wrong with imported contours whose bounding box does not fit its slide."""
    drawn = []
    for path in sorted(project.folder.glob("contours/*.*")):
        if path.suffix not in CONTOUR_SUFFIXES or path.stem not in project.slides:
            continue
        if path.stat().st_size > _LARGEST_FILE:
            continue
        try:
            found = _read(path, project.slides[path.stem].shape)
        except AnnotationError as error:
            yield f"{error} Its outlines are in the mask of {path.stem} already; import it again to be sure."
            continue
        if found is not None:
            drawn.append(found)
    for one in drawn:
        if not one.fits():
            yield _outside(one)
    yield from _corner([one for one in drawn if one.fits()])


def _read(path: Path, shape: tuple[int, int]) -> _Drawn | None:
    rings = [contour.exterior for contour in read_contours(path)]
    if not rings:
        return None
    points = np.concatenate(rings)
    (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
    return _Drawn(path.stem, path.name, shape, float(top), float(left), float(bottom), float(right))


def _outside(drawn: _Drawn) -> str:
    rows, columns = drawn.shape
    text = (
        f"{drawn.file} lies at rows {drawn.top:.0f} to {drawn.bottom:.0f}, columns {drawn.left:.0f} to "
        f"{drawn.right:.0f}; {drawn.slide} has {rows} rows and {columns} columns."
    )
    if drawn.fits(swapped=True):
        return f"{text} It would fit with rows and columns swapped: export it as x, y and import it again."
    for scale in _SCALES:
        if drawn.fits(scale):
            return (
                f"{text} It would fit at 1/{scale} of its size: export it in pixels of this slide and import it again."
            )
    return f"{text} Import the file that belongs to this slide."


def _corner(drawn: list[_Drawn]) -> Iterator[str]:
    """Find outlines that were drawn on a smaller copy: all of them lie in the upper left corner."""
    reach = max((one.reach for one in drawn), default=1.0)
    fitting = [scale for scale in _SCALES if reach <= 1 / scale]
    if fitting and fitting[-1] ** (-2 * len(drawn)) <= _CHANCE:
        scale = fitting[-1]
        which = f"The outlines of {drawn[0].slide}" if len(drawn) == 1 else f"All outlines of {len(drawn)} slides"
        yield (
            f"{which} lie in the upper left 1/{scale} of the slide, as if drawn on a copy of 1/{scale} of its size. "
            "Look at them; export them in pixels of the full size and import them again."
        )
