import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, open_mask
from napari_pathseg.masks import label_rules as rules
from napari_pathseg.masks.shapes import BitmapShape, BrushSegment, PolygonShape
from napari_pathseg.masks.stroke_queue import Brush, Stroke, StrokeQueue, paint_all, stroke_from
from napari_pathseg.masks.zarr_store import create_store

SHAPE = (1100, 1300)
WHOLE = Region(0, 0, *SHAPE)
TUMOUR = Brush(2)


@pytest.fixture
def mask(tmp_path):
    create_store(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES, coarsest=256)
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        yield mask


def dab(row, column, radius=5.0, brush=TUMOUR):
    return Stroke(BrushSegment((row, column), (row, column), radius), brush)


def put(mask, region, label, provenance):
    size = (region.height, region.width)
    mask.edit(region, np.full(size, label, np.uint8), np.full(size, provenance, np.uint8))
    mask.end_undo_group()


# -- one stroke


def test_stroke_round_trips_through_bytes():
    stroke = dab(3, 4, 5, Brush(7, replace_only=0, locked=frozenset({1, 255})))
    assert stroke_from(stroke.to_bytes()) == stroke


def test_replace_only_limits_what_is_painted_over(mask):
    put(mask, Region(0, 0, 100, 50), 1, Provenance.DRAWN)
    mask.add_stroke(dab(50, 50, 20, Brush(2, replace_only=1)))
    labels, _ = mask.read(Region(0, 0, 100, 100))
    assert (labels[:, :50] == 2).any()
    assert not labels[:, 50:].any()


def test_locked_class_is_not_painted_over(mask):
    put(mask, Region(0, 0, 100, 50), 1, Provenance.DRAWN)
    mask.add_stroke(dab(50, 50, 20, Brush(2, locked=frozenset({1}))))
    labels, _ = mask.read(Region(0, 0, 100, 100))
    assert (labels[:, :50] == 1).all()
    assert (labels[:, 50:] == 2).any()


def test_stroke_over_the_edge_paints_its_inside_part(mask):
    mask.add_stroke(dab(0, 1299, 10))
    mask.add_stroke(dab(-500, -500, 10))
    mask.end_undo_group()
    labels, _ = mask.read(WHOLE)
    assert labels[0, 1299] == 2
    mask.process_pending(1)
    assert mask.pop_changed() == Region(0, 1289, 11, 11)
    assert not mask.has_pending


def test_large_stroke_is_painted_alike_inside_and_at_its_rim():
    pixels = np.zeros((2, 64, 64), np.uint8)
    pixels[:, :, 32:] = np.array([2, Provenance.MODEL])[:, None, None]
    for brush in (Brush(1), Brush(0), Brush(2), Brush(1, replace_only=2), Brush(3, locked=frozenset({2}))):
        for part in (slice(0, 32), slice(32, 64)):  # of one value each
            region = Region(0, part.start, 64, 32)
            large = paint_all([dab(32, 32, 500, brush)], region, pixels[:, :, part])
            assert (large == paint_all([dab(32, 32, 500, brush)], Region(0, 0, 64, 64), pixels)[:, :, part]).all()


# -- many strokes


def test_stroke_is_pending_until_processed_chunk_by_chunk(mask):
    mask.add_stroke(Stroke(BrushSegment((100, 100), (1000, 1200), 50), TUMOUR))
    mask.end_undo_group()
    boxes = []
    while mask.has_pending:
        mask.process_pending(0)
        boxes.append(mask.pop_changed())
    assert 3 <= len(boxes) <= 9
    assert all(box.height <= 512 and box.width <= 512 for box in boxes)
    assert mask.undo().height > 900


def test_reads_and_edits_apply_pending_strokes_first(mask):
    asked = [
        lambda: mask.read(Region(50, 50, 1, 1))[0].any(),
        lambda: mask.counts[2].sum(),
        lambda: list(mask.nonempty_chunks(WHOLE)),
    ]
    for answer in asked:
        mask.add_stroke(dab(50, 50))
        assert answer()
        mask.end_undo_group()
        mask.undo()
        assert not mask.read(Region(50, 50, 1, 1))[0].any()


def test_strokes_are_painted_in_order(mask):
    for label in (1, 2, 3):
        mask.add_stroke(dab(50, 50, 20, Brush(label)))
        mask.end_undo_group()
    assert mask.read(Region(50, 50, 1, 1))[0] == 3
    for label in (2, 1, 0):
        mask.undo()
        assert mask.read(Region(50, 50, 1, 1))[0] == label


