"""A folder kept as it is by hard links: at once, and without taking space.

That holds where files are never written into, but beside and moved over, as chunks of a mask are (`data.mask.chunks`)
and all that zarr writes (``_put`` in ``zarr/storage/_local.py``, zarr-python 3.1.6).  Where the disk knows no links,
as FAT and some network disks do not, files are copied.  What is half-written, ``*.partial``, is no file of a folder.
"""

import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

Files = dict[str, os.stat_result]  # by the path inside a folder, with slashes


def link_tree(source: Path, target: Path) -> None:
    """Make `target` a folder with the files of `source`; an OSError leaves a part of it."""
    names = list(files_below(source))
    target.mkdir(parents=True)
    for folder in {name.rpartition("/")[0] for name in names}:
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        try:
            os.link(f"{source}/{name}", f"{target}/{name}")
        except OSError:  # no links at all, none to another disk, or none more to this file
            shutil.copy2(f"{source}/{name}", f"{target}/{name}")


def files_below(folder: Path) -> Files:
    """Return all files below a folder; none where it is missing."""
    return dict(_walk(str(folder), "")) if folder.exists() else {}


def stamp(folder: Path) -> str:
    """Return in short which files a folder has, and how large: a lost or a cut one makes another stamp."""
    files = files_below(folder)
    listing = "\n".join(sorted(f"{name} {status.st_size}" for name, status in files.items()))
    total = sum(status.st_size for status in files.values())
    return f"{len(files)} files of {total} bytes ({zlib.crc32(listing.encode()):08x})"


def differing(first: Path, second: Path) -> Iterator[str]:
    """Yield the files that two folders do not share, nor have alike."""
    here, there = files_below(first), files_below(second)
    for name in {**here, **there}:
        shared = name in here and name in there
        if not shared or not (_same_file(here[name], there[name]) or _alike(first / name, second / name)):
            yield name


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif not entry.name.endswith(".partial"):
                yield prefix + entry.name, os.stat(entry.path)  # an entry's own knows no inode on Windows


def _same_file(first: os.stat_result, second: os.stat_result) -> bool:
    return first.st_ino != 0 and (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _alike(first: Path, second: Path) -> bool:
    return first.stat().st_size == second.stat().st_size and first.read_bytes() == second.read_bytes()
