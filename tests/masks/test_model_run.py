"""A model that fills a mask tile by tile while a person paints: what Undo and Redo take back, also after a kill."""

from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mask_helpers import dab, fill, open_or_create, read_all

from napari_pathseg.geometry import Region, layout
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import accept, fill_in_run
from napari_pathseg.masks.label_rules import NONE_LOCKED
from napari_pathseg.masks.provenance import count

SHAPE = (600, 900)
WHOLE = Region(0, 0, *SHAPE)
TUMOUR, STROMA = 2, 3
opened = partial(open_or_create, shape=SHAPE)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.zarr"


def predict(mask, tile, label=TUMOUR):
    return fill_in_run(mask, tile, np.full((tile.height, tile.width), label, np.uint8), False, NONE_LOCKED)


def paint(mask, row, column, label=STROMA):
    mask.add_stroke(dab(row, column, label))
    mask.end_undo_group()


def labels(mask):
    return read_all(mask)[0]


ACTIONS = ["tile", "paint", "erase", "undo", "redo", "kill", "end"]
LEFT, RIGHT = Region(0, 0, 600, 400), Region(0, 400, 600, 500)


def test_run_is_one_undo_step_and_one_redo_step(path):
    with opened(path) as mask:
        for tile in layout(WHOLE, 200):
            predict(mask, tile)
        mask.end_run()
        mask.undo()
        assert not read_all(mask).any()
        mask.redo()
        assert (labels(mask) == TUMOUR).all()
        assert (read_all(mask)[1] == Provenance.MODEL).all()


def test_undo_takes_back_the_stroke_and_not_the_tile_that_came_after_it(path):
    with opened(path) as mask:
        predict(mask, LEFT)
        paint(mask, 100, 500)
        predict(mask, RIGHT)
        mask.undo()
        assert labels(mask)[300, 200] == labels(mask)[300, 850] == TUMOUR
        assert not (labels(mask) == STROMA).any()
        mask.undo()
        assert not read_all(mask).any()
        assert mask.undo().empty


def test_undone_stroke_can_be_redone_though_tiles_came_meanwhile(path):
    with opened(path) as mask:
        predict(mask, LEFT)
        paint(mask, 100, 100)
        painted = labels(mask) == STROMA
        mask.undo()
        predict(mask, RIGHT)
        mask.redo()
        assert ((labels(mask) == STROMA) == painted).all()
        assert labels(mask)[300, 850] == TUMOUR


def test_erased_label_comes_back_though_the_model_has_filled_its_place(path):
    with opened(path) as mask:
        predict(mask, RIGHT)
        fill(mask, Region(0, 0, 100, 100), STROMA)
        mask.end_undo_group()
        mask.edit(Region(0, 0, 100, 100), *np.zeros((2, 100, 100), np.uint8))
        mask.end_undo_group()
        predict(mask, LEFT)
        mask.undo()
        assert (labels(mask)[:100, :100] == STROMA).all()
        assert labels(mask)[300, 200] == TUMOUR
        mask.undo()
        assert not labels(mask)[:100, :100].any()


def test_undo_of_a_run_leaves_what_a_person_has_made_of_it(path):
    with opened(path) as mask:
        paint(mask, 50, 50)
        mask.undo()
        predict(mask, LEFT)
        mask.redo()  # of the stroke, now above the run
        mask.run(accept(Region(200, 0, 50, 400)))
        mask.undo()
        assert not (read_all(mask)[1] == Provenance.ACCEPTED).any()
        mask.undo()
        mask.undo()
        assert not read_all(mask).any()


def test_tiles_after_the_undo_of_a_run_are_another_step(path):
    with opened(path) as mask:
        predict(mask, LEFT)
        mask.undo()
        predict(mask, RIGHT)
        assert not labels(mask)[:, :400].any()
        mask.undo()
        assert not read_all(mask).any()
        mask.redo()
        assert (labels(mask)[:, 400:] == TUMOUR).all()


def test_newer_prediction_of_a_place_is_undone_with_the_older_one_of_the_same_run(path):
    with opened(path) as mask:
        predict(mask, LEFT, TUMOUR)
        predict(mask, LEFT, STROMA)
        mask.undo()
        assert not read_all(mask).any()


def test_run_that_a_kill_has_ended_is_one_step_and_the_next_run_another(path):
    mask = opened(path)
    predict(mask, LEFT)
    paint(mask, 100, 500)
    predict(mask, Region(300, 400, 300, 500))
    mask.abandon()
    mask = opened(path)
    predict(mask, Region(0, 800, 100, 100))
    mask.abandon()
    with opened(path) as mask:
        mask.undo()
        assert not labels(mask)[:100, 800:].any()
        mask.undo()
        assert not (labels(mask) == STROMA).any()
        assert labels(mask)[300, 200] == labels(mask)[500, 600] == TUMOUR
        mask.undo()
        assert not read_all(mask).any()


def test_undo_of_a_stroke_that_was_killed_before_it_was_saved_stays_undone(path):
    mask = opened(path)
    predict(mask, LEFT)
    paint(mask, 100, 380)
    predict(mask, RIGHT)
    mask.undo()
    expected = read_all(mask)
    mask.abandon()
    with opened(path) as mask:
        assert (read_all(mask) == expected).all()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["tile", "paint", "erase", "undo", "redo", "kill", "end"]), max_size=30), st.integers(0)
)
def test_undo_of_all_leaves_nothing_and_counts_stay_right(tmp_path_factory, actions, seed):
    path, rng = tmp_path_factory.mktemp("run") / "m.zarr", np.random.default_rng(seed)
    mask, tiles = opened(path), list(layout(WHOLE, 300))
    for action in actions:
        if action == "tile":
            predict(mask, tiles[rng.integers(len(tiles))], int(rng.integers(1, 4)))
        elif action in ("paint", "erase"):
            paint(mask, *rng.integers(0, 550, 2), STROMA if action == "paint" else 0)
        elif action == "kill":
            mask.apply_pending()
            before = read_all(mask)
            mask.abandon()
            mask = opened(path)
            assert (read_all(mask) == before).all()
        elif action == "end":
            mask.end_run()
        else:
            getattr(mask, action)()
        assert (mask.counts == count(*read_all(mask))).all()
    while not mask.undo().empty:
        pass
    assert not read_all(mask).any()
    mask.close()
