"""What is dropped on the window or chosen in a dialog, brought into the project.

Slides, contours and project folders are told apart here; a first slide makes its project,
so that nothing is asked before something is seen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_pathseg.data.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES, stem_of
from napari_pathseg.data.importing import AddOptions
from napari_pathseg.data.project import FOLDER_SUFFIX, Project
from napari_pathseg.data.slide import SLIDE_SUFFIXES
from napari_pathseg.errors import PathsegError
from napari_pathseg.ui.session import Session


@dataclass
class Found:
    """Paths by what they are; contours with the slide they belong to, None for the slide in view."""

    project: Path | None = None
    slides: list[Path] = field(default_factory=list)
    contours: list[tuple[Path, str | None]] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)


def sort_out(paths: Iterable[Path], project: Project | None) -> Found:
    """Tell slides, contours and projects apart; folders stand for the slides in them."""
    found = Found()
    known = {} if project is None else {stem_of(project.find_file(e)): e.id for e in project.slides.values()}
    for path in paths:
        if (path / "project.json").is_file():
            found.project = path
        elif path.is_dir():
            inside = sorted(child for child in path.iterdir() if child.suffix.lower() in SLIDE_SUFFIXES)
            found.slides += inside
            found.unknown += [] if inside else [path]
        elif path.suffix.lower() in CONTOUR_SUFFIXES:
            found.contours.append((path, known.get(stem_of(path))))
        elif _is_mask(path) and (slide := known.get(_without_mask(stem_of(path)))):
            found.contours.append((path, slide))
        elif path.suffix.lower() in SLIDE_SUFFIXES:
            found.slides.append(path)
        else:
            found.unknown.append(path)
    return found


def _is_mask(path: Path) -> bool:
    stem = stem_of(path).lower()
    return path.suffix.lower() in MASK_SUFFIXES and (stem.endswith("_mask") or stem.startswith("mask_"))


def _without_mask(stem: str) -> str:
    return stem[5:] if stem.lower().startswith("mask_") else stem[:-5]


def take_files(session: Session, paths: Sequence[Path], *, complete: bool = True) -> list[str]:
    """Bring files into the project, making one beside the first slide where none is open.

    Returns
    -------
    problems
        One sentence for each file that could not be used; the others are taken.

    Raises
    ------
    ProjectError
        If no project can be opened or made.
    """
    found = sort_out(paths, session.project)
    if found.project is not None:
        session.open_project(found.project)
    elif found.slides and session.project is None:
        start_project(session, found.slides[0])
    problems = [f"{path.name} is neither a slide nor contours. Nothing was done with it." for path in found.unknown]
    problems += _add(session, found.slides)
    for path, slide in found.contours:
        problems += _import(session, path, slide, complete=complete)
    return problems


def start_project(session: Session, first_slide: Path) -> None:
    """Open the project beside a slide, making it where there is none."""
    folder = first_slide.absolute().parent
    project = folder / f"{folder.name}{FOLDER_SUFFIX}"
    if (project / "project.json").is_file():
        session.open_project(project)
    else:
        session.new_project(project)


def _add(session: Session, slides: list[Path]) -> list[str]:
    """Add slides, all at once where all are good, else one by one."""
    if not slides:
        return []
    try:
        session.add_slides(slides)
        return []
    except PathsegError as error:
        if len(slides) == 1:
            return [str(error)]
    problems = []
    for path in slides:
        problems += _add(session, [path])
    return problems


def _import(session: Session, path: Path, slide: str | None, *, complete: bool) -> list[str]:
    try:
        if slide is None:
            session.import_contours(path, complete=complete)
        else:
            file = session.opened.find_file(session.opened.slide(slide))
            session.add_slides([file], AddOptions(contours=path, partial=not complete))
    except PathsegError as error:
        return [str(error)]
    return []
