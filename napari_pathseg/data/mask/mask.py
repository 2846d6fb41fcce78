"""A mask that is edited: one function changes it, journals the change and can undo it.

Labels are class indices, provenance says who set a pixel.  Training reads what a person
drew, imported, accepted or corrected; a prediction fills what nobody set and never
overwrites a person.  Not here: how a mask looks, and where its slide lies.
"""

import zlib
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.classes import BACKGROUND, UNLABELLED, ClassTable
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask.counts import Counts, Provenance, count, counts_from, counts_to
from napari_pathseg.data.mask.journal import Journal, read_journal
from napari_pathseg.data.mask.store import CHUNK, MaskStore, create_store
from napari_pathseg.errors import ProjectError

Pixels = npt.NDArray[np.uint8]
_Key = tuple[int, int]  # row and column of a chunk
_UNDO_BYTES = 256 << 20
_JOURNAL_BYTES = 64 << 20
_CLEAN_CHUNKS = 36  # kept in memory, half a megabyte each


def learnt_labels(labels: Pixels, provenance: Pixels, complete: bool) -> Pixels:
    """Return the labels that a person stands for; on a complete slide the rest is Background.

    What a person declared unlabelled, QuPath's *Ignore*, stays so.
    """
    rest = BACKGROUND if complete else UNLABELLED
    return np.where(provenance >= Provenance.ACCEPTED, labels, np.uint8(rest)).astype(np.uint8)


@dataclass(frozen=True)
class _Change:
    """A box before and after an edit, compressed."""

    region: Region
    before: bytes
    after: bytes


class Mask:
    """The labels and provenance of one slide; open it with :func:`open_mask` and close it.

    What is edited lies in the journal at once and in the pyramids after :meth:`flush`.
    """

    def __init__(self, store: MaskStore, journal: Journal) -> None:
        self._store, self._journal = store, journal
        self._blocks: dict[_Key, tuple[Pixels, Pixels]] = {}  # edited, not in the pyramids yet
        self._clean: OrderedDict[_Key, tuple[Pixels, Pixels]] = OrderedDict()  # as on disk, used last at the end
        self._undo: deque[list[_Change]] = deque()
        self._redo: list[list[_Change]] = []
        self._step: list[_Change] = []
        self._undo_bytes = 0
        replayed = False
        for record in read_journal(journal.path):
            self._set(*record)
            replayed = True
        saved = None if replayed else store.load_counts()
        self.counts: Counts = _count_all(self) if saved is None else counts_from(saved)
        if replayed:
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._store.shape

    def read(self, region: Region) -> tuple[Pixels, Pixels]:
        """Return copies of the labels and provenance of a box that lies inside the mask."""
        keys = _chunks_of(region)
        if len(keys) > _CLEAN_CHUNKS:
            labels, provenance = self._store.read(region)
            keys = [key for key in keys if key in self._blocks]
        else:
            labels, provenance = np.empty((2, region.height, region.width), np.uint8)
        for key in keys:
            inside, here = _overlap(key, region)
            labels[here], provenance[here] = (block[inside] for block in self._block(key))
        return labels, provenance

    def _block(self, key: _Key) -> tuple[Pixels, Pixels]:
        """Return the pixels of a chunk, kept for the next stroke."""
        if key in self._blocks:
            return self._blocks[key]
        block = self._clean.pop(key, None) or self._store.read(_chunk_region(key, self.shape))
        self._clean[key] = block
        if len(self._clean) > _CLEAN_CHUNKS:
            self._clean.popitem(last=False)
        return block

    def edit(self, region: Region, labels: Pixels, provenance: Pixels) -> Region:
        """Replace the labels and provenance of a box; return the box that changed, maybe empty.

        Edits belong to one undo step until :meth:`close_step` is called.
        """
        old_labels, old_provenance = self.read(region)
        changed = (labels != old_labels) | (provenance != old_provenance)
        box = _bounding_box(changed)
        if box.empty:
            return box
        inside, region = box.slices, box.shift(region.top, region.left)
        before = (old_labels[inside], old_provenance[inside])
        after = (labels[inside], provenance[inside])
        self._apply(region, before, after)
        change = _Change(region, _pack(before), _pack(after))
        self._step.append(change)
        self._undo_bytes += len(change.before) + len(change.after)
        return region

    def close_step(self) -> None:
        """End an undo step: what was edited since the last call is undone as one."""
        if not self._step:
            return
        self._undo.append(self._step)
        self._step = []
        self._undo_bytes -= sum(_bytes_of(step) for step in self._redo)
        self._redo.clear()
        while self._undo_bytes > _UNDO_BYTES and len(self._undo) > 1:
            self._undo_bytes -= _bytes_of(self._undo.popleft())

    def undo(self) -> Region:
        """Take the last step back; return the box that changed, empty where there is none."""
        self.close_step()
        if not self._undo:
            return Region(0, 0, 0, 0)
        step = self._undo.pop()
        self._redo.append(step)
        return self._replay(reversed(step), backward=True)

    def redo(self) -> Region:
        """Do again what was undone last; return the box that changed, empty where there is none."""
        self.close_step()
        if not self._redo:
            return Region(0, 0, 0, 0)
        step = self._redo.pop()
        self._undo.append(step)
        return self._replay(iter(step), backward=False)

    def flush(self) -> None:
        """Write what was edited into the pyramids on disk and empty the journal."""
        try:
            for key, (labels, provenance) in self._blocks.items():
                self._store.write(_chunk_region(key, self.shape), labels, provenance)
            self._store.refresh_levels(self._blocks)
            self._store.save_counts(counts_to(self.counts))
        except OSError as error:
            raise ProjectError(
                f"{self._store.path} could not be written ({error.strerror or error}). Free the disk or "
                "allow writing; what you drew is safe in the journal until then."
            ) from error
        self._journal.clear()
        self._clean.update(list(self._blocks.items())[-_CLEAN_CHUNKS:])
        self._blocks.clear()
        while len(self._clean) > _CLEAN_CHUNKS:
            self._clean.popitem(last=False)

    def close(self) -> None:
        """Save and let the files go."""
        self.close_step()
        if self._blocks:
            self.flush()
        self._journal.close()

    def _apply(self, region: Region, before: tuple[Pixels, Pixels], after: tuple[Pixels, Pixels]) -> None:
        self._journal.append(region, *after)
        self._set(region, *after)
        self.counts = self.counts - count(*before) + count(*after)
        if self._journal.size > _JOURNAL_BYTES:
            self.flush()

    def _set(self, region: Region, labels: Pixels, provenance: Pixels) -> None:
        """Put pixels into the blocks that wait for the next flush."""
        for key in _chunks_of(region):
            self._blocks[key] = self._block(key)
            self._clean.pop(key, None)
            inside, here = _overlap(key, region)
            self._blocks[key][0][inside] = labels[here]
            self._blocks[key][1][inside] = provenance[here]

    def _replay(self, changes: Iterator[_Change], *, backward: bool) -> Region:
        touched = Region(0, 0, 0, 0)
        for change in changes:
            wanted = _unpack(change.before if backward else change.after, change.region)
            self._apply(change.region, self.read(change.region), wanted)
            touched = touched.unite(change.region)
        return touched


