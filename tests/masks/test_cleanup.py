"""Each cleanup, done tile by tile, is compared with the plain array operation on the whole mask."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nst
from scipy import ndimage

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, cleanup, edits, open_mask
from napari_pathseg.masks.cleanup import CleanupOptions
from napari_pathseg.masks.morphology import dilate
from napari_pathseg.masks.operations import watched

SHAPE = (37, 45)
WHOLE = Region(0, 0, *SHAPE)
BACKGROUND, TUMOUR, STROMA = 1, 2, 3
SMALL_TILES = CleanupOptions(tile=8)
CORNERS = np.ones((3, 3))


def run(mask, operation):
    """Apply an operation to a mask; without one, return it."""
    return operation if mask is None else mask.run(operation)


def fill_holes(mask, *args):
    return run(mask, cleanup.fill_holes(*args))


def remove_small_objects(mask, *args):
    return run(mask, cleanup.remove_small_objects(*args))


def smooth(mask, *args):
    return run(mask, cleanup.smooth(*args))


def grow(mask, *args):
    return run(mask, cleanup.grow(*args))


@pytest.fixture(scope="module")
def shared_mask(tmp_path_factory):
    """A mask that each example paints over."""
    with open_mask(tmp_path_factory.mktemp("cleaning") / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        yield mask


@pytest.fixture
def mask(shared_mask):
    edits.paint(shared_mask, WHOLE, blank())
    return shared_mask


def blank():
    return np.zeros(SHAPE, np.uint8)


def labels_of(mask):
    return mask.read(WHOLE)[0]


def painted(shared_mask, labels):
    edits.paint(shared_mask, WHOLE, blank())
    edits.paint(shared_mask, WHOLE, labels)
    return shared_mask


def block(labels, box, label=TUMOUR):
    labels[Region(*box).slices] = label
    return labels


@st.composite
def tissue(draw):
    """Draw four labels, in patches or as noise."""
    seed, blur = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0, 0.7, 1.5, 3]))
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.standard_normal(SHAPE), blur, mode="wrap") for _ in range(4)]
    odds = draw(st.sampled_from([(0, 0, 0, 0), (0, -9, 0, -9), (0, -9, 0.5, 0), (0, -9, -2.5, -1), (-9, 0, 2.5, 0)]))
    scale = np.std(fields[0])
    return np.argmax([field / scale + odd for field, odd in zip(fields, odds, strict=True)], axis=0).astype(np.uint8)


@st.composite
def boxes(draw):
    """The whole mask, or a part of it."""
    if draw(st.booleans()):
        return WHOLE
    top, left = draw(st.integers(0, SHAPE[0] - 1)), draw(st.integers(0, SHAPE[1] - 1))
    return Region(top, left, draw(st.integers(1, SHAPE[0] - top)), draw(st.integers(1, SHAPE[1] - left)))


TILES = st.sampled_from([5, 8, 16, 64])
LOCKED = st.sampled_from([frozenset(), frozenset({BACKGROUND}), frozenset({STROMA, TUMOUR})])
examples = settings(max_examples=60, deadline=None)


def nearest_other(labels):
    """Return for each pixel the nearest label that is not tumour; ties go to the largest."""
    best, chosen = np.full(SHAPE, np.inf), blank()
    for label in np.unique(labels[labels != TUMOUR]):
        away = ndimage.distance_transform_edt(labels != label)
        nearer = away <= best
        best, chosen = np.where(nearer, away, best), np.where(nearer, label, chosen)
    return chosen


def reshaped(labels, now, region, locked):
    """Return the labels with the tumour of a region replaced by `now`."""
    here = np.zeros(SHAPE, bool)
    here[region.slices] = True
    here &= ~np.isin(labels, list(locked))
    new = np.where(here & now, TUMOUR, labels)
    return np.where(here & ~now & (labels == TUMOUR), nearest_other(labels), new)


@given(tissue(), boxes(), TILES, LOCKED, st.sampled_from([None, 1, 6]))
@examples
def test_fill_holes_equals_that_of_the_whole_mask(shared_mask, labels, region, tile, locked, largest):
    mask = painted(shared_mask, labels)
    part = labels[region.slices]
    filled = ndimage.binary_fill_holes(part == TUMOUR) & (part != TUMOUR)
    numbers, _ = ndimage.label(filled)
    small = np.bincount(numbers.ravel()) <= (largest or math.inf)
    small[0] = False
    expected = labels.copy()
    expected[region.slices] = np.where(small[numbers] & ~np.isin(part, list(locked)), TUMOUR, part)
    fill_holes(mask, TUMOUR, region, largest, CleanupOptions(tile=tile, locked=locked))
    np.testing.assert_array_equal(labels_of(mask), expected)


def without_specks(labels, region, smallest):
    """Return the labels without small tumours, one tumour at a time."""
    expected = labels.copy()
    inside = np.zeros(SHAPE, bool)
    inside[region.slices] = True
    numbers, count = ndimage.label((labels == TUMOUR) & inside, CORNERS)
    for number in range(1, count + 1):
        speck = numbers == number
        on_border = speck & ndimage.binary_dilation(~inside, ndimage.generate_binary_structure(2, 1))
        if speck.sum() >= smallest or on_border.any():
            continue
        votes = np.zeros(256, int)
        for rows, columns in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            beside = np.roll(np.pad(speck, 1), (rows, columns), (0, 1))[1:-1, 1:-1] & (labels != TUMOUR)
            votes += np.bincount(labels[beside], minlength=256)
        expected[speck] = max(range(256), key=lambda label: (votes[label], label)) if votes.any() else 0
    return expected


@given(tissue(), boxes(), TILES, st.sampled_from([1, 2, 5, 30, 10_000]))
@examples
def test_remove_small_objects_equals_that_of_the_whole_mask(shared_mask, labels, region, tile, smallest):
    mask = painted(shared_mask, labels)
    remove_small_objects(mask, TUMOUR, region, smallest, CleanupOptions(tile=tile))
    np.testing.assert_array_equal(labels_of(mask), without_specks(labels, region, smallest))


def boxes_of(reach):
    return [np.ones(2 * ((reach + number) // 3) + 1, np.int64) for number in range(3)]


@given(tissue(), boxes(), TILES, LOCKED, st.sampled_from([(1, 1), (2, 2), (3, 3), (5, 6)]))
@examples
def test_smooth_equals_that_of_the_whole_mask(shared_mask, labels, region, tile, locked, size):
    radius, reach = size
    weights = np.pad((labels == TUMOUR).astype(np.int64), reach, mode="edge")
    for kernel in boxes_of(reach):
        for axis in (0, 1):
            weights = ndimage.convolve1d(weights, kernel, axis=axis, mode="constant")
    total = math.prod(len(kernel) for kernel in boxes_of(reach)) ** 2
    now = 2 * weights[reach:-reach, reach:-reach] > total
    mask = painted(shared_mask, labels)
    smooth(mask, TUMOUR, region, radius, CleanupOptions(tile=tile, locked=locked))
    np.testing.assert_array_equal(labels_of(mask), reshaped(labels, now, region, locked))


@given(tissue(), boxes(), TILES, LOCKED, st.sampled_from([-7, -math.sqrt(5), -1, 0, 0.9, 1.5, 4, 11]))
@examples
def test_grow_and_shrink_are_euclidean_over_the_whole_mask(shared_mask, labels, region, tile, locked, by):
    tumour = labels == TUMOUR
    now = tumour
    if by > 0 and tumour.any():
        now = ndimage.distance_transform_edt(~tumour) <= by + 1e-9
    elif by < 0 and not tumour.all():
        now = ndimage.distance_transform_edt(tumour) > -by + 1e-9
    mask = painted(shared_mask, labels)
    grow(mask, TUMOUR, region, by, CleanupOptions(tile=tile, locked=locked))
    np.testing.assert_array_equal(labels_of(mask), reshaped(labels, now, region, locked))


def whole(mask):
    return WHOLE if mask is None else Region(0, 0, *mask.shape)


CLEANUPS = {
    "fill": lambda mask, options: fill_holes(mask, TUMOUR, whole(mask), None, options),
    "specks": lambda mask, options: remove_small_objects(mask, TUMOUR, whole(mask), 10, options),
    "smooth": lambda mask, options: smooth(mask, TUMOUR, whole(mask), 4, options),
    "grow": lambda mask, options: grow(mask, TUMOUR, whole(mask), 2, options),
    "shrink": lambda mask, options: grow(mask, TUMOUR, whole(mask), -2, options),
}
each_cleanup = pytest.mark.parametrize("clean", CLEANUPS.values(), ids=CLEANUPS.keys())


def untidy():
    """Return a tumour with a hole and a spur, and a small object."""
    labels = block(block(blank(), (5, 5, 20, 20)), (10, 10, 4, 4), 0)
    return block(block(labels, (15, 25, 1, 9)), (33, 40, 1, 2))


@each_cleanup
def test_cleanup_is_one_undo_group(mask, clean):
    edits.paint(mask, WHOLE, untidy())
    changed = clean(mask, SMALL_TILES)
    after = labels_of(mask)
    assert not changed.empty
    assert mask.undo() == changed
    np.testing.assert_array_equal(labels_of(mask), untidy())
    mask.redo()
    np.testing.assert_array_equal(labels_of(mask), after)


@each_cleanup
def test_cleanup_returns_the_box_that_changed(mask, clean):
    edits.paint(mask, WHOLE, untidy())
    changed = clean(mask, SMALL_TILES)
    rows, columns = np.nonzero(labels_of(mask) != untidy())
    assert (changed.top, changed.bottom) == (rows.min(), rows.max() + 1)
    assert (changed.left, changed.right) == (columns.min(), columns.max() + 1)


@each_cleanup
def test_cleanup_keeps_a_models_provenance_where_nothing_changes(tmp_path, clean):
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        edits.fill_from_model(mask, WHOLE, untidy())
        clean(mask, SMALL_TILES)
        labels, provenance = mask.read(WHOLE)
        same = labels == untidy()
        assert set(np.unique(provenance[same])) <= {Provenance.NONE, Provenance.MODEL}
        assert set(np.unique(provenance[~same])) <= {Provenance.DRAWN, Provenance.CORRECTED}
        assert not same.all()


@each_cleanup
def test_cancelled_cleanup_is_undone(mask, clean):
    edits.paint(mask, WHOLE, untidy())
    fractions, ended = [], []
    mask.enqueue(watched(clean(None, SMALL_TILES), ended.append))
    while mask.operations.running is not None and mask.operations.fraction_done < 0.8:
        mask.process_pending(0)
        fractions.append(mask.operations.fraction_done)
    assert fractions == sorted(fractions)
    assert 0.8 <= fractions[-1] < 1
    mask.cancel()
    mask.apply_pending()
    np.testing.assert_array_equal(labels_of(mask), untidy())
    assert ended == [False]


@each_cleanup
def test_cleanup_progress_ends_at_one(mask, clean):
    edits.paint(mask, WHOLE, untidy())
    steps = list(clean(None, SMALL_TILES).steps(mask))
    assert len(steps) > 9
    assert steps[-1].fraction_done == 1


@each_cleanup
def test_cleanup_leaves_an_empty_mask_empty(mask, clean):
    assert clean(mask, SMALL_TILES).empty


def test_cleanup_outside_the_slide_changes_nothing(mask):
    edits.paint(mask, WHOLE, untidy())
    assert fill_holes(mask, TUMOUR, Region(50, 50, 9, 9)).empty
    assert remove_small_objects(mask, TUMOUR, Region(50, 50, 9, 9), 5).empty
    assert grow(mask, TUMOUR, Region(50, 50, 9, 9), 5).empty


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """A mask with a ring of tumour around an empty square, and where its labels lie."""
    sides = [Region(480, 480, 9, 600), Region(1071, 480, 9, 600), Region(480, 480, 600, 9), Region(480, 1071, 600, 9)]
    boxes = [*sides, Region(1200, 1200, 3, 3)]
    with open_mask(tmp_path_factory.mktemp("slide") / "m.zarr", (1300, 1700), DEFAULT_CLASSES) as mask:
        for box in boxes:
            edits.paint(mask, box, np.full((box.height, box.width), TUMOUR, np.uint8))
        mask.end_undo_group()
        yield mask, lambda region: (box.intersect(region) for box in boxes if not box.intersect(region).empty)


@each_cleanup
def test_cleanup_that_skips_empty_chunks_has_the_same_result(slide, clean):
    mask, touched = slide
    before = mask.read(whole(mask))[0]
    results = []
    for options in (CleanupOptions(tile=512, nonempty=touched), CleanupOptions()):
        clean(mask, options)
        results.append(mask.read(whole(mask))[0])
        mask.undo()
    np.testing.assert_array_equal(*results)
    assert (results[0] != before).any()


def test_hole_larger_than_a_tile_is_filled(mask):
    edits.paint(mask, WHOLE, block(block(blank(), (2, 2, 33, 41)), (3, 3, 31, 39), 0))

    fill_holes(mask, TUMOUR, WHOLE, None, SMALL_TILES)
    np.testing.assert_array_equal(labels_of(mask), block(blank(), (2, 2, 33, 41)))


def test_gap_at_the_edge_of_the_slide_is_not_a_hole(mask):
    edits.paint(mask, WHOLE, block(block(blank(), (0, 0, 20, 20)), (0, 5, 5, 5), 0))
    assert fill_holes(mask, TUMOUR, WHOLE).empty


def test_object_that_continues_outside_the_region_is_kept(mask):
    edits.paint(mask, WHOLE, block(blank(), (0, 0, 20, 20)))
    assert remove_small_objects(mask, TUMOUR, Region(18, 18, 10, 10), 50).empty


def test_small_object_takes_the_label_around_it(mask):
    labels = block(block(blank(), (0, 0, 37, 20), STROMA), (10, 10, 2, 2))
    edits.paint(mask, WHOLE, labels)
    remove_small_objects(mask, TUMOUR, WHOLE, 5, SMALL_TILES)
    np.testing.assert_array_equal(labels_of(mask), block(blank(), (0, 0, 37, 20), STROMA))


def test_object_of_exactly_the_smallest_area_is_kept(mask):
    edits.paint(mask, WHOLE, block(blank(), (7, 7, 2, 2)))
    assert remove_small_objects(mask, TUMOUR, WHOLE, 4, SMALL_TILES).empty


def test_locked_class_keeps_its_small_objects(mask):
    edits.paint(mask, WHOLE, untidy())
    assert remove_small_objects(mask, TUMOUR, WHOLE, 5, CleanupOptions(locked=frozenset({TUMOUR}))).empty


def test_grow_stops_at_a_locked_class(mask):
    labels = block(block(blank(), (5, 5, 10, 10)), (5, 16, 10, 10), STROMA)
    edits.paint(mask, WHOLE, labels)
    grow(mask, TUMOUR, WHOLE, 3, CleanupOptions(tile=8, locked=frozenset({STROMA})))
    np.testing.assert_array_equal(labels_of(mask) == STROMA, labels == STROMA)
    assert labels_of(mask)[10, 15] == TUMOUR


def test_shrink_keeps_the_outline_at_the_edge_of_the_slide(mask):
    edits.paint(mask, WHOLE, block(blank(), (0, 0, 37, 20)))
    grow(mask, TUMOUR, WHOLE, -3, SMALL_TILES)
    np.testing.assert_array_equal(labels_of(mask), block(blank(), (0, 0, 37, 17)))


def test_smooth_removes_a_spur_and_keeps_a_straight_edge(mask):
    edits.paint(mask, WHOLE, block(block(blank(), (0, 0, 37, 20)), (30, 20, 1, 9)))
    smooth(mask, TUMOUR, WHOLE, 4, SMALL_TILES)
    assert not labels_of(mask)[:, 21:].any()
    np.testing.assert_array_equal(labels_of(mask)[:25], block(blank(), (0, 0, 37, 20))[:25])


@given(nst.arrays(bool, (5, 60)), st.integers(254, 270))
@settings(max_examples=5, deadline=None)
def test_grow_by_more_than_255_pixels_is_exact(inside, by):
    inside[4, 30] = True
    expected = ndimage.distance_transform_edt(~np.pad(inside, by)) <= by
    np.testing.assert_array_equal(dilate(np.pad(inside, 2 * by), by * by), expected)
