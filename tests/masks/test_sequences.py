import os
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mask_helpers import fill, open_or_create, read_all

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.masks import label_rules as rules
from napari_pathseg.masks import mask as mask_module
from napari_pathseg.masks.operations import MaskOperation, OperationStep
from napari_pathseg.masks.provenance import Provenance, count
from napari_pathseg.masks.pyramid import downsample_mode2x
from napari_pathseg.masks.shapes import BitmapShape, BrushSegment, PolygonShape
from napari_pathseg.masks.stroke_queue import Brush, Stroke

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much

SHAPE = (540, 700)
WHOLE = Region(0, 0, *SHAPE)
opened = partial(open_or_create, shape=SHAPE, coarsest=256)


class PlainMask:
    """The reference model of a mask: two arrays, and copies of them for undo."""

    def __init__(self):
        self.pixels = np.zeros((2, *SHAPE), np.uint8)
        self.undo_stack, self.redo_stack = [], []
        self.before = None  # the pixels before the open undo group
        self.brush = None  # of the strokes in it

    def edit(self, after):
        if (after != self.pixels).any():
            self.before = self.pixels if self.before is None else self.before
            self.pixels = after

    def stroke(self, stroke):
        flags = stroke.shape.flags(WHOLE)
        if flags is not None:
            if stroke.brush.replace_only is not None:
                flags &= self.pixels[0] == stroke.brush.replace_only
            wanted = np.where(flags, np.uint8(stroke.brush.label), self.pixels[0])
            self.edit(rules.apply_paint(self.pixels, wanted, flags, stroke.brush.locked))

    def end_undo_group(self):
        if self.before is not None:
            self.undo_stack.append(self.before)
            self.redo_stack.clear()
            self.before = None
        self.brush = None

    def move(self, source, target):
        self.end_undo_group()
        if source:
            target.append(self.pixels)
            self.pixels = source.pop()


# -- random actions

ACTIONS = ["process_pending"] * 6 + ["end_undo_group"] * 2 + ["undo"] * 2 + ["enqueue_undo"] * 2
ACTIONS += [
    "redo",
    "enqueue_redo",
    "operation",
    "operation",
    "cancelled_operation",
    "flush",
    "reopen",
    "kill",
    "kill",
    "check",
]


def some_shape(rng):
    start, end = ([rng.uniform(-40, size + 40) for size in SHAPE] for _ in range(2))
    kind = rng.random()
    if kind < 0.6:
        return BrushSegment(tuple(start), tuple(end), float(rng.choice([0.5, 3, 40.25, 300])))
    if kind < 0.8:  # an outline with a hole
        size = rng.integers(5, 400)
        square = np.array([[0, 0], [0, size], [size, size], [size, 0]], float) + start
        return PolygonShape([square, square * 0.5 + square.mean(axis=0) * 0.5])
    downsample = int(rng.choice([1, 2, 4]))
    place = Region(int(rng.integers(100)), int(rng.integers(150)), 40, 50)
    return BitmapShape(rng.random((40, 50)) < 0.4, place, downsample)


def some_action(rng):
    kind = rng.random()
    if kind < 0.4:
        only = None if rng.random() < 0.6 else int(rng.integers(3))
        locked = frozenset({2}) if rng.random() < 0.2 else frozenset()
        return Stroke(some_shape(rng), Brush(int(rng.integers(4)), only, locked))
    if kind < 0.5:
        (top, left), label = (int(rng.integers(size)) for size in SHAPE), int(rng.integers(3))
        box = Region(top, left, int(rng.integers(1, 300)), int(rng.integers(1, 400))).clip(SHAPE)
        return box, label, rng.choice([Provenance.MODEL, Provenance.DRAWN]) if label else Provenance.NONE
    return str(rng.choice(ACTIONS))


def plus_one(labels):
    """Return each label plus one, modulo 4."""
    return (labels + 1) % 4


def add_one_to_labels(mask):
    for tile in layout(WHOLE, 400):
        labels, provenance = mask.read(tile)
        yield OperationStep(mask.edit(tile, plus_one(labels), provenance), 0.5)


