"""Versions of a mask: how it was before each import, accept-all and training, to go back to.

``versions/<slide>/<number>/`` holds ``mask.zarr``, the files of the mask as hard links (see `data.linked`), and
``version.json``: why and when it was kept, the pixels by class, and a stamp of the files.  It appears whole or not
at all.  A chunk without a file is unlabelled, so a version that lost a file would pass for an emptier mask: its
stamp tells, and it is refused.
"""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Counts
from napari_pathseg.masks.counts import counts_from, counts_to
from napari_pathseg.masks.zarr_store import MaskStore, chunk_region
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import load_json, save_json
from napari_pathseg.storage.hardlinks import differing_files, hardlink_tree, tree_checksum

IMPORT, ACCEPT_ALL, TRAINING, BY_HAND, BEFORE_RESTORE = "import", "accept all", "training", "by hand", "before restore"
KEPT = 10  # the newest of a slide; at least 5 are promised
_DAYS = timedelta(days=14)  # in which one a day is kept beyond those
_FORMAT = 1
_FINEST = ("labels/0", "provenance/0")
_DAMAGES = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)


@dataclass(frozen=True)
class Version:
    """How the mask of a slide was once.

    Attributes
    ----------
    slide, number
        Whose version it is, and which one, from 1.
    folder
        Where it lies.
    mask_path
        The mask that it is a version of.
    when
        When it was kept; of a damaged one when its folder was written last.
    why
        What was about to be done: one of the five words above.
    counts
        Pixels by class and provenance; None where that cannot be read.
    checksum
        The files that it had when it was kept.
    problem
        What is wrong with it, where, and what to do; empty where all is well.
    """

    slide: str
    number: int
    folder: Path
    mask_path: Path
    when: datetime
    why: str = ""
    counts: Counts | None = field(default=None, compare=False)
    checksum: str = ""
    problem: str = ""

    @property
    def kept(self) -> Path:
        """The mask as it was."""
        return self.folder / "mask.zarr"


def create_versions(project: Project, why: str) -> None:
    """Keep a version of each mask that changed since its newest one."""
    with project.write_lock():
        for slide_id in project.slides:
            create_version(project, slide_id, why)


