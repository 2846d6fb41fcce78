"""The wand takes what is alike, stops at edges, and never gives back while one drags."""

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
def test_a_drag_along_a_gland_takes_the_gland(gland, grey):
    picture, inside = gland
    wand = Wand(picture.mean(axis=2).astype(np.uint8) if grey else picture)
    grown = drag(wand, [(row, column) for row in range(100, 201, 20) for column in (165, 190, 215)])
    assert overlap(grown, inside) >= 0.8


def test_texture_alone_tells_two_regions_of_the_same_mean_apart():
    rng = np.random.default_rng(0)
    picture = np.full((200, 200), 128, np.uint8)
    rough = np.zeros((200, 200), bool)
    rough[:, 100:] = True
    picture[rough] = rng.choice([88, 168], int(rough.sum()))
    picture[~rough] += rng.integers(0, 3, int((~rough).sum())).astype(np.uint8)
    grown = drag(Wand(picture), [(100, 60)], reach=80)
    assert (grown & rough)[:, 106:].sum() == 0
    assert grown[60:140, 30:90].mean() > 0.9


def test_the_wand_stops_at_an_edge_and_takes_all_before_it():
    picture = np.full((200, 200, 3), (230, 190, 215), np.uint8)
    picture[:, 120:] = (120, 80, 160)
    grown = drag(Wand(picture), [(100, 80)], reach=60)
    assert not grown[:, 126:].any()
    circle = np.hypot(*np.ogrid[-100:100, -80:120]) <= 60
    assert grown[:, :112][circle[:, :112]].all()


def test_what_is_like_it_but_not_connected_to_it_is_left():
    picture = np.full((200, 200), 200, np.uint8)
    picture[:, 90:110] = 40
    assert not drag(Wand(picture), [(100, 50)], reach=90)[:, 110:].any()


def test_small_holes_are_closed():
    picture = np.full((200, 200), 200, np.uint8)
    picture[95:107, 120:132] = 20
    grown = drag(Wand(picture), [(100, 80)])
    assert grown[90:112, 115:137].all()


def test_flat_glass_is_taken_up_to_the_reach_in_spite_of_noise():
    noise = np.random.default_rng(0).integers(238, 246, (200, 200, 3)).astype(np.uint8)
    grown = drag(Wand(noise), [(100, 100)], reach=60)
    assert grown.sum() == pytest.approx(np.pi * 60**2, rel=0.02)
    assert not grown[np.hypot(*np.ogrid[-100:100, -100:100]) > 60].any()


def test_the_answer_is_what_has_been_taken_in_a_box_around_the_cursor(gland):
    wand = Wand(gland[0])
    wand.grow(130, 190, 40)
    region, flags = wand.grow(160, 200, 40)
    assert region == Region(120, 160, 81, 81)
    assert np.array_equal(flags, wand.grown[region.slices])


def test_another_drag_begins_with_nothing(gland):
    wand = Wand(gland[0])
    first = drag(wand, [(150, 190)]).copy()
    wand.grow(40, 40, 75)
    wand.begin()
    assert not wand.grown.any()
    assert np.array_equal(drag(wand, [(150, 190)]), first)


def test_a_pickier_wand_takes_less(gland):
    taken = [drag(Wand(gland[0], WandConfig(sensitivity=s)), [(150, 190)]).sum() for s in (1, 1.5, 3, 6)]
    assert taken == sorted(taken, reverse=True)
    assert taken[0] > 2 * taken[-1] > 0


def test_a_sensitivity_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="sensitivity is 0; it must lie between"):
        WandConfig(sensitivity=0)


positions = st.lists(st.tuples(st.integers(-20, 319), st.integers(-20, 419)), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(positions, st.integers(1, 120))
def test_a_drag_only_ever_grows_and_only_near_the_cursor(gland, positions, reach):
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
def test_where_the_cursor_came_from_does_not_change_what_it_takes(gland, position):
    first, second = Wand(gland[0]), Wand(gland[0])
    first.grow(10, 390, 120)
    first.grow(290, 10, 90)
    first.begin()
    assert np.array_equal(drag(first, [position]), drag(second, [position]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (7, 3, 3)])
def test_tiny_windows_are_taken_whole(shape):
    assert drag(Wand(np.full(shape, 90, np.uint8)), [(0, 0)]).all()


@pytest.mark.shared_data
def test_drags_inside_real_glands_stay_there(real_glands):
    rng = np.random.default_rng(0)
    kept, taken = [], []
    for picture, mask in real_glands:
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        points = np.argwhere(depth > 15)
        wand = Wand(picture)
        for start in rng.choice(points, 2):
            wand.begin()
            near = points[np.hypot(*(points - start).T) < 60]
            grown = drag(wand, rng.choice(near, 8))
            kept.append((grown & mask).sum() / grown.sum())
            taken.append(grown.sum())
    assert np.mean(kept) >= 0.96
    assert np.mean(taken) >= 6000
