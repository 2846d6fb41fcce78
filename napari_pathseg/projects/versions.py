"""Versions of a mask: snapshots created before each import, accept-all and training, which can be restored.

``versions/<slide>/<number>/`` holds ``mask.zarr``, the files of the mask as hard links (see `storage.hardlinks`), and
``version.json``: why and when it was created, the pixel counts by class, and a checksum of the file names and sizes.
A version is written whole or not at all.  A chunk without a file is unlabelled, so a version that lost a file would
look like a mask with fewer labels; the checksum detects that, and such a version is refused.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.masks import Counts
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep
from napari_pathseg.masks.provenance import StoredCounts, counts_from, counts_to
from napari_pathseg.masks.zarr_store import MaskStore, chunk_region
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import atomic_folder, load_json, save_json
from napari_pathseg.storage.hardlinks import differing_files, hardlink_tree, tree_checksum
from napari_pathseg.storage.json_schema import SchemaError, conform
from napari_pathseg.storage.portable import remove_tree, replace

IMPORT, ACCEPT_ALL, TRAINING, BY_HAND, BEFORE_RESTORE = "import", "accept all", "training", "by hand", "before restore"
ROUND = "round of training"  # before a training that goes on by itself
_MAX_ROUNDS = 4  # newest of these that are kept: that of the model in use, and three without gain, which end it
MAX_RECENT = 10  # newest versions of a slide that are kept; the documentation promises 5
_DAILY_PERIOD = timedelta(days=14)  # one more version a day is kept for this long
_FORMAT = 1
_FINEST = ("labels/0", "provenance/0")


class _StoredVersion(TypedDict):
    when: str
    why: str
    counts: StoredCounts
    stamp: str


@dataclass(frozen=True)
class Version:
    """A snapshot of a slide's mask.

    Attributes
    ----------
    slide, number
        The slide, and the number of the version, from 1.
    folder
        The folder of the version.
    mask_path
        The mask that was saved.
    when
        When it was created; for a damaged version, when its folder was last written.
    why
        The action that followed: one of the six strings above.
    counts
        Pixel counts by class and provenance; None if they cannot be read.
    checksum
        Checksum of the files when the version was created.
    problem
        What is wrong, where, and what to do; empty for an intact version.
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
    def snapshot(self) -> Path:
        """The folder of the saved mask."""
        return self.folder / "mask.zarr"


def create_versions(project: Project, why: str) -> None:
    """Create a version of each mask that changed since its newest version."""
    with project.write_lock():
        for slide_id in project.slides:
            create_version(project, slide_id, why)


