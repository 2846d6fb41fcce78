"""The slides of a project as the live model uses them: which are learnt, which are open, which cannot be read."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from napari_pathseg.engine.bundle import load_bundles
from napari_pathseg.engine.dataset.tiles import grow
from napari_pathseg.engine.live.live_slide import LiveSlide
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.projects import roles
from napari_pathseg.projects.held_out_parts import MARGIN, Parts, boxes_on_mask, is_whole
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import working_factor

_OPEN = 8  # files
_Result = TypeVar("_Result")


class LiveSlides:
    """The slides of a project, made when they are first used.

    Parameters
    ----------
    project
        The project.
    stain_norm
        Stain normalisation of their pixels.
    on_failure
        Called with a slide that cannot be read, and why.

    Attributes
    ----------
    learnt
        The slides to learn from, and the boxes of their working grids to leave out.
    """

    def __init__(self, project: Project, stain_norm: str, on_failure: Callable[[str, PathsegError], None]) -> None:
        self._project, self._stain_norm, self._on_failure = project, stain_norm, on_failure
        self.learnt = learnt_slides(project)
        self._slides: dict[str, LiveSlide] = {}
        self._open: OrderedDict[str, LiveSlide] = OrderedDict()  # the last used at the end

    def find(self, name: str) -> LiveSlide | None:
        """Return a slide; None, after a report, if its mask cannot be read or the project has no such slide."""
        if name not in self._slides:
            if name not in self._project.slides:
                self.reload()
            slide = self.guarded(name, lambda: self._make(name))
            if slide is None:
                return None
            self._slides[name] = slide
        return self._slides[name]

    def use(self, name: str) -> LiveSlide:
        """Return a slide that was found, to read it; the files of others are closed if there are too many."""
        slide = self._slides[name]
        self._open[name] = slide
        self._open.move_to_end(name)
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)[1].close()
        return slide

    def holds(self, slide: LiveSlide) -> bool:
        """Return whether a slide is still in use."""
        return self._slides.get(slide.record.id) is slide

    def guarded(self, name: str, action: Callable[[], _Result]) -> _Result | None:
        """Return the result of an action on a slide; report it if it fails, and return None."""
        try:
            return action()
        except PathsegError as error:
            if name in self._slides:
                self._slides[name].problem = str(error)
            self._on_failure(name, error)
            return None

    def reload(self) -> bool:
        """Read the project again; return whether something that may have been learnt is to be forgotten.

        Slides whose records have changed are made again.
        """
        grid = self._grid()
        try:
            self._project.reload()
        except PathsegError as error:  # it is being written, or gone
            self._on_failure("", error)
            return False
        before, learnt_before = self._slides, self.learnt
        self.learnt = learnt_slides(self._project)
        same = grid == self._grid()
        records = self._project.slides
        self._slides = {
            name: slide
            for name, slide in before.items()
            if same and records.get(name) == slide.record and learnt_before.get(name) == self.learnt.get(name)
        }
        gone = before.keys() - self._slides.keys()
        for name in gone:
            before[name].close()
            self._open.pop(name, None)
        forgotten = {name for name, boxes in learnt_before.items() if self.learnt.get(name) != boxes}
        return not same or bool(forgotten or gone & learnt_before.keys())

    def close(self) -> None:
        """Close all files."""
        for slide in self._open.values():
            slide.close()
        self._open.clear()

    def _make(self, name: str) -> LiveSlide:
        return LiveSlide(self._project, self._project.slide(name), self._stain_norm, self.learnt.get(name, []))

    def _grid(self) -> tuple[object, ...]:
        return self._project.classes.numbers, self._project.mpp


def learnt_slides(project: Project) -> dict[str, list[Region]]:
    """Return the slides to learn from, and the boxes of their working grids to leave out.

    These are the slides that a training may learn from.  One without a role counts as such unless its patient is held
    out.  Without a validation slide, the parts that the newest model holds out are left out.
    """
    held_out = {
        record.patient or record.id for record in project.slides.values() if record.role in (roles.VAL, roles.TEST)
    }
    learnt = [
        record
        for record in project.slides.values()
        if record.role == roles.TRAIN or (record.role == roles.AUTO and (record.patient or record.id) not in held_out)
    ]
    parts = _held_out_parts(project)
    return {record.id: _unlearnt(project, record, parts) for record in learnt if not is_whole(record, parts)}


def _held_out_parts(project: Project) -> Parts:
    """Return the parts of slides that the newest model holds out."""
    if project.slides_with_role(roles.VAL):
        return {}
    try:
        found = next((bundle for bundle in reversed(load_bundles(project)) if bundle.held_out), None)
    except PathsegError:  # named where models are listed
        return {}
    return {} if found is None else found.parts


def _unlearnt(project: Project, record: SlideRecord, parts: Parts) -> list[Region]:
    factor = working_factor(project.mpp, record)
    boxes = []
    for box in boxes_on_mask(record, parts):
        top, left = int(box.top / factor), int(box.left / factor)
        bottom, right = -int(-box.bottom // factor), -int(-box.right // factor)
        boxes.append(grow(Region(top, left, bottom - top, right - left), MARGIN, 1))
    return boxes
