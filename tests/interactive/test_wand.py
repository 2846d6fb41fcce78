"""The wand selects similar pixels, stops at edges, and never deselects during a drag."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region
from napari_pathseg.interactive import Wand, WandConfig


def overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


def drag(wand, positions, reach=75):
    for position in positions:
        wand.grow(*position, reach)
    return wand.grown


@pytest.mark.parametrize("grey", [False, True])
def test_drag_along_a_gland_selects_the_gland(gland, grey):
    image, inside = gland
    wand = Wand(image.mean(axis=2).astype(np.uint8) if grey else image)
    grown = drag(wand, [(row, column) for row in range(100, 201, 20) for column in (165, 190, 215)])
    assert overlap(grown, inside) >= 0.8


def test_texture_alone_separates_regions_of_the_same_mean():
    rng = np.random.default_rng(0)
    image = np.full((200, 200), 128, np.uint8)
    rough = np.zeros((200, 200), bool)
    rough[:, 100:] = True
    image[rough] = rng.choice([88, 168], int(rough.sum()))
    image[~rough] += rng.integers(0, 3, int((~rough).sum())).astype(np.uint8)
    grown = drag(Wand(image), [(100, 60)], reach=80)
    assert (grown & rough)[:, 106:].sum() == 0
    assert grown[60:140, 30:90].mean() > 0.9


def test_wand_selects_everything_up_to_an_edge():
    image = np.full((200, 200, 3), (230, 190, 215), np.uint8)
    image[:, 120:] = (120, 80, 160)
    grown = drag(Wand(image), [(100, 80)], reach=60)
    assert not grown[:, 126:].any()
    circle = np.hypot(*np.ogrid[-100:100, -80:120]) <= 60
    assert grown[:, :112][circle[:, :112]].all()


def test_similar_region_that_is_not_connected_is_not_selected():
    image = np.full((200, 200), 200, np.uint8)
    image[:, 90:110] = 40
    assert not drag(Wand(image), [(100, 50)], reach=90)[:, 110:].any()


@given(st.lists(st.floats(1.0, 8.0), min_size=2, max_size=5))
@settings(max_examples=20, deadline=None)
def test_higher_tolerance_selects_no_less(tolerances):
    image = (np.hypot(*np.ogrid[-60:60, -60:60]) * 3).clip(0, 255).astype(np.uint8)
    sizes = []
    for tolerance in sorted(tolerances):
        wand = Wand(image)
        wand.grow(60, 60, 50, tolerance)
        sizes.append(int(wand.grown.sum()))
    assert sizes == sorted(sizes)


def test_small_holes_are_filled():
    image = np.full((200, 200), 200, np.uint8)
    image[95:107, 120:132] = 20
    grown = drag(Wand(image), [(100, 80)])
    assert grown[90:112, 115:137].all()


def test_noisy_glass_is_selected_up_to_the_reach():
    noise = np.random.default_rng(0).integers(238, 246, (200, 200, 3)).astype(np.uint8)
    grown = drag(Wand(noise), [(100, 100)], reach=60)
    assert grown.sum() == pytest.approx(np.pi * 60**2, rel=0.02)
    assert not grown[np.hypot(*np.ogrid[-100:100, -100:100]) > 60].any()


def test_grow_returns_the_selection_in_a_box_around_the_cursor(gland):
    wand = Wand(gland[0])
    wand.grow(130, 190, 40)
    region, flags = wand.grow(160, 200, 40)
    assert region == Region(120, 160, 81, 81)
    assert np.array_equal(flags, wand.grown[region.slices])


def test_next_drag_starts_with_an_empty_selection(gland):
    wand = Wand(gland[0])
    first = drag(wand, [(150, 190)]).copy()
    wand.grow(40, 40, 75)
    wand.begin()
    assert not wand.grown.any()
    assert np.array_equal(drag(wand, [(150, 190)]), first)


def test_more_sensitive_wand_selects_less(gland):
    selected = [drag(Wand(gland[0], WandConfig(sensitivity=s)), [(150, 190)]).sum() for s in (1, 1.5, 3, 6)]
    assert selected == sorted(selected, reverse=True)
    assert selected[0] > 2 * selected[-1] > 0


def test_sensitivity_of_zero_is_refused():
    with pytest.raises(ConfigError, match="sensitivity is 0; it must lie between"):
        WandConfig(sensitivity=0)


positions = st.lists(st.tuples(st.integers(-20, 319), st.integers(-20, 419)), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(positions, st.integers(1, 120))
def test_drag_only_adds_pixels_and_only_near_the_cursor(gland, positions, reach):
    wand = Wand(gland[0])
    for row, column in positions:
        before = wand.grown.copy()
        region, _ = wand.grow(row, column, reach)
        assert wand.grown[before].all()
        added = wand.grown & ~before
        added[region.slices] = False
        assert not added.any()


@settings(max_examples=15, deadline=None)
@given(st.tuples(st.integers(0, 299), st.integers(0, 399)))
def test_selection_does_not_depend_on_earlier_drags(gland, position):
    first, second = Wand(gland[0]), Wand(gland[0])
    first.grow(10, 390, 120)
    first.grow(290, 10, 90)
    first.begin()
    assert np.array_equal(drag(first, [position]), drag(second, [position]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (7, 3, 3)])
def test_tiny_image_is_selected_whole(shape):
    assert drag(Wand(np.full(shape, 90, np.uint8)), [(0, 0)]).all()


@pytest.mark.shared_data
def test_drags_inside_real_glands_stay_inside(real_glands):
    rng = np.random.default_rng(0)
    precision, selected = [], []
    for image, mask in real_glands:
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        points = np.argwhere(depth > 15)
        wand = Wand(image)
        for start in rng.choice(points, 2):
            wand.begin()
            near = points[np.hypot(*(points - start).T) < 60]
            grown = drag(wand, rng.choice(near, 8))
            precision.append((grown & mask).sum() / grown.sum())
            selected.append(grown.sum())
    assert np.mean(precision) >= 0.96
    assert np.mean(selected) >= 6000
