"""Strokes, and the queue in which they wait to be painted chunk by chunk.

A stroke across a whole slide covers a thousand chunks, and the next one must not wait for it.
Queued strokes are in the journal as shapes already, and the window previews them.
"""

import itertools
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked, apply_paint
from napari_pathseg.masks.provenance import is_uniform
from napari_pathseg.masks.shapes import Shape, shape_from
from napari_pathseg.masks.zarr_store import CHUNK, Key, chunk_region, chunks_of, morton_order

_HEAD = struct.Struct("<Bh32s")  # label, the only label that is replaced or -1, a bit for each locked class


@dataclass(frozen=True)
class Brush:
    """How a shape is painted.

    Attributes
    ----------
    label
        The class; 0 erases.
    replace_only
        The only label that is painted over; None for any.
    locked
        Classes that are never painted over.
    """

    label: int
    replace_only: int | None = None
    locked: Locked = NONE_LOCKED


@dataclass(frozen=True)
class Stroke:
    """A shape and how it is painted."""

    shape: Shape
    brush: Brush

    def to_bytes(self) -> bytes:
        """Serialize it, for :func:`stroke_from`."""
        bits = np.zeros(256, bool)
        bits[list(self.brush.locked)] = True
        only = -1 if self.brush.replace_only is None else self.brush.replace_only
        return _HEAD.pack(self.brush.label, only, np.packbits(bits).tobytes()) + self.shape.to_bytes()


def paint_all(strokes: Iterable[Stroke], region: Region, pixels: UInt8Array, downsample: int = 1) -> UInt8Array:
    """Return a box of labels and provenance with strokes painted in order; its grid is `downsample` times coarser."""
    for brush, same_brush in itertools.groupby(strokes, key=lambda stroke: stroke.brush):
        flags = _covered([stroke.shape for stroke in same_brush], region, downsample)
        if flags is not None:
            pixels = _paint(brush, flags, pixels)
    return pixels


def _covered(shapes: Iterable[Shape], region: Region, downsample: int) -> BoolArray | None:
    """Return which pixels of a box any of the shapes covers, or None if none does."""
    covered: BoolArray | None = None
    known = [(shape, shape.covers(region, downsample)) for shape in shapes]
    if any(is_covered for _, is_covered in known):
        return np.ones((region.height, region.width), bool)
    for shape, is_covered in known:
        flags = None if is_covered is False else shape.flags(region, downsample)
        if flags is not None:
            covered = flags if covered is None else covered | flags
            if covered.all():
                break
    return covered


def _paint(brush: Brush, flags: BoolArray, pixels: UInt8Array) -> UInt8Array:
    if flags.all() and is_uniform(pixels):  # inside a large stroke one pixel stands in for all
        corner = pixels[:, :1, :1]
        if corner.shape != pixels.shape:
            return np.broadcast_to(_paint(brush, flags[:1, :1], corner), pixels.shape).copy()
    if brush.replace_only is not None:
        flags = flags & (pixels[0] == brush.replace_only)
    wanted = np.where(flags, np.uint8(brush.label), pixels[0])
    return apply_paint(pixels, wanted, flags, brush.locked)


def stroke_from(content: bytes) -> Stroke:
    """Return the stroke that :meth:`Stroke.to_bytes` serialized; raise ValueError for other bytes."""
    if len(content) < _HEAD.size:
        raise ValueError("damaged stroke")
    label, only, bits = _HEAD.unpack_from(content)
    locked = frozenset(np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8))).tolist())
    return Stroke(shape_from(content[_HEAD.size :]), Brush(label, None if only < 0 else only, locked))


@dataclass
class _UndoGroup:
    """Strokes that are undone together, by the chunks in which they are still to be painted."""

    todo: dict[Key, list[Stroke]] = field(default_factory=dict)
    closed: bool = False


