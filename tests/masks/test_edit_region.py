"""An edit of a region changes nothing outside it, and is one undo group."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, cleanup, edits, open_mask
from napari_pathseg.masks.cleanup import CleanupOptions
from napari_pathseg.masks.shapes import EditRegion, PolygonShape, resolve_region
from napari_pathseg.masks.stroke_queue import Brush

SHAPE = (60, 70)
WHOLE = Region(0, 0, *SHAPE)
TUMOUR, STROMA = 2, 3
TRIANGLES = (
    PolygonShape([np.array([[5.0, 5], [5, 60], [50, 20]])]),
    PolygonShape([np.array([[40.0, 50], [55, 60], [58, 45]])]),
)


def fill_holes(mask, *args):
    return mask.run(cleanup.fill_holes(*args))


def remove_small_objects(mask, *args):
    return mask.run(cleanup.remove_small_objects(*args))


def smooth(mask, *args):
    return mask.run(cleanup.smooth(*args))


def grow(mask, *args):
    return mask.run(cleanup.grow(*args))


@pytest.fixture
def mask(tmp_path):
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        yield mask


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.uint8)


def inside(shapes):
    flags = np.zeros(SHAPE, bool)
    for shape in shapes:
        flags |= shape.flags(WHOLE)
    return flags


def clean_all_ways(mask, region, options):
    fill_holes(mask, TUMOUR, region, None, options)
    remove_small_objects(mask, TUMOUR, region, 9, options)
    smooth(mask, TUMOUR, region, 3, options)
    grow(mask, TUMOUR, region, 2, options)
    grow(mask, STROMA, region, -1, options)


@pytest.mark.parametrize("tile", [16, 64])
def test_cleanup_in_outlines_equals_that_of_their_box_inside_them(tmp_path, tile):
    place = resolve_region(TRIANGLES, SHAPE)
    for operation in (
        lambda mask, options: fill_holes(mask, TUMOUR, place.box, None, options),
        lambda mask, options: remove_small_objects(mask, TUMOUR, place.box, 4, options),
        lambda mask, options: smooth(mask, TUMOUR, place.box, 3, options),
        lambda mask, options: grow(mask, TUMOUR, place.box, 2, options),
    ):
        found = []
        for flags in (None, place.inside):
            with open_mask(tmp_path / f"{len(found)}.zarr", SHAPE, DEFAULT_CLASSES) as mask:
                edits.paint(mask, WHOLE, np.zeros(SHAPE, np.uint8))
                edits.paint(mask, WHOLE, noise())
                assert not operation(mask, CleanupOptions(tile=tile, inside=flags)).empty
                found.append(mask.read(WHOLE)[0])
        of_box, of_outlines = found
        np.testing.assert_array_equal(of_outlines, np.where(inside(TRIANGLES), of_box, noise()))


def test_cleanup_in_outlines_is_one_undo_group(mask):
    edits.paint(mask, WHOLE, noise())
    place = resolve_region(TRIANGLES, SHAPE)
    steps = [mask.read(WHOLE)[0]]
    for by in (1, -1, 2):
        grow(mask, TUMOUR, place.box, by, CleanupOptions(tile=16, inside=place.inside))
        steps.append(mask.read(WHOLE)[0])
    for expected in reversed(steps[:-1]):
        mask.undo()
        np.testing.assert_array_equal(mask.read(WHOLE)[0], expected)


def test_accept_and_reject_stay_inside_the_outlines(mask):
    edits.fill_from_model(mask, WHOLE, np.full(SHAPE, TUMOUR, np.uint8))
    first, second = (resolve_region((shape,), SHAPE) for shape in TRIANGLES)
    mask.run(edits.accept(first.box, inside=first.inside))
    mask.run(edits.reject(second.box, inside=second.inside))
    labels, provenance = mask.read(WHOLE)
    np.testing.assert_array_equal(provenance == Provenance.ACCEPTED, inside(TRIANGLES[:1]))
    np.testing.assert_array_equal(labels == 0, inside(TRIANGLES[1:]))


def test_assign_changes_one_class_inside_the_outlines_and_no_locked_pixel(mask):
    edits.paint(mask, WHOLE, noise())
    place = resolve_region(TRIANGLES, SHAPE)
    mask.run(edits.assign(place.box, Brush(1, TUMOUR), place.inside))
    expected = np.where(inside(TRIANGLES) & (noise() == TUMOUR), 1, noise())
    np.testing.assert_array_equal(mask.read(WHOLE)[0], expected)
    mask.run(edits.assign(WHOLE, Brush(TUMOUR, None, frozenset({STROMA}))))
    np.testing.assert_array_equal(mask.read(WHOLE)[0], np.where(np.isin(expected, (1, 2)), TUMOUR, expected))


def test_assign_marks_a_models_pixels_as_corrected(mask):
    edits.fill_from_model(mask, WHOLE, np.full(SHAPE, TUMOUR, np.uint8))
    mask.run(edits.assign(WHOLE, Brush(1, TUMOUR)))
    labels, provenance = mask.read(WHOLE)
    assert (labels == 1).all()
    assert (provenance == Provenance.CORRECTED).all()
    mask.undo()
    assert (mask.read(WHOLE)[1] == Provenance.MODEL).all()


@given(st.integers(0, 2**16), st.sampled_from([frozenset({TUMOUR}), frozenset({STROMA}), frozenset({1, 3})]))
@settings(max_examples=8, deadline=None)
def test_locked_class_is_changed_by_no_edit(tmp_path_factory, seed, locked):
    labels = noise(seed)
    with open_mask(tmp_path_factory.mktemp("locked") / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        edits.fill_from_model(mask, WHOLE, labels)
        kept = np.isin(labels, list(locked))
        clean_all_ways(mask, WHOLE, CleanupOptions(locked=locked))
        mask.run(edits.assign(WHOLE, Brush(1, None, locked)))
        edits.paint(mask, WHOLE, np.full(SHAPE, 2, np.uint8), np.ones(SHAPE, bool), locked)
        mask.run(edits.reject(WHOLE, locked))
        after, provenance = mask.read(WHOLE)
        np.testing.assert_array_equal(after[kept], labels[kept])
        assert (provenance[kept] == Provenance.MODEL).all()


def test_edit_region_without_shapes_is_its_box():
    assert EditRegion(WHOLE).inside is None
