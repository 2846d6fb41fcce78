"""Find slides whose files were moved or renamed, by name and content, and relink them.

The content is compared by the fingerprint computed when the slide was added.  The search is a generator, so its
caller can show the progress and stop at any time.
"""

import os
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from napari_pathseg.errors import ConfigError, ProjectError, UnsupportedSlideError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.slides.registry import SLIDE_SUFFIXES

_MAX_SECONDS = 120.0
_SKIPPED_SUFFIXES = (".pathseg", ".zarr")  # folders of thousands of files that are not slides themselves
_FOLDERS_PER_STEP = _FILES_PER_STEP = 50


@dataclass(frozen=True)
class Search:
    """Progress of a search: current folder, files examined, paths found by slide, and slides missing at the start."""

    folder: Path
    files: int
    paths: Mapping[str, Path]
    missing: int


def missing(project: Project) -> list[SlideRecord]:
    """Return the slides whose files are missing."""
    return [record for record in project.slides.values() if not os.path.exists(project.find_file(record))]


def find_moved(
    project: Project, folder: Path, seconds: float = _MAX_SECONDS
) -> Generator[Search, None, dict[str, Path]]:
    """Search a folder and its subfolders for the missing slides of a project.

    Files with the name of a missing slide are examined first, then all others that may be slides, breadth first.
    Links to folders are not followed, and unreadable files are skipped.

    Parameters
    ----------
    project
        The project, which is not changed; see :func:`relink`.
    folder
        Where to search.
    seconds
        Time limit; the slides found until then are returned.

    Yields
    ------
    search
        The progress.

    Returns
    -------
    found : dict
        The files found, by slide.

    Raises
    ------
    ConfigError
        If `folder` is not a folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder. Choose the folder that the slides were moved to.")
    deadline = time.monotonic() + seconds
    records = missing(project)
    unfound = {record.id: record for record in records}
    names = {record.file_name.casefold() for record in records}
    used = {os.path.realpath(project.find_file(r)) for r in project.slides.values() if r.id not in unfound}
    found: dict[str, Path] = {}
    others: list[Path] = []
    examined = 0
    for number, (here, files) in enumerate(_walk(folder)):
        if not unfound or time.monotonic() > deadline:
            return found
        for path in files:
            if path.name.casefold() not in names:
                others.append(path)
                continue
            examined += 1
            _match_file(path, unfound, found, used)
        if number % _FOLDERS_PER_STEP == 0:
            yield Search(here, examined, dict(found), len(records))
    for path in others:
        if not unfound or time.monotonic() > deadline:
            return found
        examined += 1
        if _match_file(path, unfound, found, used) or examined % _FILES_PER_STEP == 0:
            yield Search(path.parent, examined, dict(found), len(records))
    return found


def relink(project: Project, files: Mapping[str, Path]) -> None:
    """Set the file of each slide in `files` and save; all of them or none.

    Raises
    ------
    ProjectError
        If the content of a file is not that of its slide; the message names the file.
    UnsupportedSlideError
        If a file cannot be opened.
    """
    with project.write_lock():
        changed = {name: _relinked_record(project, name, Path(path)) for name, path in files.items()}
        project.slides = project.slides | changed
        try:
            for name in changed:
                project.open_slide(name).close()
        except BaseException:
            project.reload()
            raise
        project.save()


def relative_path(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder`, with slashes on every system, or unchanged if on another Windows drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return str(path)


def _walk(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield folders, breadth first, with the files in them that may be slides."""
    level = [folder]
    while level:
        below: list[Path] = []
        for here in level:
            try:
                with os.scandir(here) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError:  # unreadable, or deleted in the meantime
                continue
            yield here, [Path(e.path) for e in entries if _may_be_slide(e)]
            below += [Path(e.path) for e in entries if _may_contain_slides(e)]
        level = below


def _may_be_slide(entry: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix not in SLIDE_SUFFIXES or entry.name.startswith("."):
        return False
    try:
        return entry.is_file() or (suffix == ".zarr" and entry.is_dir(follow_symlinks=False))
    except OSError:  # a circular link
        return False


def _may_contain_slides(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name.lower().endswith(_SKIPPED_SUFFIXES):
        return False
    return entry.is_dir(follow_symlinks=False)


def _match_file(path: Path, unfound: dict[str, SlideRecord], found: dict[str, Path], used: set[str]) -> bool:
    """Move the slides whose content a file has from `unfound` to `found`; of copies, the slide of the same name."""
    try:
        content = fingerprint(path)
    except UnsupportedSlideError:
        return False
    same = [record for record in unfound.values() if record.fingerprint == content]
    if not same or os.path.realpath(path) in used:
        return False
    first = min(same, key=lambda record: record.file_name.casefold() != path.name.casefold())
    used.add(os.path.realpath(path))
    for record in same:
        if record.path == first.path:  # each page of a file is a slide
            found[record.id] = path
            del unfound[record.id]
    return True


def _relinked_record(project: Project, slide_id: str, path: Path) -> SlideRecord:
    """Return a slide's record with a new path, after checking that the file's content is the same."""
    record, path = project.slide(slide_id), path.resolve()
    content = fingerprint(path)
    if content != record.fingerprint:
        other = next((r.id for r in project.slides.values() if r.fingerprint == content), None)
        what = f"the slide {other}" if other else "a different file"
        raise ProjectError(
            f"{path} is {what}, not {slide_id}. Choose the original file of {slide_id}, or add this one as a new slide."
        )
    relative = relative_path(path, project.folder.parent)
    return replace(record, path=str(path), relative_path=relative)