class StrokeQueue:
    """Strokes that are still to be painted, in order."""

    def __init__(self) -> None:
        self._groups: deque[_UndoGroup] = deque()
        self._dropped = 0

    @property
    def groups_applied(self) -> int:
        """The number of undo groups that have been painted."""
        return self._dropped

    @property
    def groups_added(self) -> int:
        """The number of undo groups there have been, painted or not."""
        return self._dropped + len(self._groups)

    @property
    def groups_pending(self) -> int:
        """The number of undo groups that are open or have strokes to paint."""
        return len(self._groups)

    @property
    def has_pending(self) -> bool:
        """Whether anything is still to be painted."""
        return any(group.todo for group in self._groups)

    @property
    def pending_chunks(self) -> int:
        """The number of chunks still to be painted, counted once for each undo group."""
        return sum(len(group.todo) for group in self._groups)

    @property
    def has_open_group(self) -> bool:
        """Whether the next stroke joins the last undo group."""
        return bool(self._groups) and not self._groups[-1].closed

    @property
    def is_empty(self) -> bool:
        """Whether no undo group is open or has strokes to paint."""
        return not self._groups

    @property
    def first_group_is_applied(self) -> bool:
        """Whether the oldest undo group is closed and fully painted."""
        return bool(self._groups) and self._groups[0].closed and not self._groups[0].todo

    def add(self, stroke: Stroke, shape: tuple[int, int]) -> None:
        """Add a stroke on a mask of `shape` to the open undo group, or to a new one."""
        if not self.has_open_group:
            self._groups.append(_UndoGroup())
        todo = self._groups[-1].todo
        for key in morton_order(chunks_of(stroke.shape.box.clip(shape))):
            todo.setdefault(key, []).append(stroke)

    def end_undo_group(self) -> None:
        """Close the open undo group, if there is one."""
        if self._groups:
            self._groups[-1].closed = True

    def next(self) -> tuple[Key, list[Stroke]] | None:
        """Return a chunk of the oldest undo group and its strokes, or None if that group has no more."""
        todo = self._groups[0].todo if self._groups else {}
        return next(iter(todo.items()), None)

    def mark_applied(self, key: Key) -> None:
        """Take a painted chunk out of the oldest undo group."""
        if self._groups:
            self._groups[0].todo.pop(key, None)

    def drop_first_group(self) -> None:
        """Drop the oldest undo group, which is painted."""
        if self._groups:
            self._groups.popleft()
            self._dropped += 1

    def drop_all(self) -> None:
        """Drop all strokes; an open undo group stays open."""
        self._groups = deque(_UndoGroup() for _ in range(self.has_open_group))

    def preview(self, region: Region, pixels: UInt8Array, downsample: int) -> UInt8Array:
        """Return a box of labels and provenance with the strokes that are still to be painted in each of its chunks."""
        box, waiting = region.finer(downsample).coarser(CHUNK), dict[Key, list[Stroke]]()
        for group in self._groups:
            for key, strokes in group.todo.items():
                if box.top <= key[0] < box.bottom and box.left <= key[1] < box.right:
                    waiting[key] = [*waiting.get(key, ()), *strokes]
        alike = dict[tuple[int, ...], list[Region]]()  # chunks with the same strokes are painted at once
        for key, strokes in waiting.items():
            part = chunk_region(key).coarser(downsample).intersect(region).shift(-region.top, -region.left)
            alike.setdefault(tuple(map(id, strokes)), []).append(part)
        by_id = {id(stroke): stroke for strokes in waiting.values() for stroke in strokes}
        for ids, parts in alike.items():
            bounds = reduce(Region.unite, parts)
            before = pixels[:, *bounds.slices]
            after = paint_all(map(by_id.__getitem__, ids), bounds.shift(region.top, region.left), before, downsample)
            for part in parts:
                pixels[:, *part.slices] = after[:, *part.shift(-bounds.top, -bounds.left).slices]
        return pixels
