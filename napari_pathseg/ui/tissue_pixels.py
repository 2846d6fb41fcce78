"""How much of the slide in view is tissue, found in a thread of its own; no Qt.

Tissue is found once for a slide and kept with the project (`data.tissue`); its file is read anew when a person
changed it.  What came of it is taken away in time by who asks: nothing is told from the thread.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pathseg.data.project import Project
from napari_pathseg.data.tissue import load_tissue, tissue_path
from napari_pathseg.errors import PathsegError
from napari_pathseg.ui.session import Session

_Slide = tuple[str, str, str]  # the project's folder, the slide's name and fingerprint


@dataclass(frozen=True)
class _Found:
    """Pixels of the mask that are tissue, None where that cannot be told; when their file was written, if it was."""

    written: int | None
    pixels: float | None


class _Search(threading.Thread):
    """Finds the tissue of one slide; a program that ends does not wait for it."""

    def __init__(self, project: Project, slide: _Slide) -> None:
        super().__init__(name="tissue", daemon=True)
        self.slide, self.path = slide, tissue_path(project, slide[1])
        self._project = project
        self.found: _Found | None = None  # what goes wrong napari shows, as in any thread

    def run(self) -> None:
        self.found = _find(self._project, self.slide[1])


class TissuePixels:
    """The tissue of a session's slides in pixels of their masks, as far as it is known."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[_Slide, _Found] = {}
        self._search: _Search | None = None

    @property
    def of_slide(self) -> float | None:
        """The tissue of the slide in view; None where it is not known yet, or there is none."""
        slide = self._in_view()
        return None if slide is None or slide not in self._known else self._known[slide].pixels

    @property
    def is_new(self) -> bool:
        """Whether the slide in view is to be looked at: for the first time, or since its tissue was changed."""
        slide, project = self._in_view(), self._session.project
        if slide is None or project is None:
            return False
        known = self._known.get(slide)
        return known is None or known.written != _written(tissue_path(project, slide[1]))

    def look(self) -> bool:
        """Take what was found, or begin to look; return whether something is still to come."""
        if self._search is not None:
            if self._search.is_alive():
                return True
            done, self._search = self._search, None
            self._known[done.slide] = done.found or _Found(_written(done.path), None)  # nothing fails twice
        slide, project = self._in_view(), self._session.project
        if slide is None or project is None or not self.is_new:
            return False
        self._search = _Search(project, slide)
        self._search.start()
        return True

    def _in_view(self) -> _Slide | None:
        entry, project = self._session.slide, self._session.project
        return None if entry is None or project is None else (str(project.folder), entry.id, entry.fingerprint)


def _find(project: Project, slide_id: str) -> _Found:
    path = tissue_path(project, slide_id)
    written = _written(path)
    try:
        tissue = load_tissue(project, slide_id, may_keep=lambda: project.lock.held)
        if written is None and (written := _written(path)) is not None:
            tissue = load_tissue(project, slide_id)  # as it lies there: a person may have painted meanwhile
        entry = project.slide(slide_id)
    except PathsegError:  # who asks to see it is told
        return _Found(written, None)
    pixels = float(np.count_nonzero(tissue.pixels)) * (tissue.downsample / entry.downsample) ** 2
    return _Found(written, pixels or None)


def _written(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
