"""The pyramids of a mask on disk: labels and provenance as OME-Zarr 0.5.

Chunks are files of their own, each replaced as a whole, and empty ones are not written.  A
coarser level holds the commonest label of each block of four, so thin structures stay.
"""

import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from napari_pathseg.data.classes import ClassTable
from napari_pathseg.data.geometry import Region
from napari_pathseg.errors import ProjectError

CHUNK = 512
_COARSEST = 1024  # pixels of the longest side of the last level
_KINDS = ("labels", "provenance")
_logger = logging.getLogger(__name__)


class MaskStore:
    """The two pyramids of one mask, read and written in boxes of level 0."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            group = zarr.open_group(path, mode="r+")
            self._levels = {kind: _levels_of(group, kind) for kind in _KINDS}
            self._group = group
        except (OSError, ValueError, KeyError) as error:
            raise ProjectError(
                f"{path} cannot be read as a mask ({error}). Restore the folder from a copy, or move it "
                "away to begin this mask anew."
            ) from error

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the mask."""
        rows, columns = self._levels["labels"][0].shape
        return rows, columns

    def read(self, region: Region) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return labels and provenance of a box."""
        labels, provenance = (np.asarray(self._levels[kind][0][region.slices]) for kind in _KINDS)
        return labels, provenance

    def write(self, region: Region, labels: npt.NDArray[np.uint8], provenance: npt.NDArray[np.uint8]) -> None:
        """Replace the labels and provenance of a box at level 0; see `refresh_levels`."""
        self._levels["labels"][0][region.slices] = labels
        self._levels["provenance"][0][region.slices] = provenance

    def refresh_levels(self, chunks: Iterable[tuple[int, int]]) -> None:
        """Bring the coarser levels up to date with the level-0 chunks of these rows and columns."""
        dirty = set(chunks)
        for number in range(1, len(self._levels["labels"])):
            dirty = {(row // 2, column // 2) for row, column in dirty}
            for row, column in dirty:
                for kind in _KINDS:
                    finer, coarser = self._levels[kind][number - 1 : number + 1]
                    box = Region(row * CHUNK, column * CHUNK, CHUNK, CHUNK).clip(coarser.shape)
                    coarser[box.slices] = halve(np.asarray(finer[box.finer(2).clip(finer.shape).slices]))

    def load_counts(self) -> dict[str, int] | None:
        """Return the pixel counts that were saved last, or None."""
        counts = self._group.attrs.get("pathseg_counts")
        return dict(counts) if isinstance(counts, Mapping) else None  # type: ignore[arg-type]

    def save_counts(self, counts: Mapping[str, int]) -> None:
        """Keep the pixel counts beside the pyramids."""
        self._group.attrs["pathseg_counts"] = dict(counts)


def _levels_of(group: zarr.Group, kind: str) -> list[Any]:
    member: Any = group[kind]
    return [member[str(number)] for number in range(len(list(member.array_keys())))]


def create_store(path: Path, shape: tuple[int, int], classes: ClassTable) -> MaskStore:
    """Make empty pyramids of `shape` at `path`; it appears there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        group = zarr.open_group(partial, mode="w", zarr_format=3)
        for kind in _KINDS:
            _create_pyramid(group.create_group(kind), shape)
        group["labels"].attrs["ome"] = _ome_attributes(group["labels"], classes)
        partial.rename(path)
    except OSError as error:
        raise ProjectError(
            f"{path} could not be written ({error.strerror or error}). Free the disk or allow writing "
            "to the project folder."
        ) from error
    return MaskStore(path)


def _create_pyramid(group: zarr.Group, shape: tuple[int, int]) -> None:
    number = 0
    while True:
        group.create_array(
            str(number),
            shape=shape,
            chunks=(CHUNK, CHUNK),
            dtype="uint8",
            fill_value=0,
            compressors=[ZstdCodec(level=1)],
            dimension_names=["y", "x"],
        )
        if max(shape) <= _COARSEST:
            return
        shape = (-(-shape[0] // 2), -(-shape[1] // 2))
        number += 1


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


def halve(block: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return an array of half the size: of each four pixels the commonest value, at a tie the largest."""
    padded = np.pad(block, [(0, size % 2) for size in block.shape], mode="edge")
    a, b, c, d = padded[::2, ::2], padded[::2, 1::2], padded[1::2, ::2], padded[1::2, 1::2]
    largest = np.maximum(np.maximum(a, b), np.maximum(c, d))
    with_a = (a == b).astype(np.uint8) + (a == c) + (a == d)
    other = np.where((b == c) | (b == d), b, np.where(c == d, c, largest))
    pair_of_others = (b == c) | (b == d) | (c == d)
    take_a = (with_a >= 2) | ((with_a == 1) & ~pair_of_others)
    tie = (with_a == 1) & pair_of_others
    return np.where(take_a, a, np.where(tie, np.maximum(a, other), other)).astype(np.uint8)
