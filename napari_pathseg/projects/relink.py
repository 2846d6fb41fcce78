"""Finding slides whose files were moved or renamed, by name and content, and linking them again.

The content is compared by the fingerprint taken when the slide was added.  The search is a generator, so its caller
can show the progress and stop at any time.
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

_SECONDS = 120.0
_CLOSED = (".pathseg", ".zarr")  # folders of thousands of files, none of which is a slide by itself
_FOLDERS_PER_STEP = 50


@dataclass(frozen=True)
class Search:
    """Progress of a search: current folder, files examined, files found by slide, and the number of missing slides."""

    folder: Path
    files: int
    paths: Mapping[str, Path]
    missing: int


def missing(project: Project) -> list[SlideRecord]:
    """Return the slides whose files are missing."""
    return [record for record in project.slides.values() if not os.path.exists(project.find_file(record))]


def find_moved(project: Project, folder: Path, seconds: float = _SECONDS) -> Generator[Search, None, dict[str, Path]]:
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
    until = time.monotonic() + seconds
    records = missing(project)
    wanted = {record.id: record for record in records}
    names = {Path(record.path).name.casefold() for record in records}
    used = {os.path.realpath(project.find_file(e)) for e in project.slides.values() if e.id not in wanted}
    found: dict[str, Path] = {}
    others: list[Path] = []
    looked = 0
    for number, (here, files) in enumerate(_walk(folder)):
        if not wanted or time.monotonic() > until:
            return found
        for path in files:
            if path.name.casefold() not in names:
                others.append(path)
                continue
            looked += 1
            _take(path, wanted, found, used)
        if number % _FOLDERS_PER_STEP == 0:
            yield Search(here, looked, dict(found), len(records))
    for path in others:
        if not wanted or time.monotonic() > until:
            return found
        looked += 1
        if _take(path, wanted, found, used) or looked % _FOLDERS_PER_STEP == 0:
            yield Search(path.parent, looked, dict(found), len(records))
    return found


def relink(project: Project, files: Mapping[str, Path]) -> None:
    """Set the file of each slide in `files` and save; all of them or none.

    Raises
    ------
    ProjectError
        If a file has other content than its slide; the message names it.
    UnsupportedSlideError
        If a file cannot be opened.
    """
    with project.write_lock():
        changed = {name: _linked(project, name, Path(path)) for name, path in files.items()}
        project.slides.update(changed)
        try:
            for name in changed:
                project.open_slide(name).close()
        except BaseException:
            project.reload()
            raise
        project.save()


def relative_path(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder`, or unchanged if it is on another Windows drive."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:
        return str(path)


def _walk(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield folders, breadth first, with the files in them that may be slides."""
    waiting = [folder]
    while waiting:
        below: list[Path] = []
        for here in waiting:
            try:
                with os.scandir(here) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError:  # unreadable, or deleted meanwhile
                continue
            yield here, [Path(e.path) for e in entries if _may_be_slide(e)]
            below += [Path(e.path) for e in entries if _may_hold_slides(e)]
        waiting = below


def _may_be_slide(entry: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix not in SLIDE_SUFFIXES or entry.name.startswith("."):
        return False
    try:
        return entry.is_file() or (suffix == ".zarr" and entry.is_dir(follow_symlinks=False))
    except OSError:  # a circular link
        return False


def _may_hold_slides(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name.lower().endswith(_CLOSED):
        return False
    return entry.is_dir(follow_symlinks=False)


def _take(path: Path, wanted: dict[str, SlideRecord], found: dict[str, Path], used: set[str]) -> bool:
    """Move the slides that a file contains, if any, from `wanted` to `found`; the slide of that name before copies."""
    try:
        content = fingerprint(path)
    except UnsupportedSlideError:
        return False
    same = [record for record in wanted.values() if record.fingerprint == content]
    if not same or os.path.realpath(path) in used:
        return False
    first = min(same, key=lambda record: Path(record.path).name.casefold() != path.name.casefold())
    used.add(os.path.realpath(path))
    for record in same:
        if record.path == first.path:  # pages of one file are slides of their own
            found[record.id] = path
            del wanted[record.id]
    return True


def _linked(project: Project, slide_id: str, path: Path) -> SlideRecord:
    """Return a slide's record with another file, after checking that the content is the same."""
    record, path = project.slide(slide_id), path.resolve()
    content = fingerprint(path)
    if content != record.fingerprint:
        other = next((e.id for e in project.slides.values() if e.fingerprint == content), None)
        what = f"the slide {other}" if other else "another file than the one that was added"
        raise ProjectError(
            f"{path} is {what}, not {slide_id}. Choose the file that {slide_id} was, or add it as a new slide."
        )
    relative = relative_path(path, project.folder.parent)
    return replace(record, path=str(path), relative_path=relative)
