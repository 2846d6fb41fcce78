"""Where the features of tiles are kept: in memory, and on disk in the project, each within a budget.

``features/<slide>/<key>/<row>_<column>.safetensors`` holds the scales of a tile, named by their place, and a checksum.
The key says what the features depend on: the file of the slide, the encoder and its weights, the pixel size, the stain
normalisation.  Nothing here is needed for correctness: a file that is damaged, missing or of something else is computed
again, and where the disk refuses, features stay in memory.
"""

import hashlib
import json
import logging
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from napari_pathseg.engine.live.tile_features import TileFeatures
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.links import check_links
from napari_pathseg.storage.portable import remove, remove_tree
from napari_pathseg.storage.regular_files import read_regular

FOLDER = "features"
FORMAT = 1
_SUFFIX = ".safetensors"
_KEY_LENGTH = 16  # hexadecimal digits
_LEVELS = 3  # of folders: features/slide/key
_UNUSED_S = 30 * 24 * 3600  # after which the features of other keys are deleted
_HEADER_BYTES = 64 << 10
_logger = logging.getLogger(__name__)


class TilePlace(NamedTuple):
    """A tile: its slide, the key of its features, and where it lies, counted in tiles."""

    slide: str
    key: str
    row: int
    column: int


class FeatureStore:
    """Features of tiles.

    Parameters
    ----------
    project_folder
        The project in which they are kept.
    memory_bytes, disk_bytes
        How much they may take; on disk 0 for none.

    Attributes
    ----------
    problem
        Why the disk is not used, as a sentence for the user; empty if it is.
    """

    def __init__(self, project_folder: Path, memory_bytes: int, disk_bytes: int) -> None:
        self._project, self._folder = project_folder, project_folder / FOLDER
        self._memory_bytes, self._disk_bytes = memory_bytes, disk_bytes
        self._kept: OrderedDict[TilePlace, TileFeatures] = OrderedDict()  # the last used at the end
        self._unsaved: OrderedDict[TilePlace, None] = OrderedDict()
        self._in_memory = self._on_disk = 0  # bytes
        self._files: OrderedDict[TilePlace, int] = OrderedDict()  # sizes; the oldest first
        self._used_keys: set[tuple[str, str]] = set()
        self.problem = ""
        if disk_bytes:
            self._look()

    # -- features

    def find(
        self, place: TilePlace, region: Region, strides: Sequence[int], shapes: Sequence[tuple[int, ...]]
    ) -> TileFeatures | None:
        """Return the features of a tile, or None; on disk, they must have these strides and shapes."""
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        if place not in self._files:
            return None
        levels = self._read(place, shapes)
        if levels is None:
            self._delete(place)
            return None
        features = TileFeatures(region, tuple(strides), levels)
        self._remember(place, features)
        return features

    def __contains__(self, place: object) -> bool:
        return place in self._kept or place in self._files

    def keep(self, place: TilePlace, features: TileFeatures) -> None:
        """Keep the features of a tile; the least recently used give way in memory."""
        if self._disk_bytes and not self.problem:
            self._unsaved[place] = None
        self._remember(place, features)

    def has_room(self, count: int) -> bool:
        """Return whether so many bytes fit without that anything in use gives way."""
        if self._in_memory + count <= self._memory_bytes:
            return True
        in_use = sum(size for place, size in self._files.items() if place[:2] in self._used_keys)
        waiting = sum(self._kept[place].nbytes for place in self._unsaved if place in self._kept)
        return bool(self._disk_bytes and not self.problem and in_use + waiting + count <= self._disk_bytes)

    # -- the disk

    def use(self, slide: str, key: str) -> None:
        """Say that features of a key are in use, so that they are the last to be deleted."""
        if (slide, key) not in self._used_keys:
            self._used_keys.add((slide, key))
            try:
                os.utime(self._folder / slide / key)
            except OSError:  # there are none yet
                return

    @property
    def unsaved(self) -> bool:
        """Whether features wait for `save_next`."""
        return bool(self._unsaved)

    def save_next(self) -> None:
        """Write the features of one tile to the disk."""
        place = next(iter(self._unsaved))
        features = self._kept.get(place)
        del self._unsaved[place]
        if features is not None:
            self._save(place, features)

    def sweep(self) -> None:
        """Delete the features of other keys that nothing has used for a month."""
        for slide, key in {place[:2] for place in self._files} - self._used_keys:
            folder = self._folder / slide / key
            try:
                unused = time.time() - folder.stat().st_mtime
            except OSError:
                continue
            if unused > _UNUSED_S:
                for place in [place for place in self._files if place[:2] == (slide, key)]:
                    self._forget(place)
                remove_tree(folder)

    def _remember(self, place: TilePlace, features: TileFeatures) -> None:
        self._in_memory += features.nbytes - (self._kept[place].nbytes if place in self._kept else 0)
        self._kept[place] = features
        self._kept.move_to_end(place)
        while self._in_memory > self._memory_bytes and len(self._kept) > 1:
            oldest, gone = self._kept.popitem(last=False)
            self._in_memory -= gone.nbytes
            if oldest in self._unsaved:
                del self._unsaved[oldest]
                self._save(oldest, gone)

    def _save(self, place: TilePlace, features: TileFeatures) -> None:
        if self.problem:
            return
        tensors = {str(number): level for number, level in enumerate(features.levels)}
        content = save(tensors, {"crc32": str(_checksum(features.levels))})
        self._make_room(len(content))
        path = self._path(place)
        try:
            if not self._project.is_dir():  # it was renamed or deleted, and must not be created again
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path) as partial:
                partial.write_bytes(content)
        except (OSError, PathsegError) as error:
            self._refused(error)
            return
        self._forget(place)
        self._files[place] = len(content)
        self._on_disk += len(content)

    def _make_room(self, count: int) -> None:
        while self._files and self._on_disk + count > self._disk_bytes:
            oldest = next((place for place in self._files if place[:2] not in self._used_keys), next(iter(self._files)))
            self._delete(oldest)

    def _read(self, place: TilePlace, shapes: Sequence[tuple[int, ...]]) -> tuple[torch.Tensor, ...] | None:
        """Return the scales in a file, or None if it is not what was written there."""
        limit = 2 * sum(rows * columns * numbers for rows, columns, numbers in shapes) + _HEADER_BYTES
        try:
            content = read_regular(self._path(place), limit)
            tensors = load(content)
            levels = tuple(tensors[str(number)] for number in range(len(shapes)))
            length = int.from_bytes(content[:8], "little")
            stored = json.loads(content[8 : 8 + length])["__metadata__"]["crc32"]
        except (OSError, SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
            _logger.info("The features in %s are computed again: %s", self._path(place), error)
            return None
        if [(*level.shape, level.dtype) for level in levels] != [(*shape, torch.float16) for shape in shapes]:
            return None
        return levels if stored == str(_checksum(levels)) else None

    def _look(self) -> None:
        """Find what is kept on disk."""
        try:
            check_links(self._project, _LEVELS)
            found = sorted(self._stored(), key=lambda each: each[0])
        except (OSError, PathsegError) as error:
            self._refused(error)
            return
        for _, size, place in found:
            self._files[place] = size
            self._on_disk += size

    def _stored(self) -> Iterator[tuple[float, int, TilePlace]]:
        for path in self._folder.glob(f"*/*/*{_SUFFIX}"):
            row, _, column = path.name.removesuffix(_SUFFIX).partition("_")
            if row.isdecimal() and column.isdecimal():
                status = path.stat()
                place = TilePlace(path.parent.parent.name, path.parent.name, int(row), int(column))
                yield status.st_mtime, status.st_size, place

    def _delete(self, place: TilePlace) -> None:
        self._forget(place)
        try:
            remove(self._path(place))
        except OSError as error:
            _logger.info("%s could not be deleted: %s", self._path(place), error)

    def _forget(self, place: TilePlace) -> None:
        self._on_disk -= self._files.pop(place, 0)

    def _refused(self, error: Exception) -> None:
        self._unsaved.clear()
        why = getattr(error, "strerror", None) or str(error)
        self.problem = f"Features are kept in memory only, as {self._folder} cannot be used: {why.rstrip('.')}."

    def _path(self, place: TilePlace) -> Path:
        return self._folder / place.slide / place.key / f"{place.row}_{place.column}{_SUFFIX}"


def features_key(*parts: object) -> str:
    """Return the key of features that depend on `parts`."""
    text = json.dumps([FORMAT, *map(str, parts)])
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_KEY_LENGTH]


def _checksum(levels: Sequence[torch.Tensor]) -> int:
    total = 0
    for level in levels:
        total = zlib.crc32(level.numpy().data.cast("B"), total)
    return total
