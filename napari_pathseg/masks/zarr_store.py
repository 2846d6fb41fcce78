"""The pyramids of a mask on disk: labels and provenance as OME-Zarr 0.5.

zarr makes them and says what they are; their chunks are read and written as files here,
which is faster and leaves no doubt about what is replaced when.
"""

import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.classes import ClassTable
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.chunk_files import CHUNK, PARTIAL, ChunkFiles, Key, fsync_all

_COARSEST = 1024  # pixels of the longest side of the last level
_KINDS = ("labels", "provenance")
_COUNTED = re.compile(r"(1?\d?\d|2[0-4]\d|25[0-5]),[0-5]")  # a class and a provenance


class MaskStore:
    """The two pyramids of one mask as they are on disk.

    Attributes
    ----------
    path
        Their folder.
    shapes
        Rows and columns of each level, the finest first.
    """

    def __init__(self, path: Path) -> None:
        try:
            group = zarr.open_group(path, mode="r+")
            self._set_up(path, group, _shapes(group))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # zarr's, for damaged metadata
            raise ProjectError(
                f"{path} cannot be read as a mask ({error}). Restore the folder from a copy, or move it "
                "away to begin this mask anew."
            ) from error

    @classmethod
    def missing(cls, path: Path, shape: tuple[int, int]) -> Self:
        """Return the store of a mask that was never made: nothing is set in it."""
        store = cls.__new__(cls)
        store._set_up(path, None, list(_level_shapes(shape)))
        return store

    def _set_up(self, path: Path, group: zarr.Group | None, shapes: list[tuple[int, int]]) -> None:
        self.path, self._group, self.shapes = path, group, shapes
        self._written: set[tuple[int, Key]] = set()  # levels and chunks, since they were brought to the disk
        self._sync_failed = False  # whether the disk refused that
        self._files = [[ChunkFiles(path / kind / str(level)) for kind in _KINDS] for level in range(len(self.shapes))]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the mask."""
        return self.shapes[0]

    def read_chunk(self, level: int, key: Key) -> UInt8Array | None:
        """Return labels and provenance of a chunk, ``(2, CHUNK, CHUNK)``; None where nothing is set."""
        labels, provenance = (files.read(key) for files in self._files[level])
        if labels is None and provenance is None:
            return None
        empty = np.zeros((CHUNK, CHUNK), np.uint8)
        return np.stack([empty if labels is None else labels, empty if provenance is None else provenance])

    def write_chunk(self, level: int, key: Key, block: UInt8Array) -> None:
        """Replace labels and provenance of a chunk; an OSError leaves whole chunks behind, old or new."""
        self._written.add((level, key))
        for files, pixels in zip(self._files[level], block, strict=True):
            files.write(key, pixels)

    @property
    def unsynced_count(self) -> int:
        """How many chunks were written and may not be on the disk yet."""
        return len(self._written)

    def sync(self) -> None:
        """Wait until what was written since the last time is on the disk; an OSError where it refuses.

        A disk says only once what it lost, so after that all of it is written anew.
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
        """Return the chunks in which something is set."""
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
        """Remove what a killed program left half-written."""
        for orphan in self.path.glob(f"*{PARTIAL}"):  # zarr's
            orphan.unlink(missing_ok=True)
        for level in self._files:
            for files in level:
                files.remove_temp_files()

    def load_counts(self) -> dict[str, int] | None:
        """Return the pixel counts that were saved last, or None where there are none that make sense."""
        counts: Any = None if self._group is None else self._group.attrs.get("pathseg_counts")
        if not isinstance(counts, Mapping):
            return None
        sound = all(_COUNTED.fullmatch(key) and isinstance(number, int) for key, number in counts.items())
        return dict(counts) if sound else None

    def save_counts(self, counts: Mapping[str, int]) -> None:
        """Keep the pixel counts beside the pyramids."""
        assert self._group is not None
        self._group.attrs["pathseg_counts"] = dict(counts)


def chunks_of(region: Region) -> list[Key]:
    """Return the chunks that a box meets, row by row."""
    box = region.coarser(CHUNK)
    return [(row, column) for row in range(box.top, box.bottom) for column in range(box.left, box.right)]


def morton_order(keys: Iterable[Key]) -> list[Key]:
    """Return chunks in an order in which those that share a coarser one follow one another: Morton's."""
    return sorted(keys, key=lambda key: _interleave_zeros(key[0]) << 1 | _interleave_zeros(key[1]))


@cache
def _interleave_zeros(number: int) -> int:
    """Return a number with a zero bit after each of its own."""
    return int(f"{number:b}", 4)


def chunk_region(key: Key) -> Region:
    """Return the box of a chunk, which may reach over the mask's edge."""
    return Region(key[0] * CHUNK, key[1] * CHUNK, CHUNK, CHUNK)


def overlap(key: Key, region: Region) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a chunk and a box meet, as an index into each."""
    shared = region.intersect(chunk_region(key))
    return shared.shift(-key[0] * CHUNK, -key[1] * CHUNK).slices, shared.shift(-region.top, -region.left).slices


def _shapes(group: zarr.Group) -> list[tuple[int, int]]:
    found: list[list[tuple[int, int]]] = []
    for kind in _KINDS:
        member: Any = group[kind]
        found.append([member[str(number)].shape for number in range(len(list(member.array_keys())))])
    if found[0] != found[1] or not found[0]:
        raise ValueError("its labels and provenance are not alike")
    return found[0]


def create_store(path: Path, shape: tuple[int, int], classes: ClassTable) -> MaskStore:
    """Make empty pyramids of `shape` at `path`; it appears there whole or not at all."""
    # a name of its own: where it failed before, threads of zarr may write there still
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        group = zarr.open_group(partial, mode="w", zarr_format=3)
        for kind in _KINDS:
            _create_pyramid(group.create_group(kind), shape)
        group["labels"].attrs["ome"] = _ome_attributes(group["labels"], classes)
        partial.rename(path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ProjectError(
            f"{path} could not be written ({error.strerror or error}). Free the disk or allow writing "
            "to the project folder."
        ) from error
    return MaskStore(path)


def _create_pyramid(group: zarr.Group, shape: tuple[int, int]) -> None:
    for number, size in enumerate(_level_shapes(shape)):
        group.create_array(
            str(number),
            shape=size,
            chunks=(CHUNK, CHUNK),
            dtype="uint8",
            fill_value=0,
            compressors=[ZstdCodec(level=1, checksum=True)],
            dimension_names=["y", "x"],
        )


def _level_shapes(shape: tuple[int, int]) -> Iterator[tuple[int, int]]:
    yield shape
    while max(shape) > _COARSEST:
        shape = (-(-shape[0] // 2), -(-shape[1] // 2))
        yield shape


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
