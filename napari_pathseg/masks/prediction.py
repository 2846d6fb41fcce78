"""A model's raw output on a slide: classes and 8-bit probabilities on the mask's grid.

It is stored apart from the mask, which merges it as provenance *model*; training never reads it.
"""

import contextlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.tile_ledger import TileLedger
from napari_pathseg.masks.zarr_store import CHUNK
from napari_pathseg.storage.atomic import atomic_folder, load_json
from napari_pathseg.storage.links import check_links
from napari_pathseg.storage.lock import folder_is_gone
from napari_pathseg.storage.portable import remove_tree
from napari_pathseg.storage.zarr_files import CheckedStore

_LEVELS = 4  # of folders of a prediction that files are written into: probabilities/c/0/12
_MAX_METADATA_BYTES = 16 << 20
_TILES = "tiles.jsonl"  # the ledger
_WEIGHTS, _WHOLE = "weights", "whole"  # attributes: the stamp of the weights, and the same once the slide is covered


class Prediction:
    """The output of one model on one slide; created by :func:`create_prediction`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            group = zarr.open_group(CheckedStore(path), mode="r+")
            self.classes: Any = group["classes"]
            self.probabilities: Any = group["probabilities"]
            self._group = group
        except (OSError, ValueError, KeyError) as error:
            raise ProjectError(
                f"{path} cannot be read as a prediction ({error}). Delete the folder and predict again."
            ) from error

    @cached_property
    def _ledger(self) -> TileLedger:
        """Which tiles are whole on disk; read when it is needed."""
        return TileLedger(self.path / _TILES)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.classes.shape
        return rows, columns

    @property
    def weights(self) -> int | None:
        """The stamp of the weights that it is from; None if it is unknown."""
        stamp = self._group.attrs.get(_WEIGHTS, self._group.attrs.get(_WHOLE))
        return stamp if isinstance(stamp, int) else None

    def is_whole(self, stamp: int) -> bool:
        """Return whether the whole slide has been predicted with the weights of this `stamp`."""
        return self._group.attrs.get(_WHOLE) == stamp

    def finish(self, stamp: int) -> None:
        """Record that the whole slide has been predicted with the weights of this `stamp`."""
        with self._writing():
            self._group.attrs[_WHOLE] = stamp

    def begin(self, settings: str) -> None:
        """Go on with what was predicted with the same `settings`, or predict all again; call it before `write`."""
        with self._writing():
            self._ledger.begin(settings, self._stored_checksum)

    def has(self, tile: Region, *, glass: bool = False) -> bool:
        """Return whether a tile is whole on disk; one that was left out as `glass` counts only where asked for."""
        return self._ledger.has(tile, glass=glass)

    def write(self, region: Region, probabilities: UInt8Array) -> None:
        """Store the probabilities of a tile, shape (classes, rows, columns), and its classes."""
        classes = most_likely_classes(probabilities)
        with self._writing():
            self.probabilities[(slice(None), *region.slices)] = probabilities
            self.classes[region.slices] = classes
            self._ledger.add(region, _checksum(classes, probabilities))

    def leave_out(self, tiles: Iterable[Region]) -> None:
        """Record that tiles have no tissue and are not predicted: all of them is Background."""
        with self._writing():
            self._ledger.add_glass(tiles)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Raise a ProjectError where the disk refuses, or the prediction is gone."""
        if not self.path.exists():  # zarr would create it again, where the project was
            raise folder_is_gone(self.path)
        try:
            yield
        except OSError as error:
            raise _not_written(self.path, error) from error

    def read(self, region: Region) -> UInt8Array:
        """Return the class of each pixel of a box, 0 where nothing has been predicted."""
        classes: UInt8Array = np.asarray(self.classes[region.slices])
        return classes

    def read_with_glass(self, region: Region) -> UInt8Array:
        """Return the class of each pixel of a box; what was left out as glass is Background."""
        classes = self.read(region)
        for box in self._glass_in(region):
            part = classes[box.slices]
            part[part == UNLABELLED] = BACKGROUND
        return classes

    def probability(self, label: int, region: Region) -> UInt8Array:
        """Return the probability of a class in a box, 0 to 255; glass is Background."""
        found: UInt8Array = np.asarray(self.probabilities[(label - 1, *region.slices)])
        if label == BACKGROUND:
            unpredicted = self.read(region) == UNLABELLED
            for box in self._glass_in(region):
                found[box.slices][unpredicted[box.slices]] = 255
        return found

    def _glass_in(self, region: Region) -> Iterator[Region]:
        """Yield the parts of a box that were left out as glass, from its corner."""
        for part in self._ledger.glass_in(region):
            yield part.shift(-region.top, -region.left)

    def _stored_checksum(self, tile: Region) -> int:
        probabilities = np.asarray(self.probabilities[(slice(None), *tile.slices)])
        return _checksum(self.read(tile), probabilities)


def _checksum(classes: UInt8Array, probabilities: UInt8Array) -> int:
    return zlib.crc32(np.ascontiguousarray(probabilities).data, zlib.crc32(np.ascontiguousarray(classes).data))


def most_likely_classes(probabilities: UInt8Array) -> UInt8Array:
    """Return the most likely class of each pixel, counted from 1, of probabilities of shape (classes, rows, columns).

    >>> most_likely_classes(np.array([[[200, 100]], [[55, 155]]], np.uint8))
    array([[1, 2]], dtype=uint8)
    """
    classes: UInt8Array = (probabilities.argmax(axis=0) + 1).astype(np.uint8)
    return classes


def covers_slide(path: Path) -> bool:
    """Return whether there is a prediction at `path` that covers its slide, and not only a view or a part of it."""
    try:
        return _WHOLE in load_json(path / "zarr.json", _MAX_METADATA_BYTES)["attributes"]
    except (ProjectError, KeyError, TypeError):  # none yet, or damaged
        return False


def create_prediction(
    path: Path, shape: tuple[int, int], class_names: Sequence[str], weights: int | None = None
) -> Prediction:
    """Return the prediction at `path`, replaced by an empty one if it has another shape, or other classes or weights.

    `weights` is a stamp of the model's weights, so that no prediction is a patchwork of two states of a model.

    Raises
    ------
    ProjectError
        If the folder cannot be written.
    """
    try:
        if path.exists():
            check_links(path, _LEVELS)
            existing = Prediction(path)
            same_layout = existing.shape == shape and existing.probabilities.shape[0] == len(class_names)
            if same_layout and existing.weights == weights:
                return existing
            remove_tree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(path) as partial:
            group = zarr.open_group(partial, mode="w", zarr_format=3)
            _create_array(group, "classes", shape, (CHUNK, CHUNK))
            _create_array(group, "probabilities", (len(class_names), *shape), (1, CHUNK, CHUNK))
            group.attrs.update({"classes": list(class_names), **({} if weights is None else {_WEIGHTS: weights})})
    except OSError as error:
        raise _not_written(path, error) from error
    return Prediction(path)


def _not_written(path: Path, error: OSError) -> ProjectError:
    why = error.strerror or error
    return ProjectError(f"{path} could not be written ({why}). Free the disk or allow writing to the project folder.")


def _create_array(group: zarr.Group, name: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    group.create_array(name, shape=shape, chunks=chunks, dtype="uint8", fill_value=0, compressors=[ZstdCodec(level=1)])
