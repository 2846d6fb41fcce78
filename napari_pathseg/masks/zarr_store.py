"""A mask on disk: the pyramids of its labels and provenance as OME-Zarr 0.5.

zarr creates the arrays and their metadata.  Their chunks are read and written here as files,
which is faster and makes certain which file is replaced at which moment.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self, TypedDict

import numpy as np
import zarr
from imagecodecs import zstd_decode
from numcodecs.zstd import Zstd
from zarr.codecs import ZstdCodec

from napari_pathseg.classes import ClassTable
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import MAX_COARSEST_SIDE, TILE_SIDE, Region, pyramid_shapes
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.provenance import StoredCounts
from napari_pathseg.storage.atomic import atomic_folder, load_json
from napari_pathseg.storage.json_schema import SchemaError, conform
from napari_pathseg.storage.lock import folder_is_gone
from napari_pathseg.storage.portable import fsync_all, remove, replace
from napari_pathseg.storage.regular_files import read_regular
from napari_pathseg.storage.untrusted import DecodeError, parsing
from napari_pathseg.storage.zarr_files import CheckedStore

CHUNK = TILE_SIDE  # pixels on each side
Key = tuple[int, int]  # row and column of a chunk
_ARRAYS = ("labels", "provenance")
_COUNTS = "pathseg_counts"  # among the attributes of the group
PARTIAL = ".partial"  # suffix of a file that is being written
_MAX_CHUNK_FILE_BYTES = 2 * CHUNK**2  # what does not compress is stored as it is
_ZSTD = Zstd(level=1, checksum=True)  # a damaged byte is detected


class _Attributes(TypedDict):
    pathseg_counts: StoredCounts


class _Saved(TypedDict):
    attributes: _Attributes


class MaskStore:
    """The two pyramids of one mask on disk.

    Attributes
    ----------
    path
        Their folder.
    shapes
        Rows and columns of each level, the finest first.
    """

    def __init__(self, path: Path) -> None:
        try:
            with parsing("zarr", "numcodecs", "numpy"):
                group = zarr.open_group(CheckedStore(path), mode="r+")
                shapes = _shapes(group)
        except (DecodeError, OSError) as error:
            what = getattr(error, "strerror", None) or error
            raise ProjectError(
                f"{path} cannot be read as a mask ({what}). Restore the folder from a copy, or move it "
                "away to start a new mask."
            ) from error
        self._set_up(path, group, shapes)

    @classmethod
    def missing(cls, path: Path, shape: tuple[int, int]) -> Self:
        """Return the store of a mask that does not exist yet: nothing is set in it."""
        store = cls.__new__(cls)
        store._set_up(path, None, pyramid_shapes(shape))
        return store

    def _set_up(self, path: Path, group: zarr.Group | None, shapes: list[tuple[int, int]]) -> None:
        self.path, self._group, self.shapes = path, group, shapes
        self._written: set[tuple[int, Key]] = set()  # levels and chunks, since the last sync
        self._sync_failed = False  # the last time
        self._files = [[ChunkFiles(path / kind / str(level)) for kind in _ARRAYS] for level in range(len(self.shapes))]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the mask."""
        return self.shapes[0]

    def read_chunk(self, level: int, key: Key) -> UInt8Array | None:
        """Return labels and provenance of a chunk, ``(2, CHUNK, CHUNK)``; None if nothing is set."""
        if self._group is None:
            return None
        labels, provenance = (files.read(key) for files in self._files[level])
        if labels is None and provenance is None:
            return None
        empty = np.zeros((CHUNK, CHUNK), np.uint8)
        return np.stack([empty if labels is None else labels, empty if provenance is None else provenance])

    def write_chunk(self, level: int, key: Key, block: UInt8Array) -> None:
        """Replace labels and provenance of a chunk; after an OSError each of its files is the old or the new one."""
        self._written.add((level, key))
        for files, pixels in zip(self._files[level], block, strict=True):
            files.write(key, pixels)

    @property
    def unsynced_count(self) -> int:
        """The number of chunks that were written and may not be on disk yet."""
        return len(self._written)

    def sync(self) -> None:
        """Wait until everything written since the last sync is on disk; raise OSError if the disk reports lost data.

        A disk reports a loss only once, so after a failure everything is written again.
        """
        if self._sync_failed:
            for level, key in self._written:
                block = self.read_chunk(level, key)
                if block is not None:
                    self.write_chunk(level, key, block)
        self._sync_failed = True
        chunks = {files.path(key) for level, key in self._written for files in self._files[level]}
        fsync_all([*chunks, *{path.parent for path in chunks}, self.path / "zarr.json"])
        self._sync_failed = False
        self._written.clear()

    def chunks(self, level: int = 0) -> set[Key]:
        """Return the keys of the chunks in which something is set."""
        return {key for files in self._files[level] for key in files.stored()}

    def read(self, region: Region, level: int = 0) -> tuple[UInt8Array, UInt8Array]:
        """Return labels and provenance of a box of a level."""
        pixels = np.zeros((2, region.height, region.width), np.uint8)
        for key in chunks_of(region):
            block = self.read_chunk(level, key)
            if block is not None:
                inside, here = overlap(key, region)
                pixels[:, *here] = block[:, *inside]
        return pixels[0], pixels[1]

    def remove_temp_files(self) -> None:
        """Remove the unfinished files of a killed program."""
        for orphan in self.path.glob(f"*{PARTIAL}"):  # of zarr
            remove(orphan)
        for level in self._files:
            for files in level:
                files.remove_temp_files()

    def load_counts(self) -> StoredCounts | None:
        """Return the pixel counts that were saved last, or None if they are missing or malformed."""
        counts: Any = None if self._group is None else self._group.attrs.get(_COUNTS)
        try:
            return conform(counts, StoredCounts)
        except SchemaError:
            return None

    def save_counts(self, counts: Mapping[str, int]) -> None:
        """Save the pixel counts beside the pyramids."""
        assert self._group is not None
        if not self.path.exists():  # zarr would create it again
            raise folder_is_gone(self.path)
        self._group.attrs[_COUNTS] = dict(counts)


