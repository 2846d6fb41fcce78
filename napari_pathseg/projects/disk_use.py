"""How much disk each part of a project takes, and what deleting files frees; a file with several names counts once."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.project import Project

# In this order: the masks share files with their versions, which take only what has changed since.
PARTS = ("masks", "versions", "contours", "tissue", "models", "predictions", "runs", "features")
OTHER = "other"
_UNITS = ("B", "kB", "MB", "GB", "TB")


def disk_use(project: Project) -> dict[str, int]:
    """Return the bytes of each part of a project that takes any; `OTHER` is what lies beside the parts."""
    seen: set[tuple[int, int]] = set()
    found: dict[str, int] = {}
    for part in (*PARTS, OTHER):
        paths = [project.folder / part]
        if part == OTHER:
            paths = [path for path in project.folder.iterdir() if path.name not in PARTS]
        size = 0
        for status in _files(paths):
            inode = status.st_dev, status.st_ino
            if status.st_nlink > 1 and status.st_ino:
                if inode in seen:
                    continue
                seen.add(inode)
            size += status.st_size
        if size:
            found[part] = size
    return found


def freed_by_deleting(paths: Iterable[Path]) -> int:
    """Return the bytes that deleting files and folders frees: those of files that have no other name."""
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    names: Counter[tuple[int, int]] = Counter()
    freed = 0
    for status in _files(paths):
        inode = status.st_dev, status.st_ino
        if status.st_nlink > 1 and status.st_ino:
            names[inode] += 1
            sizes[inode] = status.st_size, status.st_nlink
        else:
            freed += status.st_size
    return freed + sum(size for inode, (size, links) in sizes.items() if names[inode] >= links)


def _files(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    """Yield what the system says of each file in or below `paths`; links are not followed."""
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                with os.scandir(path) as entries:
                    yield from _files([Path(entry.path) for entry in entries])
            else:
                yield path.lstat()
        except FileNotFoundError:  # deleted meanwhile
            continue
        except OSError as error:
            raise ProjectError(f"{path} could not be read ({error.strerror}). Allow reading in the project.") from error


def format_bytes(size: float) -> str:
    """Return a number of bytes in a unit that suits it.

    >>> format_bytes(512), format_bytes(41_300_000)
    ('512 B', '41.3 MB')
    """
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
