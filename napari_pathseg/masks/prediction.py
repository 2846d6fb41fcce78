"""A model's raw output on a slide: classes and 8-bit probabilities on the mask's grid.

It is stored apart from the mask, which merges it as provenance *model*; training never reads it.
"""

import contextlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

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

_SHARES = np.arange(256, dtype=np.float32) / 255
_ENTROPY = -_SHARES * np.log(np.maximum(_SHARES, 1e-9))  # of each 8-bit probability
DISAGREEMENT = 0  # in place of the number of a class
_DISAGREEMENT = "disagreement"  # the array, beside classes and probabilities
_LEVELS = 4  # of folders of a prediction that files are written into: probabilities/c/0/12
_MAX_METADATA_BYTES = 16 << 20
_TILES = "tiles.jsonl"  # the ledger
_WEIGHTS, _WHOLE = "weights", "whole"  # attributes: the stamp of the weights, and the same once the slide is covered


class TileStore(Protocol):
    """Where the tiles of a prediction go; see the methods of `Prediction`."""

    def has(self, tile: Region, *, glass: bool = False) -> bool:
        """Return whether a tile is there."""

    def write(self, region: Region, probabilities: UInt8Array, disagreement: UInt8Array | None = None) -> None:
        """Store the probabilities of a tile, and how much the positions disagree that these are the mean of."""

    def leave_out(self, tiles: Iterable[Region]) -> None:
        """Record that tiles have no tissue."""


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

    @property
    def settings(self) -> str | None:
        """What its tiles were predicted with; None if there are none yet."""
        return self._ledger.settings

    @property
    def has_disagreement(self) -> bool:
        """Whether it is stored how much the positions disagree that the probabilities are the mean of."""
        return _DISAGREEMENT in self._group

    def begin(self, settings: str) -> None:
        """Go on with what was predicted with the same `settings`, or predict all again; call it before `write`."""
        with self._writing():
            if settings != self._ledger.settings:
                self._group.attrs.pop(_WHOLE, None)
                if self.has_disagreement:
                    del self._group[_DISAGREEMENT]
            self._ledger.begin(settings, self._stored_checksum)

    def has(self, tile: Region, *, glass: bool = False) -> bool:
        """Return whether a tile is whole on disk; one that was left out as `glass` counts only where asked for."""
        return self._ledger.has(tile, glass=glass)

    def write(self, region: Region, probabilities: UInt8Array, disagreement: UInt8Array | None = None) -> None:
        """Store the probabilities of a tile, shape (classes, rows, columns), and its classes.

        `disagreement`, shape (rows, columns), is stored if there are several positions; 255 is the most.
        """
        classes = most_likely_classes(probabilities)
        with self._writing():
            self._store(region, probabilities, classes, disagreement)
            self._ledger.add(region, _checksum(classes, probabilities))

    def write_view(self, region: Region, probabilities: UInt8Array, disagreement: UInt8Array | None = None) -> None:
        """Store a tile of a view, see `write`, except where a tile is done; it does not count as done itself."""
        probabilities = probabilities.copy()
        disagreement = None if disagreement is None else disagreement.copy()
        for part in self._ledger.parts_in(region, glass=False):
            here = part.shift(-region.top, -region.left).slices
            probabilities[(slice(None), *here)] = self.probabilities[(slice(None), *part.slices)]
            if disagreement is not None:
                disagreement[here] = self._disagreement()[part.slices]
        with self._writing():
            self._store(region, probabilities, most_likely_classes(probabilities), disagreement)

    def covers(self, region: Region) -> bool:
        """Return whether all of a box lies in tiles that are done."""
        left = np.ones((region.height, region.width), bool)
        for part in self._ledger.parts_in(region, glass=False):
            left[part.shift(-region.top, -region.left).slices] = False
        return not left.any()

    def _store(
        self, region: Region, probabilities: UInt8Array, classes: UInt8Array, disagreement: UInt8Array | None
    ) -> None:
        if disagreement is not None:
            self._disagreement()[region.slices] = disagreement
        self.probabilities[(slice(None), *region.slices)] = probabilities
        self.classes[region.slices] = classes

    def _disagreement(self) -> Any:
        """Return the array of the disagreement, created on first use."""
        if not self.has_disagreement:
            _create_array(self._group, _DISAGREEMENT, self.shape, (CHUNK, CHUNK))
        return self._group[_DISAGREEMENT]

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

    def sample(self, label: int | None, region: Region, step: int = 1) -> UInt8Array:
        """Return every `step`-th pixel of a box: the probability of a class, or how unsure the model is.

        Without a `label` it is the entropy of the classes' probabilities, 255 where all are equally likely; with the
        label `DISAGREEMENT` how much the positions disagree, if that is stored.  What has not been predicted is 0.
        """
        part = tuple(slice(start, start + count, step) for start, count in (region[::2], region[1::2]))
        if label == DISAGREEMENT:
            array: Any = self._group[_DISAGREEMENT]
            disagreement: UInt8Array = np.asarray(array[part])
            return disagreement
        if label is not None:
            found: UInt8Array = np.asarray(self.probabilities[(label - 1, *part)])
            return found
        total = np.zeros((-(-region.height // step), -(-region.width // step)), np.float32)
        number = self.probabilities.shape[0]
        for index in range(number):
            total += _ENTROPY[np.asarray(self.probabilities[(index, *part)])]
        unsure: UInt8Array = (total * (255 / np.log(max(number, 2)))).clip(0, 255).round().astype(np.uint8)
        return unsure

    def _glass_in(self, region: Region) -> Iterator[Region]:
        """Yield the parts of a box that were left out as glass, from its corner."""
        for part in self._ledger.parts_in(region, glass=True):
            yield part.shift(-region.top, -region.left)

    def _stored_checksum(self, tile: Region) -> int:
        probabilities = np.asarray(self.probabilities[(slice(None), *tile.slices)])
        return _checksum(self.read(tile), probabilities)


class ViewTiles:
    """Stores tiles of a view, which are predicted with a narrow margin, in the prediction of a slide.

    The slide's own tiles stay, and are still predicted where they are not done.
    """

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    def has(self, tile: Region, *, glass: bool = False) -> bool:
        """Return whether nothing of a tile must be predicted."""
        return self._prediction.covers(tile) or (glass and self._prediction.has(tile, glass=True))

    def write(self, region: Region, probabilities: UInt8Array, disagreement: UInt8Array | None = None) -> None:
        """Store the probabilities of a tile, and how much its positions disagree."""
        self._prediction.write_view(region, probabilities, disagreement)

    def leave_out(self, tiles: Iterable[Region]) -> None:
        """Record that tiles have no tissue."""
        self._prediction.leave_out(tiles)


def _checksum(classes: UInt8Array, probabilities: UInt8Array) -> int:
    return zlib.crc32(np.ascontiguousarray(probabilities).data, zlib.crc32(np.ascontiguousarray(classes).data))


def most_likely_classes(probabilities: UInt8Array) -> UInt8Array:
    """Return the most likely class of each pixel, counted from 1, of probabilities of shape (classes, rows, columns).

    >>> most_likely_classes(np.array([[[200, 100]], [[55, 155]]], np.uint8))
    array([[1, 2]], dtype=uint8)
    """
    classes, highest = np.ones(probabilities.shape[1:], np.uint8), probabilities[0]
    for number, values in enumerate(probabilities[1:], start=2):  # several times as fast as numpy's argmax
        classes = np.where(values > highest, np.uint8(number), classes)
        highest = np.maximum(highest, values)
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