def fail_half_way(mask):
    yield OperationStep(fill(mask, Region(0, 0, 20, 20), 1), 0.5)
    raise ProjectError("The disk is full.")


class Comparison:
    """A mask and its reference model, which perform the same actions."""

    def __init__(self, path):
        self.path = path
        self.mask, self.plain = opened(path), PlainMask()

    def perform(self, action):
        if isinstance(action, Stroke):
            self._stroke(action)
        elif isinstance(action, tuple):
            region, label, provenance = action
            fill(self.mask, region, label, provenance)
            after = self.plain.pixels.copy()
            after[:, *region.slices] = np.array([label, provenance], np.uint8)[:, None, None]
            self.plain.edit(after)
            self.plain.brush = None
        else:
            getattr(self, f"_{action}")()

    def _stroke(self, stroke):
        # Strokes of one brush may be painted together or one by one.
        if self.plain.brush != stroke.brush:
            self._end_undo_group()
        self.plain.brush = stroke.brush
        self.mask.add_stroke(stroke)
        self.plain.stroke(stroke)

    def _process_pending(self):
        self.mask.process_pending(0)

    def _end_undo_group(self):
        self.mask.end_undo_group()
        self.plain.end_undo_group()

    def _undo(self):
        self.mask.undo()
        self.plain.move(self.plain.undo_stack, self.plain.redo_stack)

    def _redo(self):
        self.mask.redo()
        self.plain.move(self.plain.redo_stack, self.plain.undo_stack)

    def _enqueue_undo(self):
        self.mask.enqueue_undo()
        self.plain.move(self.plain.undo_stack, self.plain.redo_stack)

    def _enqueue_redo(self):
        self.mask.enqueue_redo()
        self.plain.move(self.plain.redo_stack, self.plain.undo_stack)

    def _operation(self):
        self.mask.enqueue(MaskOperation("Counting", add_one_to_labels))
        self.plain.end_undo_group()
        self.plain.edit(np.stack([plus_one(self.plain.pixels[0]), self.plain.pixels[1]]))
        self.plain.end_undo_group()

    def _cancelled_operation(self):
        """The finished steps of a cancelled operation can be redone."""
        self.mask.apply_pending()
        self._operation()
        self.mask.process_pending(0)
        self.mask.cancel()
        part = read_all(self.mask)
        self.plain.move(self.plain.undo_stack, self.plain.redo_stack)
        assert (part == self.plain.pixels).all()
        self.mask.redo()
        self.plain.move(self.plain.redo_stack, self.plain.undo_stack)
        self.plain.pixels = read_all(self.mask)

    def _flush(self):
        self.mask.flush()

    def _reopen(self):
        self.mask.close()
        self._open_again()

    def _kill(self):
        operations = self.mask.operations
        while operations.has_queued or (operations.running is not None and operations.running.can_be_cancelled):
            self.mask.process_pending(0)  # a kill loses operations that wait; a test below kills one half-way
        self.mask.abandon()
        self._open_again()

    def _open_again(self):
        self.mask = opened(self.path)
        self.plain.end_undo_group()
        self._check()

    def _check(self):
        assert (read_all(self.mask) == self.plain.pixels).all()
        assert (self.mask.counts == count(*self.plain.pixels)).all()
        level = self.plain.pixels
        for number, shape in enumerate(self.mask.shapes[1:], 1):
            level = downsample_mode2x(level)
            assert (self.mask.preview(Region(0, 0, *shape), number) == level).all()


@settings(max_examples=25 * FUZZ, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_mask_equals_plain_arrays_after_random_actions_and_kills(tmp_path_factory, seed, number):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_module, "_MAX_UNSAVED_BYTES", 64 << 20 if seed % 2 else 3_000)  # it saves in between, too
        comparison, rng = Comparison(tmp_path_factory.mktemp("mask") / "m.zarr"), np.random.default_rng(seed)
        for _ in range(number):
            comparison.perform(some_action(rng))
        comparison.perform("kill")
        while comparison.plain.undo_stack:
            comparison.perform("undo")
            assert (read_all(comparison.mask) == comparison.plain.pixels).all()
        assert comparison.mask.undo().empty
        while comparison.plain.redo_stack:
            comparison.perform("redo")
        comparison.perform("reopen")
        comparison.mask.close()


