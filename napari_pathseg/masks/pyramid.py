"""The pyramids of a mask while it is edited: chunks in memory, coarser levels kept in step.

What is edited waits here for the disk; the journal holds it meanwhile.  A coarser level
holds the commonest label of each block of four, so thin structures stay.
"""

import itertools
import logging
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.classes import UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.masks.chunk_files import CHUNK, Key, is_uniform
from napari_pathseg.masks.counts import Counts, Provenance, count, counts_from
from napari_pathseg.masks.zarr_store import MaskStore, chunk_region, chunks_of, morton_order, overlap

_CLEAN, _DIRTY = 64, 64  # chunks kept in memory, half a megabyte each: as on disk, and waiting for it
_AT_ONCE = 64  # chunks that are brought to the disk: a save after a long work has little left to do
_Place = tuple[int, Key]  # a level and a chunk of it
_logger = logging.getLogger(__name__)


class Pyramid:
    """Labels and provenance at all levels, read and written in boxes; see :meth:`flush`."""

    def __init__(self, store: MaskStore) -> None:
        self._store = store
        self.shapes = store.shapes
        self._dirty: OrderedDict[_Place, UInt8Array] = OrderedDict()  # edited last at the end
        self._clean: OrderedDict[_Place, UInt8Array] = OrderedDict()  # used last at the end
        self._refused = False  # the disk, since the last flush

    @property
    def waiting(self) -> bool:
        """Whether something is not on disk yet."""
        return bool(self._dirty)

    def read(self, region: Region, level: int = 0) -> UInt8Array:
        """Return labels and provenance of a box that lies inside a level, ``(2, rows, columns)``, as a copy."""
        keys = chunks_of(region)
        pixels = np.zeros((2, region.height, region.width), np.uint8)
        for key in keys:
            block = self._block(level, key) if len(keys) <= _CLEAN // 2 else self._once(level, key)
            if block is not None:
                inside, here = overlap(key, region)
                pixels[:, *here] = block[:, *inside]
        return pixels

    def prepare(self, region: Region) -> None:
        """Read what :meth:`write` needs beside its pixels: a damaged chunk is found before anything is changed."""
        for level in range(len(self.shapes)):
            for key in chunks_of(region):
                self._block(level, key)
            region = region.coarser(2)

    def write(self, region: Region, pixels: UInt8Array) -> None:
        """Replace labels and provenance of a box of the finest level, and what is coarser above it."""
        self._put(0, region, pixels)
        for level in range(1, len(self.shapes)):
            box = region.coarser(2)
            finer = box.finer(2).clip(self.shapes[level - 1])
            below = pixels if finer == region else self.read(finer, level - 1)
            region, pixels = box, downsample_mode2x(below)
            self._put(level, region, pixels)
        self._make_room()

    def nonempty_chunks(self, region: Region) -> Iterator[Region]:
        """Yield the part of `region` in each finest chunk that holds anything, neighbours after one another."""
        keys = self._store.chunks() | {key for level, key in self._dirty if level == 0}
        boxes = (chunk_region(key).intersect(region).clip(self.shapes[0]) for key in morton_order(keys))
        return (box for box in boxes if not box.empty)

    def count(self) -> Counts:
        """Count the pixels anew."""
        counts = counts_from({})
        empty = self.shapes[0][0] * self.shapes[0][1]
        for box in self.nonempty_chunks(Region(0, 0, *self.shapes[0])):
            counts += count(*self.read(box))
            empty -= box.height * box.width
        counts[UNLABELLED, Provenance.NONE] += empty
        return counts

    def flush(self) -> None:
        """Write all; an OSError leaves here what was not taken."""
        self._refused = False
        for place in list(self._dirty):
            self._save(place)
        self._trim()

    def _put(self, level: int, region: Region, pixels: UInt8Array) -> None:
        for key in chunks_of(region):
            place = (level, key)
            block = self._dirty.pop(place, None)
            if block is None:
                block = self._clean.pop(place, None)
                block = self._load(place) if block is None else block
            inside, here = overlap(key, region)
            block[:, *inside] = pixels[:, *here]
            self._dirty[place] = block

    def _block(self, level: int, key: Key) -> UInt8Array:
        """Return a chunk to read, kept for the next time."""
        place = (level, key)
        if place in self._dirty:
            return self._dirty[place]
        block = self._clean.pop(place, None)
        self._clean[place] = block = self._load(place) if block is None else block
        self._trim()
        return block

    def _once(self, level: int, key: Key) -> UInt8Array | None:
        """Return a chunk to read where so many are read that keeping them would help nobody."""
        place = (level, key)
        found = self._dirty.get(place, self._clean.get(place))
        return self._store.read_chunk(level, key) if found is None else found

    def _load(self, place: _Place) -> UInt8Array:
        block = self._store.read_chunk(*place)
        return np.zeros((2, CHUNK, CHUNK), np.uint8) if block is None else block

    def _save(self, place: _Place) -> None:
        self._store.write_chunk(*place, self._dirty[place])
        self._clean[place] = self._dirty.pop(place)

    def _make_room(self) -> None:
        """Bring what was edited longest ago to the disk; where that refuses it waits for the flush."""
        while len(self._dirty) > _DIRTY and not self._refused:
            try:
                self._save(next(iter(self._dirty)))
                if self._store.unsynced_count >= _AT_ONCE:
                    self._store.sync()
            except OSError as error:
                self._refused = True
                _logger.warning("%s takes no more: %s", self._store.path, error)
        self._trim()

    def _trim(self) -> None:
        for place in list(itertools.islice(self._clean, max(0, len(self._clean) - _CLEAN))):
            del self._clean[place]


def downsample_mode2x(pixels: UInt8Array) -> UInt8Array:
    """Return (..., rows, columns) at half the size: of each four pixels the commonest value, at a tie the largest.

    An edge that is left over counts twice.
    """
    if is_uniform(pixels):
        shape = (*pixels.shape[:-2], *(-(-size // 2) for size in pixels.shape[-2:]))
        return np.broadcast_to(pixels[..., :1, :1], shape).copy()  # numpy is slow on what is not contiguous
    odd = [size % 2 for size in pixels.shape[-2:]]
    if any(odd):
        pixels = np.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(0, one) for one in odd], mode="edge")
    a, b = pixels[..., ::2, ::2], pixels[..., ::2, 1::2]
    c, d = pixels[..., 1::2, ::2], pixels[..., 1::2, 1::2]
    halved = np.maximum(np.maximum(a, b), np.maximum(c, d))
    mixed = np.nonzero((a != b) | (a != c) | (a != d))  # few: outlines
    halved[mixed] = _commonest(a[mixed], b[mixed], c[mixed], d[mixed])
    return halved


def _commonest(a: UInt8Array, b: UInt8Array, c: UInt8Array, d: UInt8Array) -> UInt8Array:
    """Return of each four values the commonest, at a tie the largest."""
    with_a, with_b = (a == c) | (a == d), (b == c) | (b == d)
    largest = np.maximum(np.maximum(a, b), np.maximum(c, d))
    crossed = np.where(with_a & with_b, np.maximum(a, b), np.where(with_a, a, np.where(with_b, b, largest)))
    alike = np.where((a == b) & (c == d), largest, np.where(a == b, a, c))
    return np.where((a == b) | (c == d), alike, crossed).astype(np.uint8)