def versions(project: Project, slide_id: str) -> list[Version]:
    """Return the versions of a slide's mask, newest first; a damaged one has a `problem`.

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
    """Create a version of a slide's mask as it is on disk; return None if there is no mask or it has not changed.

    Strokes that are only in the journal are not included: call :meth:`Mask.flush` on an open mask first.  A version by
    hand is also created if the mask has not changed, unless the newest one is by hand too.  Old versions are deleted,
    except the newest 10, one for each of the last 14 days, those by hand, and `protect`.

    Raises
    ------
    ProjectError
        If another program holds the project, the mask cannot be read, or the version cannot be written; no version is
        created then.
    """
    if not project.mask_path(slide_id).exists():
        return None
    with project.write_lock():
        known = versions(project, slide_id)
        newest = next((version for version in known if not version.problem), None)
        newest_stays = newest is not None and (why != BY_HAND or newest.why == BY_HAND)
        if newest is not None and newest_stays and not _changed(newest, first=True):
            return None
        version = _create(project, slide_id, known[0].number + 1 if known else 1, why)
        for old in expired_versions([version, *known], datetime.now().astimezone()):
            if protect is None or old.number != protect.number:
                _delete(old)
    return version


def changed_regions(version: Version) -> list[Region]:
    """Return the chunks in which the mask on disk differs from a version, as regions that may exceed the mask.

    Raises
    ------
    ProjectError
        If the version or the mask cannot be read.
    """
    keys = {tuple(name.rsplit("/", 2)[1:]) for name in _changed(version)}
    return sorted(chunk_region((int(row), int(column))) for row, column in keys)


def check_version(version: Version) -> None:
    """Raise if a version is damaged or incomplete.

    Raises
    ------
    ProjectError
        If a file is missing or has another size, or the version cannot be read.
    """
    if version.problem:
        raise ProjectError(version.problem)
    try:
        checksum = tree_checksum(version.snapshot)
    except OSError as error:
        raise ProjectError(_damaged(version.folder, error.strerror or str(error))) from error
    if checksum != version.checksum:
        raise ProjectError(_damaged(version.folder, f"its mask had {version.checksum}, and has {checksum}"))


def overview(mask: Path) -> npt.NDArray[np.uint8]:
    """Return the coarsest level of a mask's labels.

    Raises
    ------
    ProjectError
        If it cannot be read.
    """
    store = MaskStore(mask)
    labels, _ = store.read(Region(0, 0, *store.shapes[-1]), len(store.shapes) - 1)
    return labels


def expired_versions(known: Sequence[Version], now: datetime) -> list[Version]:
    """Return the versions to delete, from `known`, which is sorted newest first.

    Versions that a person created by hand are never deleted.  Damaged versions do not count towards the kept ones, and
    are deleted once they are older than all of those.  Of the rounds of a training that goes on by itself only the
    newest are kept, and they push out no others.  Days are those of the time zone of `now`.
    """
    rounds = [version for version in known if version.why == ROUND][_MAX_ROUNDS:]
    known = [version for version in known if version.why != ROUND]
    return [*rounds, *_expired(known, now)]


def superseded_versions(known: Sequence[Version]) -> list[Version]:
    """Return the versions that can be done without, from `known`, which is sorted newest first.

    The newest, the newest before a training, with which new labels are found, and those by hand stay.
    """
    readable = [version for version in known if not version.problem]
    kept = {version.number for version in readable[:1]}
    kept |= {version.number for version in readable if version.why == BY_HAND}
    kept |= {version.number for version in [v for v in readable if v.why in (TRAINING, ROUND)][:1]}
    return [version for version in known if version.number not in kept]


def _expired(known: Sequence[Version], now: datetime) -> list[Version]:
    """Return the versions to delete but for rounds."""
    readable = [version for version in known if not version.problem]
    kept = readable[:MAX_RECENT]
    days = {version.when.astimezone(now.tzinfo).date() for version in kept}
    for version in readable[MAX_RECENT:]:
        day = version.when.astimezone(now.tzinfo).date()
        if day not in days and now - version.when <= _DAILY_PERIOD:
            kept.append(version)
            days.add(day)
    if len(kept) < MAX_RECENT:
        return []
    oldest = min(version.number for version in kept)
    numbers = {version.number for version in (*kept, *(v for v in readable if v.why == BY_HAND))}
    return [v for v in known if v.number not in numbers and (not v.problem or v.number < oldest)]


def _folder_of(project: Project, slide_id: str) -> Path:
    return project.folder / "versions" / slide_id


def _create(project: Project, slide_id: str, number: int, why: str) -> Version:
    """Link the mask's files into a hidden folder and rename it when it is complete."""
    folder, mask = _folder_of(project, slide_id) / str(number), project.mask_path(slide_id)
    counts = project.counts(slide_id)
    try:
        with atomic_folder(folder) as partial:
            hardlink_tree(mask, partial / "mask.zarr")
            content = {
                "format": _FORMAT,
                "why": why,
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "counts": counts_to(counts),
                "stamp": tree_checksum(partial / "mask.zarr"),
            }
            save_json(partial / "version.json", content)
    except OSError as error:
        raise ProjectError(
            f"{folder} could not be written ({error.strerror or error}); no version of the mask was created. Free "
            "disk space, or allow writing to the project folder."
        ) from error
    except ProjectError as error:
        raise ProjectError(f"No version of the mask of {slide_id} was created: {error}") from error
    return _load(folder, mask)


