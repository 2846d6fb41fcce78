"""Links in folders of strangers: nothing is written, or deleted, where one leads out of its folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from napari_pathseg.errors import ProjectError


def check_links(folder: Path, levels: int) -> list[str]:
    """Return the paths of all files and folders down to `levels` below a folder; links are not followed.

    Raises
    ------
    ProjectError
        If one of them is a link that leads out of the folder.
    """
    root, found = os.path.realpath(folder), []
    for entry in _entries(str(folder), levels):
        found.append(entry.path)
        if _is_link(entry) and not _is_inside(target := os.path.realpath(entry.path), root):
            raise ProjectError(
                f"{entry.path} is a link that leads to {target}, out of {folder}, and nothing is written through it. "
                "Put what it leads to in its place, or remove the link."
            )
    return found


def _entries(folder: str, levels: int) -> "Iterator[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:  # it is gone, or may not be read: reported where it is used
        return
    for entry in found:
        yield entry
        if levels > 1 and not _is_link(entry) and entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, levels - 1)


def _is_link(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a symbolic link or, as far as Python can tell, a junction of Windows."""
    is_junction = getattr(entry, "is_junction", None)  # since Python 3.12
    return entry.is_symlink() or (is_junction is not None and is_junction())


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
