"""A class of a prediction by threshold, smoothing, smallest object and largest hole, for a box and for a slide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_helpers import open_or_create

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, refinement
from napari_pathseg.masks.edits import paint, reject
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.masks.refinement import Refinement, refine, refine_box

TUMOUR, OTHER = 2, 3
SHAPE = (60, 70)
WHOLE = Region(0, 0, *SHAPE)


def predicted(folder, tumour, other=None):
    """A prediction with the probability of two classes; the rest is Background."""
    prediction = create_prediction(folder / "p.zarr", tumour.shape, ["Background", "Tumour", "Other"])
    other = np.zeros_like(tumour) if other is None else other
    prediction.write(Region(0, 0, *tumour.shape), np.stack([255 - np.maximum(tumour, other), tumour, other]))
    return prediction


def blobs(seed):
    rng = np.random.default_rng(seed)
    field = rng.random((SHAPE[0] // 5, SHAPE[1] // 5)).repeat(5, axis=0).repeat(5, axis=1)
    return ((field + rng.normal(0, 0.08, SHAPE)).clip(0, 1) * 255).astype(np.uint8)


def refined(folder, prediction, wanted, complete=False, locked=frozenset(), prepare=lambda mask: None):
    with open_or_create(folder / "m.zarr", SHAPE) as mask:
        prepare(mask)
        mask.run(refine(prediction, wanted, lambda _: complete, locked))
        return np.stack(mask.read(WHOLE))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    tile=st.sampled_from([16, 23, 64]),
    wanted=st.builds(
        Refinement,
        label=st.just(TUMOUR),
        threshold=st.floats(0.1, 0.9),
        smoothing_px=st.sampled_from([0.0, 2.0, 5.0]),
        smallest_px=st.sampled_from([0.0, 12.0, 80.0]),
        largest_hole_px=st.sampled_from([0.0, 12.0, 80.0]),
    ),
)
def test_slide_refined_in_tiles_is_the_slide_refined_at_once(tmp_path_factory, seed, tile, wanted):
    folder, found = tmp_path_factory.mktemp("a"), []
    prediction = predicted(folder, blobs(seed), blobs(seed + 1))
    for number, side in enumerate((tile, 1024)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(refinement, "_TILE", side)
            (folder / str(number)).mkdir()
            found.append(refined(folder / str(number), prediction, wanted))
    assert np.array_equal(*found)


def test_box_shows_what_the_slide_becomes_away_from_its_border(tmp_path):
    tumour = blobs(3)
    tumour[:8], tumour[-8:], tumour[:, :8], tumour[:, -8:] = 1, 1, 1, 1
    wanted = Refinement(TUMOUR, threshold=0.4, smoothing_px=3, smallest_px=60, largest_hole_px=30)
    labels, _ = refined(tmp_path, predicted(tmp_path, tumour), wanted)
    assert np.array_equal(labels == TUMOUR, refine_box(tumour, wanted))
    assert 0 < (labels == TUMOUR).sum() < (tumour >= 102).sum() + 500


def test_threshold_decides_and_what_loses_the_class_gets_the_next_likely_one(tmp_path):
    tumour, other = np.full(SHAPE, 140, np.uint8), np.full(SHAPE, 20, np.uint8)
    other[:, 35:] = 120
    labels, provenance = refined(tmp_path, predicted(tmp_path, tumour, other), Refinement(TUMOUR, threshold=0.6))
    assert (labels[:, :35] == 1).all()
    assert (labels[:, 35:] == OTHER).all()
    assert (provenance == Provenance.MODEL).all()


def test_second_class_leaves_the_first_as_it_was_refined_and_what_was_rejected_empty(tmp_path):
    tumour, other = blobs(5), np.full(SHAPE, 60, np.uint8)
    other[:, 50:], tumour[:, 50:] = 200, 30
    prediction, first = predicted(tmp_path, tumour, other), Refinement(TUMOUR, threshold=0.7, smallest_px=40)
    with open_or_create(tmp_path / "m.zarr", SHAPE) as mask:
        mask.run(refine(prediction, first, lambda _: False))
        mask.run(reject(Region(0, 0, 20, 40)))
        before = mask.read(WHOLE)[0]
        mask.run(refine(prediction, Refinement(OTHER), lambda _: False, settled=(TUMOUR,)))
        after, provenance = mask.read(WHOLE)
    lost = (before == OTHER) & (other < 128)
    assert lost.any()
    assert (before == TUMOUR).any()
    assert np.array_equal(after == TUMOUR, before == TUMOUR)
    assert not after[:20, :40].any()
    assert not provenance[:20, :40].any()
    assert (after[lost] == 1).all()


def test_background_that_goes_where_nothing_else_was_found_leaves_no_label(tmp_path):
    tumour = np.full(SHAPE, 255, np.uint8)
    tumour[30:33, 30:33] = 0
    prediction = predicted(tmp_path, tumour)
    for number in range(2):  # into an empty mask, and into one that the model has filled
        labels, provenance = refined(tmp_path, prediction, Refinement(1, smallest_px=20 * number))
    assert not labels[30:33, 30:33].any()
    assert not provenance[30:33, 30:33].any()
    assert (labels == TUMOUR).sum() == 60 * 70 - 9


def test_small_objects_go_and_small_holes_are_filled(tmp_path):
    tumour = np.zeros(SHAPE, np.uint8)
    tumour[10:40, 10:40], tumour[20:24, 20:24], tumour[50:53, 50:53] = 250, 0, 250
    wanted = Refinement(TUMOUR, smallest_px=10, largest_hole_px=16)
    labels, _ = refined(tmp_path, predicted(tmp_path, tumour), wanted)
    assert (labels[10:40, 10:40] == TUMOUR).all()
    assert (labels == TUMOUR).sum() == 900
    (tmp_path / "b").mkdir()
    kept = Refinement(TUMOUR, smallest_px=9, largest_hole_px=15)
    labels, _ = refined(tmp_path / "b", predicted(tmp_path / "b", tumour), kept)
    assert (labels == TUMOUR).sum() == 900 - 16 + 9


def test_pixels_of_a_person_and_of_locked_classes_stay(tmp_path):
    def prepare(mask):
        paint(mask, Region(0, 0, 20, 20), np.full((20, 20), 1, np.uint8))
        paint(mask, Region(30, 30, 10, 10), np.full((10, 10), OTHER, np.uint8))

    tumour = np.full(SHAPE, 250, np.uint8)
    labels, provenance = refined(tmp_path, predicted(tmp_path, tumour), Refinement(TUMOUR), prepare=prepare)
    assert (labels[:20, :20] == 1).all()
    assert (provenance[:20, :20] == Provenance.DRAWN).all()
    assert (labels == OTHER).sum() == 100
    assert (labels == TUMOUR).sum() == 60 * 70 - 500
    (tmp_path / "b").mkdir()
    refined(tmp_path / "b", predicted(tmp_path / "b", tumour), Refinement(TUMOUR))
    prediction = predicted(tmp_path, np.zeros(SHAPE, np.uint8))
    labels, _ = refined(tmp_path / "b", prediction, Refinement(TUMOUR), locked=frozenset({TUMOUR}))
    assert (labels == TUMOUR).all()


def test_nothing_is_filled_where_nothing_was_predicted_or_all_is_complete(tmp_path):
    prediction = create_prediction(tmp_path / "p.zarr", SHAPE, ["Background", "Tumour"])
    prediction.write(Region(0, 0, 60, 30), np.stack([np.zeros((60, 30)), np.full((60, 30), 255)]).astype(np.uint8))
    labels, _ = refined(tmp_path, prediction, Refinement(TUMOUR, largest_hole_px=10_000, smoothing_px=4))
    assert (labels[:, :30] == TUMOUR).all()
    assert not labels[:, 30:].any()
    (tmp_path / "b").mkdir()
    assert not refined(tmp_path / "b", prediction, Refinement(TUMOUR), complete=True).any()


def test_refining_is_one_undo_step(tmp_path):
    prediction = predicted(tmp_path, blobs(1))
    with open_or_create(tmp_path / "m.zarr", SHAPE) as mask:
        mask.run(refine(prediction, Refinement(TUMOUR), lambda _: False))
        assert mask.read(WHOLE)[0].any()
        mask.undo()
        assert not mask.read(WHOLE)[0].any()


def test_uncertainty_is_highest_where_classes_are_equally_likely(tmp_path):
    prediction = create_prediction(tmp_path / "p.zarr", (1, 4), ["Background", "Tumour"])
    prediction.write(Region(0, 0, 1, 3), np.array([[[255, 128, 200]], [[0, 127, 55]]], np.uint8))
    sure, equal, between, none = prediction.sample(None, Region(0, 0, 1, 4))[0]
    assert (sure, equal, none) == (0, 255, 0)
    assert 150 < between < 200
    assert list(prediction.sample(TUMOUR, Region(0, 0, 1, 4), 2)[0]) == [0, 55]
