"""Strokes on their way into a mask: each is told at once and carried out chunk by chunk.

A pull of the brush over a whole slide covers a thousand chunks; the hand must not wait for
them.  What waits here is in the journal as shapes, and is shown meanwhile.
"""

import itertools
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from napari_pathseg.arrays import BoolArray, UInt8Array
from napari_pathseg.geometry import Region
from napari_pathseg.masks.chunk_files import Key, is_uniform
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked, apply_paint
from napari_pathseg.masks.shapes import Shape, shape_from
from napari_pathseg.masks.zarr_store import chunks_of, morton_order

_HEAD = struct.Struct("<Bh32s")  # label, the label that alone is replaced or -1, a bit for each locked class


@dataclass(frozen=True)
class Brush:
    """What a shape is painted with.

    Attributes
    ----------
    label
        The class; 0 erases.
    replace_only
        The label that alone is painted over; None for any.
    locked
        Classes that are not painted over.
    """

    label: int
    replace_only: int | None = None
    locked: Locked = NONE_LOCKED


@dataclass(frozen=True)
class Stroke:
    """A shape and what it is painted with."""

    shape: Shape
    brush: Brush

    def to_bytes(self) -> bytes:
        """Return it as bytes, for :func:`stroke_from`."""
        bits = np.zeros(256, bool)
        bits[list(self.brush.locked)] = True
        only = -1 if self.brush.replace_only is None else self.brush.replace_only
        return _HEAD.pack(self.brush.label, only, np.packbits(bits).tobytes()) + self.shape.to_bytes()


def paint_all(strokes: Iterable[Stroke], region: Region, pixels: UInt8Array, downsample: int = 1) -> UInt8Array:
    """Return a box of labels and provenance after strokes in order; it lies on a grid `downsample` times coarser."""
    for brush, alike in itertools.groupby(strokes, key=lambda stroke: stroke.brush):
        flags = _covered([stroke.shape for stroke in alike], region, downsample)
        if flags is not None:
            pixels = _paint(brush, flags, pixels)
    return pixels


def _covered(shapes: Iterable[Shape], region: Region, downsample: int) -> BoolArray | None:
    """Return which pixels of a box any of the shapes covers, None where none does."""
    covered: BoolArray | None = None
    known = [(shape, shape.covers(region, downsample)) for shape in shapes]
    if any(all_of_it for _, all_of_it in known):
        return np.ones((region.height, region.width), bool)
    for shape, all_of_it in known:
        flags = None if all_of_it is False else shape.flags(region, downsample)
        if flags is not None:
            covered = flags if covered is None else covered | flags
            if covered.all():
                break
    return covered


def _paint(brush: Brush, flags: BoolArray, pixels: UInt8Array) -> UInt8Array:
    if flags.all() and is_uniform(pixels):  # inside a large stroke: one pixel tells all
        corner = pixels[:, :1, :1]
        if corner.shape != pixels.shape:
            return np.broadcast_to(_paint(brush, flags[:1, :1], corner), pixels.shape).copy()
    if brush.replace_only is not None:
        flags = flags & (pixels[0] == brush.replace_only)
    wanted = np.where(flags, np.uint8(brush.label), pixels[0])
    return apply_paint(pixels, wanted, flags, brush.locked)


def stroke_from(content: bytes) -> Stroke:
    """Return the stroke that :meth:`Stroke.to_bytes` told; ValueError where it is none."""
    label, only, bits = _HEAD.unpack_from(content)
    locked = frozenset(np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8))).tolist())
    return Stroke(shape_from(content[_HEAD.size :]), Brush(label, None if only < 0 else only, locked))


@dataclass
class _Step:
    """Strokes that are undone as one, by the chunks in which they are still to be painted."""

    todo: dict[Key, list[Stroke]] = field(default_factory=dict)
    closed: bool = False


class StrokeQueue:
    """What waits to be painted, in order."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque()
        self._dropped = 0

    @property
    def groups_applied(self) -> int:
        """How many steps were painted."""
        return self._dropped

    @property
    def groups_recorded(self) -> int:
        """How many steps there were, painted or not."""
        return self._dropped + len(self._steps)

    @property
    def has_pending(self) -> bool:
        """Whether anything is still to be painted."""
        return any(step.todo for step in self._steps)

    @property
    def pending_chunks(self) -> int:
        """In how many chunks something is still to be painted, counted for each step."""
        return sum(len(step.todo) for step in self._steps)

    @property
    def open(self) -> bool:
        """Whether a step takes strokes."""
        return bool(self._steps) and not self._steps[-1].closed

    @property
    def empty(self) -> bool:
        """Whether no step is open or has something left."""
        return not self._steps

    def add(self, stroke: Stroke, shape: tuple[int, int]) -> None:
        """Take a stroke on a mask of `shape` into the open step."""
        if not self.open:
            self._steps.append(_Step())
        todo = self._steps[-1].todo
        for key in morton_order(chunks_of(stroke.shape.box.clip(shape))):
            todo.setdefault(key, []).append(stroke)

    def end_undo_group(self) -> None:
        """End the open step, if there is one."""
        if self._steps:
            self._steps[-1].closed = True

    def next(self) -> tuple[Key, list[Stroke]] | None:
        """Return a chunk of the oldest step and its strokes, None where that step has no more."""
        todo = self._steps[0].todo if self._steps else {}
        return next(iter(todo.items()), None)

    def done(self, key: Key) -> None:
        """Take a chunk of the oldest step off the list."""
        if self._steps:
            self._steps[0].todo.pop(key, None)

    @property
    def step_ends(self) -> bool:
        """Whether the oldest step is closed and has nothing left."""
        return bool(self._steps) and self._steps[0].closed and not self._steps[0].todo

    def drop_step(self) -> None:
        """Forget the oldest step, which is painted."""
        if self._steps:
            self._steps.popleft()
            self._dropped += 1

    def drop_all(self) -> None:
        """Forget what was to be painted; the open step stays open."""
        self._steps = deque(_Step() for _ in range(self.open))

    def strokes(self) -> Iterator[Stroke]:
        """Yield what is still to be painted, each stroke once, in order."""
        for step in self._steps:
            yield from {id(stroke): stroke for strokes in step.todo.values() for stroke in strokes}.values()