def stored_counts(path: Path) -> StoredCounts:
    """Return the counts that were saved last in the mask at `path`, without opening it.

    Raises
    ------
    ProjectError, SchemaError
        If there are none.
    """
    return conform(load_json(path / "zarr.json"), _Saved)["attributes"]["pathseg_counts"]


class ChunkFiles:
    """The chunk files of one zarr array, which is stored in `folder`.

    A chunk is replaced as a whole, by a file written beside it and moved over it: it is the old one
    or the new one, and a hard link to the old one keeps its content.  A chunk of zeros has no file.
    """

    def __init__(self, folder: Path) -> None:
        self._array, self._folder = folder, folder / "c"

    def read(self, key: Key) -> UInt8Array | None:
        """Return a chunk's pixels, ``(CHUNK, CHUNK)``, or None if all are 0.

        Raises
        ------
        ProjectError
            If its file is damaged or cannot be read, or the mask is gone: an unreadable chunk never counts as empty.
        """
        path = self.path(key)
        try:
            stored = read_regular(path, _MAX_CHUNK_FILE_BYTES)
        except FileNotFoundError:
            if self._array.exists():
                return None
            raise folder_is_gone(self._array) from None
        except OSError as error:
            raise ProjectError(
                f"{path} could not be read ({error.strerror or error}); it is part of a mask. Allow reading, or "
                "restore it from a copy."
            ) from error
        try:
            pixels = np.frombuffer(zstd_decode(stored, out=CHUNK**2), np.uint8)  # no more than that is decoded
            return pixels.reshape(CHUNK, CHUNK)
        except (RuntimeError, ValueError) as error:
            raise ProjectError(
                f"{path} is damaged ({error}); it is part of a mask. Restore it from a copy, or go back to a version."
            ) from error

    def write(self, key: Key, pixels: UInt8Array) -> None:
        """Replace a chunk, ``(CHUNK, CHUNK)``; an OSError leaves the old one.

        The chunk is then with the operating system, not yet on disk; see `fsync_all`.
        """
        path = self.path(key)
        if not pixels.max():  # faster than any()
            remove(path)
            return
        partial = path.with_name(path.name + PARTIAL)
        content = _ZSTD.encode(np.ascontiguousarray(pixels))
        try:
            try:
                partial.write_bytes(content)
            except FileNotFoundError:
                if not self._array.exists():
                    raise folder_is_gone(self._array) from None
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(content)
            replace(partial, path)
        except OSError:
            with contextlib.suppress(OSError):  # the disk may be full of it
                remove(partial)
            raise

    def stored(self) -> Iterator[Key]:
        """Yield the keys of the chunks that have a file."""
        if not self._folder.is_dir():
            return
        for row in os.scandir(self._folder):
            if row.name.isdigit():
                yield from ((int(row.name), int(one.name)) for one in os.scandir(row.path) if one.name.isdigit())

    def remove_temp_files(self) -> None:
        """Remove the unfinished files of a killed program."""
        for orphan in self._folder.glob(f"*/*{PARTIAL}"):
            remove(orphan)

    def path(self, key: Key) -> Path:
        """Return the path of a chunk's file, which may not exist."""
        return self._folder / str(key[0]) / str(key[1])