def test_killed_operation_is_one_undo_group_and_a_later_stroke_another(tmp_path):
    mask = opened(tmp_path / "m.zarr")
    mask.enqueue(MaskOperation("Counting", add_one_to_labels))
    mask.process_pending(0)
    mask.add_stroke(Stroke(BrushSegment((500, 600), (500, 690), 20), Brush(2)))
    mask.end_undo_group()
    mask.process_pending(0)
    mask.abandon()
    mask = opened(tmp_path / "m.zarr")
    labels = read_all(mask)[0]
    assert labels[0, 0] == 1
    assert labels[500, 650] == 2
    assert labels[530, 30] == 0  # the operation's third tile
    mask.undo()
    assert (read_all(mask)[0, :400] == 1).all()
    assert not read_all(mask)[0, 400:].any()
    mask.undo()
    assert not read_all(mask).any()
    assert mask.undo().empty
    mask.close()


def test_failed_operation_ends_and_is_one_undo_group(tmp_path):
    with opened(tmp_path / "m.zarr") as mask:
        mask.enqueue(MaskOperation("Failing", fail_half_way))
        with pytest.raises(ProjectError, match="full"):
            mask.apply_pending()
        assert not mask.has_pending
        mask.add_stroke(Stroke(BrushSegment((100, 100), (100, 100), 5), Brush(2)))
        mask.end_undo_group()
        mask.undo()
        assert read_all(mask)[0].any()
        mask.undo()
        assert not read_all(mask).any()


def stroke(mask, row, label=2):
    mask.add_stroke(Stroke(BrushSegment((row, 100.0), (row, 300.0), 20), Brush(label)))
    mask.end_undo_group()


@pytest.mark.parametrize("steps", [1, 3])
def test_stroke_added_during_a_cancel_survives_a_kill(tmp_path, steps):
    mask = opened(tmp_path / "m.zarr")
    mask.enqueue(MaskOperation("Counting", add_one_to_labels))
    for _ in range(steps):
        mask.process_pending(0)
    stroke(mask, 200.0)
    mask.cancel()
    mask.abandon()
    with opened(tmp_path / "m.zarr") as mask:
        labels = read_all(mask)[0]
        assert (labels[200, 100:300] == 2).all()
        assert labels[0, 0] == 0
        mask.undo()
        assert not read_all(mask)[0].any()


def test_strokes_outside_the_mask_block_nothing(tmp_path):
    with opened(tmp_path / "m.zarr") as mask:
        mask.enqueue(MaskOperation("Counting", add_one_to_labels))
        stroke(mask, -500.0)
        stroke(mask, 200.0)
        mask.cancel()
        assert read_all(mask)[0, 200, 200] == 2


def test_stroke_added_during_a_pending_undo_is_applied_after_it(tmp_path):
    mask = opened(tmp_path / "m.zarr")
    mask.enqueue(MaskOperation("Counting", add_one_to_labels))
    mask.enqueue_undo()
    stroke(mask, 200.0)
    assert mask.has_pending
    assert mask.operations.has_queued  # neither call has waited for it
    mask.apply_pending()
    expected = BrushSegment((200.0, 100.0), (200.0, 300.0), 20).flags(WHOLE)
    assert (read_all(mask)[0] == np.where(expected, 2, 0)).all()
    mask.abandon()
    with opened(tmp_path / "m.zarr") as mask:
        assert (read_all(mask)[0] == np.where(expected, 2, 0)).all()


def test_pop_changed_covers_all_pending_work_though_the_last_operation_fails(tmp_path):
    with opened(tmp_path / "m.zarr") as mask:
        stroke(mask, 200.0)
        with pytest.raises(ProjectError):
            mask.run(MaskOperation("Failing", fail_half_way))
        changed = mask.pop_changed()
        assert changed.intersect(Region(0, 0, 20, 20)) == Region(0, 0, 20, 20)
        assert changed.bottom > 200
