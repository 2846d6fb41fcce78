"""The pyramids of a mask while it is edited: a write-back cache of chunks that updates all levels.

Edited chunks stay in memory until they are saved; the journal holds the edits meanwhile.  A
pixel of a coarser level has the most frequent label of its four, so thin structures stay.
"""

import itertools
import logging
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.provenance import Counts, Provenance, count, counts_from, is_uniform
from napari_pathseg.masks.zarr_store import CHUNK, Key, MaskStore, chunk_region, chunks_of, morton_order, overlap

_CLEAN, _DIRTY = 64, 64  # chunks in memory, half a megabyte each: as on disk, and not saved yet
_SYNC_EVERY = 64  # chunks: a save after long work then has little left to sync
_Address = tuple[int, Key]  # a level and a chunk of it
_logger = logging.getLogger(__name__)


class Pyramid:
    """Labels and provenance at all levels, read and written in boxes; see :meth:`flush`."""

    def __init__(self, store: MaskStore) -> None:
        self._store = store
        self.shapes = store.shapes
        self._dirty: OrderedDict[_Address, UInt8Array] = OrderedDict()  # the last edited at the end
        self._clean: OrderedDict[_Address, UInt8Array] = OrderedDict()  # the last used at the end
        self._refused = False  # by the disk, since the last flush

    @property
    def has_unsaved(self) -> bool:
        """Whether a chunk has not been saved yet."""
        return bool(self._dirty)

    def read(self, region: Region, level: int = 0) -> UInt8Array:
        """Return a copy of labels and provenance of a box inside a level, ``(2, rows, columns)``."""
        keys = chunks_of(region)
        pixels = np.zeros((2, region.height, region.width), np.uint8)
        for key in keys:
            block = self._block(level, key) if len(keys) <= _CLEAN // 2 else self._read_uncached(level, key)
            if block is not None:
                inside, here = overlap(key, region)
                pixels[:, *here] = block[:, *inside]
        return pixels

    def prepare(self, region: Region) -> None:
        """Load the chunks that :meth:`write` will change, so that a damaged one is found before any is changed."""
        for level in range(len(self.shapes)):
            for key in chunks_of(region):
                self._block(level, key)
            region = region.coarser(2)

    def write(self, region: Region, pixels: UInt8Array) -> None:
        """Replace labels and provenance of a box of the finest level, and update the coarser levels."""
        self._put(0, region, pixels)
        for level in range(1, len(self.shapes)):
            box = region.coarser(2)
            finer = box.finer(2).clip(self.shapes[level - 1])
            below = pixels if finer == region else self.read(finer, level - 1)
            region, pixels = box, downsample_mode2x(below)
            self._put(level, region, pixels)
        self._evict_dirty()

    def nonempty_chunks(self, region: Region) -> Iterator[Region]:
        """Yield the part of `region` in each non-empty chunk of the finest level, neighbours one after another."""
        keys = self._store.chunks() | {key for level, key in self._dirty if level == 0}
        boxes = (chunk_region(key).intersect(region).clip(self.shapes[0]) for key in morton_order(keys))
        return (box for box in boxes if not box.empty)

    def count(self) -> Counts:
        """Count the pixels, chunk by chunk."""
        counts = counts_from({})
        empty = self.shapes[0][0] * self.shapes[0][1]
        for box in self.nonempty_chunks(Region(0, 0, *self.shapes[0])):
            counts += count(*self.read(box))
            empty -= box.height * box.width
        counts[UNLABELLED, Provenance.NONE] += empty
        return counts

    def flush(self) -> None:
        """Write all edited chunks; after an OSError those not written stay here."""
        self._refused = False
        for address in list(self._dirty):
            self._save(address)
        self._evict_clean()

    def _put(self, level: int, region: Region, pixels: UInt8Array) -> None:
        for key in chunks_of(region):
            address = (level, key)
            block = self._dirty.pop(address, None)
            if block is None:
                block = self._clean.pop(address, None)
                block = self._load(address) if block is None else block
            inside, here = overlap(key, region)
            block[:, *inside] = pixels[:, *here]
            self._dirty[address] = block

    def _block(self, level: int, key: Key) -> UInt8Array:
        """Return a chunk to read, and cache it."""
        address = (level, key)
        if address in self._dirty:
            return self._dirty[address]
        block = self._clean.pop(address, None)
        self._clean[address] = block = self._load(address) if block is None else block
        self._evict_clean()
        return block

    def _read_uncached(self, level: int, key: Key) -> UInt8Array | None:
        """Return a chunk to read without caching it, for a box of so many that they would evict one another."""
        address = (level, key)
        found = self._dirty.get(address, self._clean.get(address))
        return self._store.read_chunk(level, key) if found is None else found

    def _load(self, address: _Address) -> UInt8Array:
        block = self._store.read_chunk(*address)
        return np.zeros((2, CHUNK, CHUNK), np.uint8) if block is None else block

    def _save(self, address: _Address) -> None:
        self._store.write_chunk(*address, self._dirty[address])
        self._clean[address] = self._dirty.pop(address)

    def _evict_dirty(self) -> None:
        """Save the chunks edited longest ago; if the disk refuses, they stay until the next flush."""
        while len(self._dirty) > _DIRTY and not self._refused:
            try:
                self._save(next(iter(self._dirty)))
                if self._store.unsynced_count >= _SYNC_EVERY:
                    self._store.sync()
            except OSError as error:
                self._refused = True
                _logger.warning("%s could not be written: %s", self._store.path, error)
        self._evict_clean()

    def _evict_clean(self) -> None:
        for address in list(itertools.islice(self._clean, max(0, len(self._clean) - _CLEAN))):
            del self._clean[address]


def downsample_mode2x(pixels: UInt8Array) -> UInt8Array:
    """Return (..., rows, columns) at half the size, each pixel the mode of four; ties go to the largest value.

    An odd last row or column counts twice.
    """
    if is_uniform(pixels):
        shape = (*pixels.shape[:-2], *(-(-size // 2) for size in pixels.shape[-2:]))
        return np.broadcast_to(pixels[..., :1, :1], shape).copy()  # numpy is slow on arrays that are not contiguous
    odd = [size % 2 for size in pixels.shape[-2:]]
    if any(odd):
        pixels = np.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(0, one) for one in odd], mode="edge")
    a, b = pixels[..., ::2, ::2], pixels[..., ::2, 1::2]
    c, d = pixels[..., 1::2, ::2], pixels[..., 1::2, 1::2]
    halved = np.maximum(np.maximum(a, b), np.maximum(c, d))
    mixed = np.nonzero((a != b) | (a != c) | (a != d))  # few: along outlines
    halved[mixed] = _mode_of_four(a[mixed], b[mixed], c[mixed], d[mixed])
    return halved


def _mode_of_four(a: UInt8Array, b: UInt8Array, c: UInt8Array, d: UInt8Array) -> UInt8Array:
    """Return the most frequent of each four values; ties go to the largest."""
    with_a, with_b = (a == c) | (a == d), (b == c) | (b == d)
    largest = np.maximum(np.maximum(a, b), np.maximum(c, d))
    crossed = np.where(with_a & with_b, np.maximum(a, b), np.where(with_a, a, np.where(with_b, b, largest)))
    alike = np.where((a == b) & (c == d), largest, np.where(a == b, a, c))
    return np.where((a == b) | (c == d), alike, crossed).astype(np.uint8)