def chunks_of(region: Region) -> list[Key]:
    """Return the keys of the chunks that a box overlaps, row by row."""
    box = region.coarser(CHUNK)
    return [(row, column) for row in range(box.top, box.bottom) for column in range(box.left, box.right)]


def morton_order(keys: Iterable[Key]) -> list[Key]:
    """Return keys in Morton order, in which chunks that share a coarser chunk are adjacent."""
    return sorted(keys, key=lambda key: _interleave_zeros(key[0]) << 1 | _interleave_zeros(key[1]))


@cache
def _interleave_zeros(number: int) -> int:
    """Return a number with a zero bit inserted before each of its bits."""
    return int(f"{number:b}", 4)


def chunk_region(key: Key) -> Region:
    """Return the box of a chunk, which may extend beyond the mask's edge."""
    return Region(key[0] * CHUNK, key[1] * CHUNK, CHUNK, CHUNK)


def overlap(key: Key, region: Region) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the overlap of a chunk and a box, as an index into each."""
    shared = region.intersect(chunk_region(key))
    return shared.shift(-key[0] * CHUNK, -key[1] * CHUNK).slices, shared.shift(-region.top, -region.left).slices


def _shapes(group: zarr.Group) -> list[tuple[int, int]]:
    """Return the shapes of the levels; raise DecodeError unless labels and provenance are pyramids of the same ones."""
    labels, provenance = (_level_shapes(group[kind], kind) for kind in _ARRAYS)
    if labels != provenance or not labels:
        raise DecodeError("its labels and provenance differ in shape")
    return labels


def _level_shapes(pyramid: Any, kind: str) -> list[tuple[int, int]]:
    if not isinstance(pyramid, zarr.Group):
        raise DecodeError(f"its {kind} are not a group of arrays")
    found = {name: array.shape for name, array in pyramid.arrays()}
    names = [str(level) for level in range(len(found))]
    if set(names) != found.keys() or any(len(shape) != 2 for shape in found.values()):
        raise DecodeError(f"its {kind} are not a pyramid of images")
    return [(rows, columns) for rows, columns in map(found.__getitem__, names)]


def create_store(
    path: Path, shape: tuple[int, int], classes: ClassTable, coarsest: int = MAX_COARSEST_SIDE
) -> MaskStore:
    """Create empty pyramids of `shape` at `path`, whole or not at all.

    The longest side of the last level has at most `coarsest` pixels.
    """
    try:
        with atomic_folder(path, unique=True) as partial:  # threads of zarr may still write to one that failed
            group = zarr.open_group(partial, mode="w", zarr_format=3)
            for name in _ARRAYS:
                _create_pyramid(group.create_group(name), shape, coarsest)
            group["labels"].attrs["ome"] = _ome_attributes(group["labels"], classes)
    except OSError as error:
        raise ProjectError(
            f"{path} could not be written ({error.strerror or error}). Free the disk or allow writing "
            "to the project folder."
        ) from error
    return MaskStore(path)


def _create_pyramid(group: zarr.Group, shape: tuple[int, int], coarsest: int) -> None:
    for number, size in enumerate(pyramid_shapes(shape, coarsest)):
        group.create_array(
            str(number),
            shape=size,
            chunks=(CHUNK, CHUNK),
            dtype="uint8",
            fill_value=0,
            compressors=[ZstdCodec(level=1, checksum=True)],
            dimension_names=["y", "x"],
        )


def _ome_attributes(group: Any, classes: ClassTable) -> dict[str, Any]:
    """Return the OME-NGFF 0.5 metadata of a label pyramid (https://ngff.openmicroscopy.org/0.5)."""
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [2.0**n, 2.0**n]}]}
        for n in range(len(list(group.array_keys())))
    ]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    colors = [{"label-value": spec.index, "rgba": [*spec.rgb, 255]} for spec in classes]
    return {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": datasets}],
        "image-label": {"colors": colors},
    }