def versions(project: Project, slide_id: str) -> list[Version]:
    """Return the versions of a slide's mask, newest first; damaged ones tell their `problem`.

    Raises
    ------
    ProjectError
        If the folder of the versions cannot be read.
    """
    folder = _folder_of(project, slide_id)
    try:
        found = [path for path in folder.iterdir() if path.name.isdecimal()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ProjectError(
            f"{folder} could not be read ({error.strerror}). Allow reading in the project folder."
        ) from error
    found.sort(key=lambda path: int(path.name), reverse=True)
    return [_load(path, project.mask_path(slide_id)) for path in found]


def create_version(project: Project, slide_id: str, why: str, protect: Version | None = None) -> Version | None:
    """Keep how a slide's mask is on disk now; return None where it has none, or nothing changed since the newest.

    Strokes that wait in the journal are no part of it: call :meth:`Mask.flush` of an open mask first.  Old versions
    are deleted but for the newest 10, one for each of the last 14 days, and the one that is `protect`.

    Raises
    ------
    ProjectError
        If another program holds the project, the mask cannot be read, or the disk takes no version: then there is
        none, and nothing is half-written.
    """
    if not project.mask_path(slide_id).exists():
        return None
    with project.write_lock():
        known = versions(project, slide_id)
        newest = next((version for version in known if not version.problem), None)
        if newest is not None and not _changed(newest, first=True):
            return None
        made = _make(project, slide_id, known[0].number + 1 if known else 1, why)
        for version in expired_versions([made, *known], datetime.now().astimezone()):
            if protect is None or version.number != protect.number:
                _delete(version)
    return made


def changed_regions(version: Version) -> list[Region]:
    """Return the boxes, one a chunk, in which the mask on disk is not as it was; they may reach over its edge.

    Raises
    ------
    ProjectError
        If the version or the mask cannot be read.
    """
    keys = {tuple(name.rsplit("/", 2)[1:]) for name in _changed(version)}
    return sorted(chunk_region((int(row), int(column))) for row, column in keys)


def check_version(version: Version) -> None:
    """Look whether a version has all its files.

    Raises
    ------
    ProjectError
        If one is missing or of another size than it was, or the version is damaged otherwise.
    """
    if version.problem:
        raise ProjectError(version.problem)
    found = tree_checksum(version.kept)
    if found != version.checksum:
        raise ProjectError(_damaged(version.folder, f"its mask had {version.checksum}, and has {found}"))


def overview(mask: Path) -> npt.NDArray[np.uint8]:
    """Return the classes of a mask, or of a version's, as a small picture: its coarsest level.

    Raises
    ------
    ProjectError
        If it cannot be read.
    """
    store = MaskStore(mask)
    labels, _ = store.read(Region(0, 0, *store.shapes[-1]), len(store.shapes) - 1)
    return labels


def expired_versions(known: Sequence[Version], now: datetime) -> list[Version]:
    """Return which versions, newest first, need not be kept; damaged ones count for none, and go with the oldest.

    Days are those of the time zone of `now`.
    """
    readable = [version for version in known if not version.problem]
    kept = readable[:KEPT]
    days = {version.when.astimezone(now.tzinfo).date() for version in kept}
    for version in readable[KEPT:]:
        day = version.when.astimezone(now.tzinfo).date()
        if day not in days and now - version.when <= _DAYS:
            kept.append(version)
            days.add(day)
    if len(kept) < KEPT:
        return []
    numbers = {version.number for version in kept}
    oldest = min(numbers)
    return [v for v in known if v.number not in numbers and (not v.problem or v.number < oldest)]


def _folder_of(project: Project, slide_id: str) -> Path:
    return project.folder / "versions" / slide_id


def _make(project: Project, slide_id: str, number: int, why: str) -> Version:
    """Link the mask's files under a name that no list shows, and rename that when all is there."""
    folder, mask = _folder_of(project, slide_id) / str(number), project.mask_path(slide_id)
    partial = folder.with_name(f".{number}.partial")
    counts = project.counts(slide_id)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        hardlink_tree(mask, partial / "mask.zarr")
        content = {
            "format": _FORMAT,
            "why": why,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "counts": counts_to(counts),
            "stamp": tree_checksum(partial / "mask.zarr"),
        }
        save_json(partial / "version.json", content)
        partial.rename(folder)
    except OSError as error:
        raise ProjectError(
            f"{folder} could not be written ({error.strerror or error}); no version of the mask was kept. Free the "
            "disk or allow writing to the project folder."
        ) from error
    except ProjectError as error:
        raise ProjectError(f"No version of the mask of {slide_id} was kept: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _load(folder, mask)


def _load(folder: Path, mask: Path) -> Version:
    """Return the version in `folder`, with its problem where there is one."""
    slide, number = folder.parent.name, int(folder.name)
    try:
        content = load_json(folder / "version.json")
        if content["format"] != _FORMAT:
            found = content["format"]
            raise ProjectError(
                f"{folder} has format {found!r}; this program reads format {_FORMAT}. Update napari-pathseg."
            )
        if not (folder / "mask.zarr" / "zarr.json").is_file():
            raise ProjectError(_damaged(folder, "its mask is missing"))
        when = datetime.fromisoformat(content["when"]).astimezone(UTC)
        counts, why, files = counts_from(content["counts"]), str(content["why"]), str(content["stamp"])
    except _DAMAGES as error:
        written = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        what = f"its version.json is damaged ({type(error).__name__}: {error})"
        text = str(error) if isinstance(error, ProjectError) else _damaged(folder, what)
        return Version(slide, number, folder, mask, written, problem=text)
    return Version(slide, number, folder, mask, when, why, counts, files)


def _damaged(folder: Path, what: str) -> str:
    return f"{folder} cannot be read: {what.rstrip('.')}. Choose another version, or restore the folder from a copy."


def _delete(version: Version) -> None:
    """Delete a version; who is killed meanwhile leaves what the next repair sweeps."""
    partial = version.folder.with_name(f".{version.folder.name}.partial")
    with contextlib.suppress(OSError):  # it stays in the list, and its turn comes again
        version.folder.rename(partial)
        shutil.rmtree(partial, ignore_errors=True)


def _changed(version: Version, *, first: bool = False) -> list[str]:
    """Return the finest chunk files that the version and the mask on disk do not share; maybe only the first."""
    names = []
    try:
        for level in _FINEST:
            for name in differing_files(version.kept / level, version.mask_path / level):
                names.append(f"{level}/{name}")
                if first:
                    return names
    except OSError as error:
        raise ProjectError(_damaged(version.mask_path, error.strerror or str(error))) from error
    return [name for name in names if not name.endswith(".json")]
