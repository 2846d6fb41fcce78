"""The project of the tour: sample slides in the user's cache folder, made when the tour is first begun."""

from pathlib import Path

from napari_pathseg.projects.project import FOLDER_SUFFIX, Project
from napari_pathseg.storage.cache_folder import cache_folder
from napari_pathseg.storage.names import is_project
from napari_pathseg.ui.sample_files import sample_folder, sample_slides
from napari_pathseg.ui.session.background import Steps, Work
from napari_pathseg.ui.session.guide import STEPS, Guide, make_tour_project
from napari_pathseg.ui.session.session import Session

_SLIDES = 3
_NAME = "tour"


def starting_tour(session: Session, guide: Guide) -> Steps[None]:
    """Return the flow that begins the tour, or goes on with one that was left before its end."""
    if guide.paused:
        guide.start()
        return
    if guide.active:
        return
    folder = yield Work(lambda _: _tour_folder(), "Preparing the sample slides")
    session.open_project(folder)
    guide.start()


def _tour_folder() -> Path:
    """Return the project of a tour that is not over yet; it is created if there is no such one."""
    number = 1
    while True:
        folder = cache_folder() / f"{_NAME}{'' if number == 1 else f'-{number}'}{FOLDER_SUFFIX}"
        if not is_project(folder):
            break
        if Project.open(folder).state.tour.step <= STEPS:
            return folder
        number += 1
    folder.parent.mkdir(parents=True, exist_ok=True)
    make_tour_project(folder, sample_slides(sample_folder(count=_SLIDES))[:_SLIDES])
    return folder
