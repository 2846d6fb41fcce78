"""Where files lie that can be made again at any time."""

import os
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from napari_pathseg.storage.portable import remove_tree

_PARTIAL = ".partial"
_ABANDONED_S = 3600.0  # since a partial folder was made; no program takes so long


def cache_folder() -> Path:
    """Return the user's cache folder for this program; it need not exist."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "napari-pathseg"


def sweep(folder: Path, keep: int) -> None:
    """Remove all but the `keep` newest entries of a folder, and what killed programs left half written.

    An entry is as new as its last modification; :func:`touch` renews it.  What cannot be removed stays.
    """
    try:
        entries = sorted(folder.iterdir(), key=_age)
    except OSError:
        return
    whole = [entry for entry in entries if not entry.name.endswith(_PARTIAL)]
    abandoned = [entry for entry in entries if entry.name.endswith(_PARTIAL) and _age(entry) > _ABANDONED_S]
    _remove([*whole[keep:], *abandoned])


def touch(entry: Path) -> None:
    """Make an entry the newest, if that is allowed."""
    try:
        os.utime(entry)
    except OSError:
        return


def _age(entry: Path) -> float:
    try:
        return time.time() - entry.lstat().st_mtime
    except OSError:  # removed meanwhile
        return float("inf")


def _remove(entries: Iterable[Path]) -> None:
    for entry in entries:
        try:
            if entry.is_dir() and not entry.is_symlink():
                remove_tree(entry)
            else:
                entry.unlink()
        except OSError:  # in use, or of another user
            shutil.rmtree(entry, ignore_errors=True)
