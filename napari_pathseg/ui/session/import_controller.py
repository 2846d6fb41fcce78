"""What is dropped on the window or chosen in a dialog, brought into the project.

Slides, contours and project folders are told apart here; a first slide makes its project,
so that nothing is asked before something is seen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES, stem_of
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.importing.import_preview import find_slide_named
from napari_pathseg.projects.project import FOLDER_SUFFIX, Project
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.ui.session.import_inspector import run_imports, unambiguous_imports
from napari_pathseg.ui.session.session import Session


@dataclass
class Found:
    """Paths by what they are."""

    project: Path | None = None
    slides: list[Path] = field(default_factory=list)
    contours: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)


def classify_paths(paths: Iterable[Path], project: Project | None) -> Found:
    """Tell slides, contours and projects apart; folders stand for the slides in them."""
    found = Found()
    for path in paths:
        if (path / "project.json").is_file():
            found.project = path
        elif path.is_dir() and path.suffix.lower() not in SLIDE_SUFFIXES:
            children = sorted(path.iterdir())
            inside = [child for child in children if child.suffix.lower() in SLIDE_SUFFIXES]
            outlines = [child for child in children if child.suffix.lower() in CONTOUR_SUFFIXES]
            found.slides += inside
            found.contours += outlines
            found.unknown += [] if inside or outlines else [path]
        elif path.suffix.lower() in CONTOUR_SUFFIXES or (_is_mask(path) and _has_slide(path, project)):
            found.contours.append(path)
        elif path.suffix.lower() in SLIDE_SUFFIXES:
            found.slides.append(path)
        else:
            found.unknown.append(path)
    return found


def _has_slide(path: Path, project: Project | None) -> bool:
    return project is not None and find_slide_named(path, project) is not None


def _is_mask(path: Path) -> bool:
    stem = stem_of(path).lower()
    return path.suffix.lower() in MASK_SUFFIXES and (stem.endswith("_mask") or stem.startswith("mask_"))


@dataclass
class ImportResult:
    """What became of files.

    Attributes
    ----------
    problems
        One sentence for each file that could not be used, but for slides.
    imported
        Slides into which contours came.
    asked
        Files of contours about which a person has to be asked; nothing was done with them.
    refused
        Slides that could not be opened, and why.
    """

    problems: list[str]
    imported: list[str] = field(default_factory=list)
    asked: list[Path] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)


def add_files(session: Session, paths: Sequence[Path], *, complete: bool = True) -> ImportResult:
    """Bring files into the project, making one beside the first slide where none is open.

    Contours are imported where their slides and classes are plain.

    Raises
    ------
    ProjectError
        If no project can be opened or made.
    """
    found = classify_paths(paths, session.project)
    if found.project is not None:
        session.open_project(found.project)
    elif found.slides and session.project is None:
        start_project(session, found.slides[0])
    problems = [f"{path.name} is neither a slide nor contours. Nothing was done with it." for path in found.unknown]
    taken = ImportResult(problems, refused=_add(session, found.slides))
    if found.contours and session.project is None:
        taken.problems.append(f"{found.contours[0].name} needs its slide. Open the slide first.")
    elif found.contours:
        contours = import_contour_files(session, found.contours, complete=complete)
        taken.problems += contours.problems
        taken.imported, taken.asked = contours.imported, contours.asked
    return taken


def import_contour_files(session: Session, paths: Sequence[Path], *, complete: bool) -> ImportResult:
    """Import files of contours where all is plain; else leave them all to be asked about."""
    in_view = None if session.slide is None else session.slide.id
    choices = unambiguous_imports(session.require_project(), paths, in_view, complete=complete)
    if choices is None:
        return ImportResult([], asked=[*paths])
    slides, more = run_imports(session, choices)
    return ImportResult(more, slides)


def start_project(session: Session, first_slide: Path) -> None:
    """Open the project beside a slide, making it where there is none."""
    folder = first_slide.absolute().parent
    project = folder / f"{folder.name}{FOLDER_SUFFIX}"
    if (project / "project.json").is_file():
        session.open_project(project)
    else:
        session.new_project(project)


def _add(session: Session, slides: list[Path]) -> dict[Path, str]:
    """Add slides, all at once where all are good, else one by one; return why some could not be."""
    if not slides:
        return {}
    try:
        session.add_slides(slides)
    except PathsegError as error:
        if len(slides) == 1:
            return {slides[0]: str(error)}
    else:
        return {}
    problems: dict[Path, str] = {}
    for path in slides:
        problems |= _add(session, [path])
    return problems
