"""Tiles of a prediction, read as boxes of any level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.geometry import Region
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.ui.layers import prediction_tiles
from napari_pathseg.ui.layers.prediction_tiles import PredictionTiles, prediction_levels

SHAPES = [(70, 90), (35, 45), (18, 23)]
WHOLE = Region(0, 0, 70, 90)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A prediction of random probabilities of two classes, and those of the second."""
    tumour = np.random.default_rng(0).integers(0, 256, SHAPES[0]).astype(np.uint8)
    prediction = create_prediction(tmp_path_factory.mktemp("a") / "p.zarr", SHAPES[0], ["Background", "Tumour"])
    prediction.write(WHOLE, np.stack([255 - tumour, tumour]))
    return prediction, tumour


def read_all(tiles):
    while places := tiles.next_wanted():
        tiles.take(tiles.compute(places))


@settings(max_examples=40, deadline=None)
@given(
    level=st.integers(0, 2),
    view=st.builds(Region, st.integers(0, 60), st.integers(0, 80), st.integers(1, 70), st.integers(1, 90)),
)
def test_box_of_any_level_is_every_so_manyth_pixel(stored, level, view):
    prediction, tumour = stored
    region = view.clip(SHAPES[level])
    if region.empty:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction_tiles, "_SIDE", 16)
        tiles = PredictionTiles(prediction, 2, SHAPES)
        data = prediction_levels(tiles)[level]
        assert not data[region.slices].any()
        read_all(tiles)
        assert np.array_equal(data[region.slices], tumour[:: 2**level, :: 2**level][region.slices])


def test_only_what_was_looked_at_is_read_and_kept(stored, monkeypatch):
    monkeypatch.setattr(prediction_tiles, "_SIDE", 16)
    monkeypatch.setattr(prediction_tiles, "_MOST", 3)
    tiles, heard = PredictionTiles(stored[0], 2, SHAPES), []
    tiles.wanted.connect(lambda: heard.append(1))
    tiles.read(Region(0, 0, 10, 10), 0)
    assert tiles.next_wanted() == [(0, Region(0, 0, 16, 16))]
    read_all(tiles)
    assert heard == [1]
    tiles.read(Region(0, 0, 10, 10), 0)
    assert heard == [1]
    tiles.read(WHOLE, 0)
    read_all(tiles)
    assert not tiles.read(Region(0, 0, 10, 10), 0).any() or len(tiles._tiles) <= 3


def test_what_was_looked_at_last_is_read_first(stored, monkeypatch):
    monkeypatch.setattr(prediction_tiles, "_SIDE", 16)
    tiles = PredictionTiles(stored[0], None, SHAPES)
    tiles.read(WHOLE, 0)
    tiles.read(Region(0, 0, 4, 4), 2)
    assert tiles.next_wanted()[0] == (2, Region(0, 0, 16, 16))


def test_only_the_last_tiles_that_were_looked_at_are_awaited(stored, monkeypatch):
    monkeypatch.setattr(prediction_tiles, "_SIDE", 16)
    monkeypatch.setattr(prediction_tiles, "_MOST_WANTED", 2)
    tiles = PredictionTiles(stored[0], 2, SHAPES)
    for left in (0, 16, 32):
        tiles.read(Region(0, left, 16, 16), 0)
    assert tiles.next_wanted() == [(0, Region(0, 32, 16, 16)), (0, Region(0, 16, 16, 16))]
