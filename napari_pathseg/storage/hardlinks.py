"""Snapshots of a folder by hard links: immediate, and without using space.

That is safe where files are never modified in place but replaced by new ones, as the chunks of a
mask are (`masks.zarr_store`) and all files that zarr writes (``_put`` in ``zarr/storage/_local.py``, zarr-python
3.1.6).  Where the disk has no hard links (FAT, some network disks), files are copied.  Temporary
files, ``*.partial``, are ignored.
"""

import errno
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from napari_pathseg.storage.portable import link_or_copy

FileStats = dict[str, os.stat_result]  # by the path inside a folder, with slashes


def hardlink_tree(source: Path, target: Path) -> None:
    """Create the folder `target` with the files of `source`; an OSError leaves it incomplete."""
    names = list(list_files(source))
    target.mkdir(parents=True)
    for folder in {name.rpartition("/")[0] for name in names}:
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        link_or_copy(f"{source}/{name}", f"{target}/{name}")


def list_files(folder: Path) -> FileStats:
    """Return all files below a folder; none if the folder does not exist; raise OSError for a link or a pipe."""
    return dict(_walk(str(folder), "")) if folder.exists() else {}


def tree_checksum(folder: Path) -> str:
    """Return a short string that changes when a file of a folder is lost, added or changes its size."""
    files = list_files(folder)
    listing = "\n".join(sorted(f"{name} {status.st_size}" for name, status in files.items()))
    total = sum(status.st_size for status in files.values())
    return f"{len(files)} files of {total} bytes ({zlib.crc32(listing.encode()):08x})"


def differing_files(first: Path, second: Path) -> Iterator[str]:
    """Yield the files that are in only one of two folders, or differ in content."""
    here, there = list_files(first), list_files(second)
    for name in {**here, **there}:
        in_both = name in here and name in there
        if not in_both or not (_same_file(here[name], there[name]) or _same_content(first / name, second / name)):
            yield name


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif not entry.name.endswith(".partial"):
                if not entry.is_file(follow_symlinks=False):
                    raise OSError(errno.EINVAL, f"{entry.name} is a link, a pipe or a device", entry.path)
                yield prefix + entry.name, os.stat(entry.path)  # DirEntry.stat lacks the inode on Windows


def _same_file(first: os.stat_result, second: os.stat_result) -> bool:
    return first.st_ino != 0 and (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _same_content(first: Path, second: Path) -> bool:
    return first.stat().st_size == second.stat().st_size and first.read_bytes() == second.read_bytes()
