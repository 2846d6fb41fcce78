"""Tiles of the live model, read as boxes of any level."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.geometry import Region, grid_shape
from napari_pathseg.ui.layers import live_tiles
from napari_pathseg.ui.layers.live_tiles import LiveTiles, Tile, above_threshold

SIDE = 64
regions = st.builds(
    lambda row, column, height, width: Region(8 * row, 8 * column, 8 * height, 8 * width).clip((SIDE, SIDE)),
    *[st.integers(0, 7)] * 2,
    *[st.integers(1, 4)] * 2,
)
views = st.builds(Region, st.integers(0, 30), st.integers(0, 30), st.integers(1, 34), st.integers(1, 34))


def tile(region, step=1, fit=1, value=2):
    shape = grid_shape((region.height, region.width), step)
    return Tile(region, step, fit, np.full((2, *shape), value, np.uint8))


@given(st.lists(st.tuples(regions, st.sampled_from([1, 2, 4])), max_size=12), views, st.integers(0, 2))
def test_newest_tile_is_read_at_each_pixel_of_any_level(placed, view, level):
    tiles, expected = LiveTiles(), np.zeros((2, SIDE, SIDE), np.uint8)
    for number, (region, step) in enumerate(placed, 1):
        tiles.add(tile(region, step, fit=number, value=number))
        expected[:, *region.slices] = number
    every = 2**level
    view = view.clip((SIDE // every, SIDE // every))
    assert np.array_equal(tiles.read(view, level), expected[:, ::every, ::every][:, *view.slices])


def test_coarser_tile_of_the_same_fit_does_not_replace_a_finer_one():
    tiles, box = LiveTiles(), Region(0, 0, 8, 8)
    tiles.add(tile(box, 1, fit=3, value=7))
    tiles.add(tile(box, 4, fit=3, value=9))
    assert (tiles.read(box, 0) == 7).all()
    tiles.add(tile(box, 4, fit=4, value=9))
    assert (tiles.read(box, 0) == 9).all()


def test_oldest_tiles_go_where_memory_ends(monkeypatch):
    monkeypatch.setattr(live_tiles, "_MAX_BYTES", 3 * 2 * 64)
    tiles = LiveTiles()
    for column in range(5):
        tiles.add(tile(Region(0, 8 * column, 8, 8)))
    assert len(tiles) == 3
    assert (tiles.read(Region(0, 0, 8, 16), 0) == 0).all()
    assert (tiles.read(Region(0, 16, 8, 24), 0) == 2).all()
    tiles.clear()
    assert not tiles.read(Region(0, 0, 40, 40), 0).any()


def test_class_below_the_threshold_is_background_and_what_is_unknown_stays_unknown():
    found = np.array([[[2, 3, 1, 0]], [[230, 120, 20, 0]]], np.uint8)
    assert above_threshold(found, 0.5).tolist() == [[2, 1, 1, 0]]
    assert above_threshold(found, 0.4).tolist() == [[2, 3, 1, 0]]
    assert above_threshold(found, 0.95).tolist() == [[1, 1, 1, 0]]
