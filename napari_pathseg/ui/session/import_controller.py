"""Import of the files that a user drops on the window or chooses in a dialog.

Slides, annotation files and project folders are handled separately; the first slide creates a project beside it,
so that the user sees something before any question.  Annotation files that need no confirmation are imported at once.
Otherwise the import dialog shows all that was dropped, as an `ImportInspector` reads it.
"""

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES, AnnotationFile, AnnotationReader
from napari_pathseg.errors import AnnotationError, PathsegError, ProjectError
from napari_pathseg.projects.importing.contour_import import (
    DEFAULT_IMPORT_OPTIONS,
    ImportOptions,
    import_file,
)
from napari_pathseg.projects.importing.file_survey import (
    ADDED,
    IS_FOLDER,
    IS_SLIDE,
    SurveyedFile,
    holds_labels,
    is_named_like_a_mask,
    survey_files,
    with_likely_slides,
)
from napari_pathseg.projects.importing.import_preview import AnnotationFileInfo, inspect_file
from napari_pathseg.projects.manifest import read_manifest
from napari_pathseg.projects.project import FOLDER_SUFFIX, Project
from napari_pathseg.slides.folders import (
    is_plain_folder,
    pair_folders,
    paired_folders,
    sort_images,
    visible_in,
)
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.storage.names import is_project
from napari_pathseg.ui.session.background import Report, Steps, Work, run_now
from napari_pathseg.ui.session.open_images import OpenImage, save_image, slide_of
from napari_pathseg.ui.session.session import Session

_MAX_BYTES_UNSEEN = 3_000_000  # larger contour files take so long to read that the dialog shows it
_MAX_NAMED = 3  # files in a message
IMPORT_FOLDER = "Drop a folder by itself to import what is in it."
_NEITHER = "neither a slide nor an annotation"
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass
class ClassifiedPaths:
    """Paths by kind.

    Attributes
    ----------
    folder
        The folder in which slides and annotations lie in sub-folders; None if they lie together.
    others
        The files in folders that are neither slides nor annotation files, and the folders that were not opened.
    """

    folder: Path | None = None
    project: Path | None = None
    slides: list[Path] = field(default_factory=list)
    contours: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class ImportTask:
    """An annotation file to import into a slide; `complete` if everything outside its contours is Background."""

    file: AnnotationFile
    slide: str
    options: ImportOptions
    complete: bool


@dataclass
class ImportResult:
    """What happened to files.

    Attributes
    ----------
    problems
        One sentence for each file that could not be used, except slides.
    imported
        The slides into which annotations were imported.
    ambiguous
        All files, if the user has to decide on an annotation file among them; no annotation was imported.
    inspected
        The content of those that have been read already.
    refused
        The slides that could not be opened, and why.
    others
        Files in folders that are neither slides nor annotation files.
    """

    problems: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    ambiguous: list[SurveyedFile] = field(default_factory=list)
    inspected: list[AnnotationFileInfo] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)
    others: list[Path] = field(default_factory=list)


def classify_paths(paths: Iterable[Path]) -> ClassifiedPaths:
    """Sort paths into slides, annotation files and projects; a folder yields the slides and annotation files in it.

    Label images are annotation files, known by their name, their few values, or their folder where slides and masks lie
    apart: in sub-folders of a folder that holds no slide itself, or in several folders that come together.
    """
    found, files, paths = ClassifiedPaths(), list[Path](), list(paths)
    slides, annotations = pair_folders([path for path in paths if is_plain_folder(path)])
    masks = _masks_in(annotations) if slides else set()
    for path in paths:
        if is_project(path):
            found.project = path
        elif is_plain_folder(path):
            slides, annotations = paired_folders(path)
            if slides:
                found.folder = path
                masks |= _masks_in(annotations)
            opened = [path, *slides, *annotations]
            visible = [child for folder in opened for child in visible_in(folder) if child not in opened]
            inside = [child for child in visible if _is_usable(child)]
            files += inside
            if inside:
                found.others += [child for child in visible if child not in inside and not is_project(child)]
            else:
                found.unknown.append(path)
        elif _is_usable(path):
            files.append(path)
        else:
            found.unknown.append(path)
    masks |= set(sort_images(files)[1])
    for path in files:
        is_mask = path in masks or is_named_like_a_mask(path) or holds_labels(path)
        kind = found.contours if is_mask or path.suffix.lower() in CONTOUR_SUFFIXES else found.slides
        kind.append(path)
    return found


def _masks_in(folders: Iterable[Path]) -> set[Path]:
    return {file for folder in folders for file in visible_in(folder) if file.suffix.lower() in MASK_SUFFIXES}


def add_files(session: Session, paths: Sequence[Path], *, complete: bool = True) -> ImportResult:
    """Add files here and now; see :func:`adding_files`."""
    return run_now(adding_files(session, paths, complete=complete))


