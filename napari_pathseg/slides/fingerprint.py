"""Check that a slide's file or folder can be read, and compute its fingerprint.

A slide is one file, or a folder of OME-Zarr.  Nothing of its pixels is decoded here.
"""

import hashlib
from pathlib import Path

from napari_pathseg.errors import UnsupportedSlideError

_END = 64 << 10
# The metadata files of Zarr 2 and 3.
ZARR_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray")


def require_file(path: Path) -> None:
    """Raise UnsupportedSlideError unless `path` is a file that can be read and is not empty."""
    if not path.exists():
        raise UnsupportedSlideError(f"{path} does not exist; was the file moved or renamed?")
    if path.is_dir():
        raise UnsupportedSlideError(f"{path} is a folder, not a slide; choose a file inside it.")
    if not path.is_file():
        raise UnsupportedSlideError(f"{path} is a pipe or a device, not a file; copy the slide into a file.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UnsupportedSlideError(f"{path} could not be read ({error.strerror}); check its permissions.") from error
    if empty:
        raise UnsupportedSlideError(f"{path} is empty (0 bytes); copy it again from its source.")


def is_zarr(path: Path) -> bool:
    """Return whether `path` is a folder with Zarr metadata."""
    return path.is_dir() and any((path / name).is_file() for name in ZARR_METADATA)


def fingerprint(path: str | Path) -> str:
    """Return a hash that identifies a slide, also after a move, without reading it whole.

    For a file it covers size, beginning and end; for a Zarr folder the metadata, and the names, sizes
    and beginnings of the chunks of its smallest level.

    Raises
    ------
    UnsupportedSlideError
        If the slide is missing or unreadable.
    """
    path = Path(path)
    if not is_zarr(path):
        require_file(path)
    try:
        digest = _digest_of_folder(path) if path.is_dir() else _digest_of_file(path)
    except OSError as error:
        raise UnsupportedSlideError(f"{path} could not be read ({error.strerror}); check its permissions.") from error
    return digest[:32]


def _digest_of_file(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_END))
        file.seek(max(0, size - _END))
        digest.update(file.read(_END))
    return digest.hexdigest()


def _digest_of_folder(path: Path) -> str:
    digest = hashlib.sha256()
    levels, smallest = _levels(path), path
    while inside := _levels(smallest):
        smallest = inside[-1]
    for folder in (path, *levels, smallest):
        for name in ZARR_METADATA:
            if (folder / name).is_file():
                with (folder / name).open("rb") as file:
                    digest.update(f"{folder.relative_to(path).as_posix()}/{name}".encode() + file.read(_END))
    left = _END
    for chunk in sorted(file for file in smallest.rglob("*") if file.is_file()):
        digest.update(f"{chunk.relative_to(path).as_posix()} {chunk.stat().st_size}".encode())
        if left > 0:
            with chunk.open("rb") as file:
                beginning = file.read(left)
            digest.update(beginning)
            left -= len(beginning)
    return digest.hexdigest()


def _levels(folder: Path) -> list[Path]:
    """Return the Zarr folders inside one, finest first by their names, without masks and notes beside them."""
    inside = (child for child in folder.iterdir() if child.name not in ("labels", "OME") and is_zarr(child))
    return sorted(inside, key=lambda child: (len(child.name), child.name))