def test_queue_ends_its_group_once_every_chunk_is_painted():
    queue = StrokeQueue()
    for stroke in (Stroke(BrushSegment((100, 100), (1000, 1200), 50), TUMOUR), dab(10, 10), dab(600, 600)):
        queue.add(stroke, SHAPE)
    while (chunk := queue.next()) is not None:
        queue.mark_applied(chunk[0])
    assert not queue.has_pending
    assert queue.has_open_group
    queue.end_undo_group()
    assert queue.first_group_is_applied


def test_read_only_mask_accepts_no_stroke(tmp_path):
    from napari_pathseg.masks import open_mask_readonly

    open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES).close()
    with open_mask_readonly(tmp_path / "m.zarr", SHAPE) as mask, pytest.raises(ProjectError, match="open read-only"):
        mask.add_stroke(dab(5, 5))


# -- what is shown before it is painted


def near_an_edge(pixels):
    """Return which pixels have a different one within two pixels."""
    window = (1, 5, 5)
    return (ndimage.minimum_filter(pixels, window) != ndimage.maximum_filter(pixels, window)).any(axis=0)


def some_strokes(rng):
    start, end = ([rng.uniform(-40, size + 40) for size in SHAPE] for _ in range(2))
    square = np.array([[0, 0], [0, 400], [400, 400], [400, 0]], float) + start
    area = BitmapShape(rng.random((20, 20)) < 0.5, Region(int(rng.integers(10)), int(rng.integers(20)), 20, 20), 32)
    shapes = [
        BrushSegment(tuple(start), tuple(end), float(rng.choice([0.5, 20, 300]))),
        PolygonShape([square, square * 0.5 + square.mean(axis=0) * 0.5]),
        area,
    ]
    for index in rng.permutation(3):
        only = None if rng.random() < 0.6 else int(rng.integers(3))
        yield Stroke(shapes[index], Brush(int(rng.integers(4)), only, frozenset({3} if rng.random() < 0.2 else ())))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_preview_at_each_level_agrees_with_the_painted_result(tmp_path_factory, seed, worked):
    rng, path = np.random.default_rng(seed), tmp_path_factory.mktemp("mask") / "m.zarr"
    create_store(path, SHAPE, DEFAULT_CLASSES, coarsest=256)
    with open_mask(path, SHAPE, DEFAULT_CLASSES) as mask:
        put(mask, Region(0, 0, 1100, 640), 2, Provenance.IMPORTED)
        for stroke in some_strokes(rng):
            mask.add_stroke(stroke)
            mask.end_undo_group()
        for _ in range(worked):
            mask.process_pending(0)
        whole = [Region(0, 0, *shape) for shape in mask.shapes]
        shown = [mask.preview(region, level) for level, region in enumerate(whole)]
        mask.apply_pending()
        painted = [mask.preview(region, level) for level, region in enumerate(whole)]
    assert (shown[0] == painted[0]).all()
    for early, late in zip(shown, painted, strict=True):
        assert (near_an_edge(early) | near_an_edge(late))[(early != late).any(axis=0)].all()


def test_preview_paints_no_stroke_again_where_it_was_applied(mask):
    put(mask, Region(0, 0, *SHAPE), 1, Provenance.DRAWN)
    swap = [Brush(3, replace_only=2), Brush(2, replace_only=1)]  # again would make the painted tumour stroma
    for brush in swap:
        mask.add_stroke(Stroke(BrushSegment((300, 300), (300, 1200), 50), brush))
    mask.end_undo_group()
    mask.process_pending(0)
    assert mask.has_pending
    for level, (rows, columns) in enumerate(mask.shapes):
        labels, _ = mask.preview(Region(0, 0, rows, columns), level)
        assert set(np.unique(labels)) == {1, 2}


def test_preview_shows_a_thin_line_at_every_level(mask):
    mask.add_stroke(Stroke(BrushSegment((100, 10), (900, 1200), 0.5), TUMOUR))
    for level, (rows, columns) in enumerate(mask.shapes):
        labels, _ = mask.preview(Region(0, 0, rows, columns), level)
        crossed = labels[-(-100 // 2**level) + 1 : 900 // 2**level - 1]
        assert crossed.any(axis=1).all()


def test_strokes_follow_the_paint_rule(mask):
    put(mask, Region(0, 0, 60, 60), 2, Provenance.MODEL)
    before = np.stack(mask.read(Region(0, 0, 100, 100)))
    stroke = dab(60, 60, 30, Brush(1))
    mask.add_stroke(stroke)
    flags = stroke.shape.flags(Region(0, 0, 100, 100))
    wanted = rules.apply_paint(before, np.where(flags, np.uint8(1), before[0]), flags)
    assert (np.stack(mask.read(Region(0, 0, 100, 100))) == wanted).all()