def adding_files(session: Session, paths: Sequence[Path], *, complete: bool = True) -> Steps[ImportResult]:
    """Return the flow that adds files to the project, creating one for the first slide if none is open.

    Raises
    ------
    ProjectError
        If no project can be opened or created.
    """
    found = yield Work(lambda _: classify_paths(paths), "Looking at the files")
    if found.project is not None:
        session.open_project(found.project)
    elif found.slides and session.project is None:
        start_project(session, found.slides[0], found.folder)
    problems = [_why_skipped(path) for path in found.unknown]
    refused = yield from _adding_slides(session, found.slides)
    result = ImportResult()
    if found.contours and session.project is None:
        problems.append(f"{found.contours[0].name} needs its slide. Open the slide first.")
    elif found.contours:
        result = yield from _importing_files(session, found.contours, complete=complete)
    if result.ambiguous:
        result.ambiguous += [SurveyedFile(path, ignored=ADDED) for path in found.slides if path not in refused]
        result.ambiguous += [SurveyedFile(path, ignored=f"not added: {why}") for path, why in refused.items()]
        rest = (*found.unknown, *found.others)
        result.ambiguous += [SurveyedFile(path, ignored=IS_FOLDER if path.is_dir() else _NEITHER) for path in rest]
    else:
        result.others = found.others
    result.problems, result.refused = problems + result.problems, refused
    return result


def adopting(session: Session) -> Steps[ImportResult]:
    """Return the flow that adds the images that are open in napari as slides, and removes their layers.

    Raises
    ------
    ProjectError
        If no project can be opened or created.
    """
    images = session.open_images.addable
    if session.project is None and images and images[0].path is not None:
        start_project(session, images[0].path)
    project, files = session.require_project(), dict[Path, OpenImage]()
    for image in images:
        path = image.path
        if path is None:
            path = yield Work(partial(save_image, image, project), f"Saving {image.name}", writes=True)
        files[path] = image
    refused = yield from _adding_slides(session, [path for path, image in files.items() if not image.slide])
    added = [image for path, image in files.items() if path not in refused]
    session.open_images.remove(added)
    first = next((path for path in files if path not in refused), None)
    if first is not None:
        session.show_slide(slide_of(first, project))
        session.layers.viewer.reset_view()
    return ImportResult(refused=refused)


def _importing_files(session: Session, paths: Sequence[Path], *, complete: bool) -> Steps[ImportResult]:
    """Return the flow that imports annotation files if none is ambiguous, or leaves all of them to the user."""
    project = session.require_project()
    survey = yield from _surveying(session, paths, masks=False)
    inspected = yield Work(lambda _: _inspect_small(project, survey), "Reading contours")
    tasks = None if inspected is None else unambiguous_imports(inspected, complete=complete)
    if tasks is None:
        return ImportResult(ambiguous=survey, inspected=inspected or [])
    return (yield from importing(session, tasks))


def surveying(session: Session, paths: Sequence[Path]) -> Steps[list[SurveyedFile]]:
    """Return the flow that looks at what each of `paths` is; its result is for the import dialog.

    Raises
    ------
    AnnotationError
        If no annotation file is among them, naming the paths.
    """
    survey = yield from _surveying(session, paths, masks=True)
    if all(file.ignored for file in survey):
        named = ", ".join(path.name for path in paths[:_MAX_NAMED])
        if survey and all(file.ignored == IS_SLIDE for file in survey):
            raise AnnotationError(
                f"{named}: already added as a slide, so it is not imported as contours. If it is a mask, name the copy "
                "to be imported after its slide."
            )
        raise AnnotationError(f"{named}: neither a contour file nor a mask image. Choose another file.")
    return survey


def _surveying(session: Session, paths: Sequence[Path], *, masks: bool) -> Steps[list[SurveyedFile]]:
    """Return the flow that looks at files; a mask can be meant for the slide in view if the user chose it for that."""
    project, in_view = session.require_project(), None if session.slide is None else session.slide.id

    def look(_: Report) -> list[SurveyedFile]:
        return with_likely_slides(survey_files(paths, project), project, in_view, masks=masks)

    found: list[SurveyedFile] = yield Work(look, "Looking at the files")
    return found


def start_project(session: Session, first_slide: Path, folder: Path | None = None) -> None:
    """Open the project of a slide's folder, or create it, in the home folder if that is read-only.

    `folder` is that of the slides, if not the one that the slide lies in.

    Raises
    ------
    ProjectError
        If neither folder can be written.
    """
    folder = (folder or first_slide.parent).absolute()
    beside, elsewhere = folder / f"{folder.name}{FOLDER_SUFFIX}", _place_elsewhere(folder)
    for project in (beside, elsewhere):
        if is_project(project):
            session.open_project(project)
            return
    try:
        session.new_project(beside)
    except ProjectError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _READ_ONLY:
            raise
        session.new_project(elsewhere)
        text = f"{folder} cannot be written, so the project is {elsewhere}. The slides stay where they are."
        session.message.emit(text, "", "warning")