def open_mask(path: Path, shape: tuple[int, int], classes: ClassTable) -> Mask:
    """Open the mask at `path`, or make an empty one of `shape` there.

    Raises
    ------
    ProjectError
        If the folder is no mask, is one of another size, or cannot be written.
    """
    store = MaskStore(path) if path.exists() else create_store(path, shape, classes)
    if store.shape != shape:
        rows, columns = store.shape
        raise ProjectError(
            f"{path} is a mask of {rows} x {columns} pixels; its slide needs {shape[0]} x {shape[1]}. "
            "The slide file was exchanged: put the old one back, or add the new one under another name."
        )
    try:
        return Mask(store, Journal(path.with_suffix(".journal")))
    except OSError as error:
        raise ProjectError(
            f"{path.parent} cannot be written ({error.strerror}). Allow writing to the project folder."
        ) from error


def read_counts(path: Path) -> Counts:
    """Return pixels by (class, provenance) as they were last saved at `path`; zeros where no mask is."""
    if not path.exists():
        return counts_from({})
    return counts_from(MaskStore(path).load_counts() or {})


def _pack(pixels: tuple[Pixels, Pixels]) -> bytes:
    return zlib.compress(pixels[0].tobytes() + pixels[1].tobytes(), 1)


def _unpack(packed: bytes, region: Region) -> tuple[Pixels, Pixels]:
    pixels = np.frombuffer(zlib.decompress(packed), np.uint8)
    labels, provenance = pixels.reshape(2, region.height, region.width)
    return labels, provenance


def _bytes_of(step: list[_Change]) -> int:
    return sum(len(change.before) + len(change.after) for change in step)


def _bounding_box(changed: npt.NDArray[np.bool_]) -> Region:
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return Region(0, 0, 0, 0)
    top, left = int(rows[0]), int(columns[0])
    return Region(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)


def _chunks_of(region: Region) -> list[_Key]:
    box = region.coarser(CHUNK)
    return [(row, column) for row in range(box.top, box.bottom) for column in range(box.left, box.right)]


def _chunk_region(key: _Key, shape: tuple[int, int]) -> Region:
    return Region(key[0] * CHUNK, key[1] * CHUNK, CHUNK, CHUNK).clip(shape)


def _overlap(key: _Key, region: Region) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a chunk and a box meet, as an index into each."""
    row, column = key[0] * CHUNK, key[1] * CHUNK
    shared = region.intersect(Region(row, column, CHUNK, CHUNK))
    return shared.shift(-row, -column).slices, shared.shift(-region.top, -region.left).slices


def _count_all(mask: Mask) -> Counts:
    counts = counts_from({})
    for key in _chunks_of(Region(0, 0, *mask.shape)):
        counts += count(*mask.read(_chunk_region(key, mask.shape)))
    return counts
