"""Checks of the disk: free space, writing, locks, and the folders for temporary files."""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from napari_pathseg.doctor.finding import Finding
from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.cache_folder import cache_folder
from napari_pathseg.storage.lock import ProjectLock, read_lock_file
from napari_pathseg.storage.names import is_project

_LEAST, _ENOUGH = 5e8, 5e9  # bytes: of a prediction of one large slide; of a project of some dozens
_FILE = 16 << 20  # bytes of the file that is written
_PREFIX = ".pathseg-doctor-"
_STEP_S = 2.1  # FAT counts time in steps of 2 seconds


def check_disk(folder: Path) -> Finding:
    """Measure the free space of the folder and of temporary files, and write a file of some size."""
    free, free_temporary = (shutil.disk_usage(place).free for place in (folder, tempfile.gettempdir()))
    what = f"{free / 1e9:.1f} GB are free in the folder, {free_temporary / 1e9:.1f} GB for temporary files."
    if free < _LEAST:
        return Finding.fault(f"The disk is full: {what}", "Delete files, or move the project to a larger disk.")
    if free_temporary < _LEAST:
        return Finding.fault(f"{what} That is too little.", "Set the variable TMPDIR to a folder on a larger disk.")
    if free < _ENOUGH or free_temporary < _ENOUGH:
        return Finding.warning(f"{what} Masks, models and predictions may fill it.", "Delete files that you can spare.")
    return Finding.ok(what)


def check_folder(folder: Path) -> Finding:
    """Write, replace and delete a file in the folder, and look for files of the project that are read-only."""
    try:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as inside:
            _write_and_replace(Path(inside))
    except OSError as error:
        remedy = "Allow writing to the folder, or copy the project to one that you may write to."
        if os.access(folder, os.W_OK):
            remedy = "Free space on the disk, or raise the limit on your files there (quota, ulimit -f)."
        return Finding.fault(f"Nothing of some size can be written to the folder: {error.strerror}.", remedy)
    locked = [name for name in ("project.json", "masks", "models") if not _writable(folder / name)]
    if is_project(folder) and locked:
        return Finding.fault(f"Read-only in the project: {', '.join(locked)}.", "Allow writing to the whole project.")
    return Finding.ok("Files can be written, replaced and deleted in the folder.")


def _write_and_replace(folder: Path) -> None:
    """Write a file as the project's are written: beside its final name, then moved over the one before."""
    for name in ("old", "new"):
        with (folder / name).open("wb") as file:
            file.write(b"\1" * _FILE)
            file.flush()
            os.fsync(file.fileno())
    os.replace(folder / "new", folder / "old")


def _writable(path: Path) -> bool:
    return not path.exists() or os.access(path, os.W_OK)


def check_locks(folder: Path) -> Finding:
    """Lock a folder on this disk, try to lock it twice, and see whether the lock's time moves."""
    if is_project(folder):
        try:
            if ProjectLock(folder).other_owner():
                return Finding.warning(
                    "Another program has the project open; this one can only read it.",
                    "Close it there, or wait half a minute if it has crashed on another computer.",
                )
        except (ProjectError, OSError) as error:
            return Finding.fault(f"The lock of the project cannot be read: {error}", "Delete the file of the lock.")
    try:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as inside:
            wrong = _lock_twice(Path(inside))
    except (ProjectError, OSError) as error:
        return Finding.fault(f"The folder cannot be locked: {error}", "Keep the project on another disk.")
    if wrong:
        return Finding.fault(
            f"Locks do not work on this disk: {wrong}. Two programs could write to a project at once.",
            "Keep the project on a local disk, or on a share of another kind.",
        )
    return Finding.ok("Locks keep two programs from writing to a project at once.")


def _lock_twice(folder: Path) -> str:
    """Return what is wrong with locks in a folder, empty if they work."""
    lock = ProjectLock(folder)
    lock.acquire("doctor")
    try:
        with contextlib.suppress(ProjectError):
            second = ProjectLock(folder)
            second.acquire("doctor")
            second.release()
            return "a second one was granted"
        (path,) = folder.glob(".lock-*")
        before = read_lock_file(path)[1]
        time.sleep(_STEP_S)
        os.utime(path)
        if read_lock_file(path)[1] <= before:
            return "the time of a file that is touched does not move"
    finally:
        lock.release()
    return ""


def check_temporary(_: Path) -> Finding:
    """Write into the folders for temporary files and for what can be made again."""
    places = {"temporary files": Path(tempfile.gettempdir()), "the cache": cache_folder()}
    for what, place in places.items():
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(prefix=_PREFIX, dir=place) as file:
                file.write(b"\1")
        except OSError as error:
            remedy = "Allow writing to it, or choose another: TMPDIR for temporary files, XDG_CACHE_HOME for the cache."
            return Finding.fault(f"The folder for {what} cannot be written: {error.strerror}.", remedy)
    return Finding.ok("The folders for temporary files and for the cache can be written.")