def _place_elsewhere(folder: Path) -> Path:
    """Return the project in the home folder of the slides of a read-only folder, or a path for a new one."""
    number, name = 1, folder.name
    while (path := Path.home() / f"{name}{FOLDER_SUFFIX}").exists() and not _has_slides_of(path, folder):
        number += 1
        name = f"{folder.name}-{number}"
    return path


def _has_slides_of(project: Path, folder: Path) -> bool:
    try:
        return any(folder in Path(record.path).parents for record in read_manifest(project).slides)
    except PathsegError:
        return False


def unambiguous_imports(inspected: Sequence[AnnotationFileInfo], *, complete: bool) -> list[ImportTask] | None:
    """Return the imports of inspected files, or None if any of them needs a decision by the user."""
    if not all(_is_unambiguous(info) for info in inspected):
        return None
    return [
        ImportTask(info.file, slide, DEFAULT_IMPORT_OPTIONS, complete)
        for info in inspected
        if info.file is not None
        for slide in info.slides
    ]


def importing_selected(
    session: Session,
    tasks: Sequence[ImportTask],
    new_classes: Iterable[tuple[str, str | None]],
    new_slides: Sequence[Path] = (),
) -> Steps[ImportResult]:
    """Return the flow that adds slides and classes (name, colour), as the user asked, then imports the files."""
    refused = yield from _adding_slides(session, list(new_slides))
    classes = session.require_project().classes
    for name, color in new_classes:
        classes = classes.add(name, color)
    if classes != session.require_project().classes:
        session.change_classes(classes)
    result = yield from importing(session, tasks)
    result.refused = refused
    return result


def importing(session: Session, tasks: Sequence[ImportTask]) -> Steps[ImportResult]:
    """Return the flow that imports files into their slides, each whole or not at all."""
    result, project = ImportResult(), session.require_project()
    title = f"Importing contours into {len({task.slide for task in tasks})} slides"
    for number, task in enumerate(tasks):
        try:
            if not (yield from session.editor.until_applied()):
                raise ImportStoppedError("The import was stopped.")
            with session.importing(task.slide):
                yield Work(partial(_import, project, task, number / len(tasks)), title, writes=True)
            result.imported.append(task.slide)
        except ImportStoppedError:
            result.problems.append(f"Stopped: {number} of {len(tasks)} files were imported. Import the others again.")
            break
        except PathsegError as error:
            result.problems.append(str(error))
    return result


class ImportStoppedError(PathsegError):
    """Raise where the user stopped an import, before the next file."""


def _import(project: Project, task: ImportTask, fraction_done: float, report: Report) -> None:
    if report(fraction_done):
        raise ImportStoppedError("The import was stopped.")
    import_file(project, task.slide, task.file, complete=task.complete, options=task.options)


def _inspect_small(project: Project, survey: Sequence[SurveyedFile]) -> list[AnnotationFileInfo] | None:
    """Read annotation files, or return None if they are so large that the dialog has to show how far it is."""
    files = [file for file in survey if not file.ignored]
    if sum(file.path.stat().st_size for file in files if file.path.exists()) > _MAX_BYTES_UNSEEN:
        return None
    reader = AnnotationReader()
    return [inspect_file(file.path, project, file.slides, reader) for file in files]


def _is_unambiguous(info: AnnotationFileInfo) -> bool:
    if info.file is None or info.proposal is not None or info.is_other_size or not info.fits:
        return False
    return all(one.default is not None for one in info.classes)


def _why_skipped(path: Path) -> str:
    if path.is_dir():
        return f"{path.name} has neither slides nor contour files directly in it. {IMPORT_FOLDER}"
    return f"{path.name} is neither a slide nor a contour file. It was skipped."


def _is_usable(path: Path) -> bool:
    """Return whether a file is a slide or an annotation file, by its suffix; hidden files are not."""
    return path.suffix.lower() in (*SLIDE_SUFFIXES, *CONTOUR_SUFFIXES) and not path.name.startswith(".")


def _adding_slides(session: Session, slides: list[Path]) -> Steps[dict[Path, str]]:
    """Add slides, together if all are sound, else one by one; return why some could not be added."""
    if not slides:
        return {}
    try:
        yield from session.adding(slides)
    except PathsegError as error:
        if len(slides) == 1 or session.background.cancelling:
            return {slides[0]: str(error)}
    else:
        return {}
    problems: dict[Path, str] = {}
    for path in slides:
        problems |= yield from _adding_slides(session, [path])
        if session.background.cancelling:
            break
    return problems