def _load(folder: Path, mask: Path) -> Version:
    """Return the version in `folder`, with its problem if it has one."""
    slide, number = folder.parent.name, int(folder.name)
    try:
        when, why, counts, checksum = _parse(folder, load_json(folder / "version.json"))
    except ProjectError as error:
        modified = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        return Version(slide, number, folder, mask, modified, problem=str(error))
    return Version(slide, number, folder, mask, when, why, counts, checksum)


def _parse(folder: Path, content: Any) -> tuple[datetime, str, Counts, str]:
    """Return the fields of ``version.json``: when, why, counts and checksum."""
    if not isinstance(content, dict) or "format" not in content:
        raise ProjectError(_damaged(folder, "its version.json is damaged (the format is missing)"))
    if content["format"] != _FORMAT:
        raise ProjectError(
            f"{folder} has format {content['format']!r}; this program reads format {_FORMAT}. Update napari-pathseg."
        )
    if not (folder / "mask.zarr" / "zarr.json").is_file():
        raise ProjectError(_damaged(folder, "its mask is missing"))
    try:
        stored = conform(content, _StoredVersion)
        created = datetime.fromisoformat(stored["when"]).astimezone(UTC)
    except (SchemaError, ValueError, OverflowError) as error:
        raise ProjectError(_damaged(folder, f"its version.json is damaged ({error})")) from error
    return created, stored["why"], counts_from(stored["counts"]), stored["stamp"]


def _damaged(folder: Path, what: str) -> str:
    return f"{folder} cannot be read: {what.rstrip('.')}. Choose another version, or restore the folder from a copy."


def _delete(version: Version) -> None:
    """Delete a version; what a kill or an error leaves behind is deleted by the next recovery."""
    partial = version.folder.with_name(f".{version.folder.name}.partial")
    with contextlib.suppress(OSError):  # one that could not be renamed stays listed, and the next call tries again
        replace(version.folder, partial)
        remove_tree(partial)


def _changed(version: Version, *, first: bool = False) -> list[str]:
    """Return the level-0 files that differ between a version and the mask on disk, or only the first."""
    names = []
    try:
        for level in _FINEST:
            for name in differing_files(version.snapshot / level, version.mask_path / level):
                names.append(f"{level}/{name}")
                if first:
                    return names
    except OSError as error:
        raise ProjectError(_damaged(version.mask_path, error.strerror or str(error))) from error
    return [name for name in names if not name.endswith(".json")]


# -- restoring


def restore(version: Version) -> MaskOperation:
    """Return the operation that restores labels and provenance of the whole mask, as one undoable step.

    Raises
    ------
    ProjectError
        At the start, if the version lacks files or has another size; in the first half, if a file is damaged.  Nothing
        is changed then.  Later, if the disk is full: the regions restored until then are one undo step.
    """

    def begin(mask: Editable) -> Iterator[OperationStep]:
        check_version(version)
        source = MaskStore(version.snapshot)
        if source.shape != mask.shape:
            (rows, columns), (now_rows, now_columns) = source.shape, mask.shape
            raise ProjectError(
                f"{version.folder} is a version of {rows} x {columns} pixels; the mask has {now_rows} x {now_columns}. "
                "Choose a version that was created after the slide was replaced."
            )
        mask.flush()  # the comparison reads files, so the last stroke must be in them
        return _restore_regions(mask, source, [region.clip(mask.shape) for region in changed_regions(version)])

    return MaskOperation("Restoring", begin)


def _restore_regions(mask: Editable, source: MaskStore, regions: Sequence[Region]) -> Iterator[OperationStep]:
    for number, region in enumerate(regions):  # finds a damaged chunk before anything is changed
        source.read(region)
        yield OperationStep(EMPTY_REGION, number / len(regions) / 2)
    for number, region in enumerate(regions, 1):
        yield OperationStep(mask.edit(region, *source.read(region)), 0.5 + number / len(regions) / 2)
