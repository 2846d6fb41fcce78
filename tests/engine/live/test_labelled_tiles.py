"""Labelled pixels that come and go, and the fit to those that count."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.engine.live import labelled_tiles
from napari_pathseg.engine.live.labelled_tiles import LabelledTiles, Strength, TileLabels, thinned
from napari_pathseg.engine.live.tile_features import TileFeatures
from napari_pathseg.geometry import Region

SIDE, STRIDES, WIDTHS = 64, (2, 8), (3, 5)
PLACES = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")).reshape(2, -1)


def tile_of(seed):
    """Features of a tile in which a class lies where the first feature is large."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(SIDE // stride + 2, SIDE // stride + 2, width) for stride, width in zip(STRIDES, WIDTHS, strict=True)]
    return TileFeatures(
        Region(0, 0, SIDE, SIDE), STRIDES, tuple(torch.randn(shape, generator=generator).half() for shape in shapes)
    )


def truth_of(tile, classes=2):
    """The labels of a tile: by what its features say, with some noise."""
    features = tile.at(*PLACES)
    rng = np.random.default_rng(0)
    score = features[:, 0] + features[:, 4] + 0.3 * rng.normal(size=len(features))
    return (1 + np.digitize(score, np.linspace(-0.7, 0.7, classes + 1)[1:-1])).astype(np.uint8).reshape(SIDE, SIDE)


def labels_of(pixels, corrected=None):
    return TileLabels(pixels, np.zeros(pixels.shape, bool) if corrected is None else corrected)


def drawn(seed, classes=3):
    """Labels of a tile as they are after each of some strokes, erasures among them."""
    rng, labels = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.uint8)
    corrected = np.zeros((SIDE, SIDE), bool)
    for _ in range(6):
        top, left, height, width = (int(v) for v in rng.integers(1, 40, 4))
        labels[top : top + height, left : left + width] = rng.integers(0, classes + 1)
        corrected[top : top + height, left : left + width] = rng.integers(0, 2)
        yield TileLabels(labels.copy(), corrected.copy())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), tiles=st.integers(1, 3))
def test_labels_that_change_step_by_step_give_the_fit_of_the_last_ones(seed, tiles):
    step_by_step, at_once = (LabelledTiles(3, WIDTHS, 3.0) for _ in range(2))
    for number in range(tiles):
        tile = tile_of(number)
        for labels in drawn(seed + number):
            step_by_step.change(number, "a", labels, tile)
        at_once.change(number, "a", labels, tile)
    np.testing.assert_allclose(step_by_step.sums.weight, at_once.sums.weight, atol=1e-9)
    np.testing.assert_allclose(step_by_step.sums.first, at_once.sums.first, atol=1e-8)
    if len(at_once.sums.classes) > 1:
        one, other = (each.fit(Strength()) for each in (step_by_step, at_once))
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-6)
        assert step_by_step.chosen_strength() == at_once.chosen_strength()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99))
def test_labels_that_are_taken_away_leave_nothing(seed):
    found, tile = LabelledTiles(3, WIDTHS), tile_of(seed)
    for labels in drawn(seed):
        found.change("a", "a", labels, tile)
    found.change("a", "a", None, tile)
    assert "a" not in found
    assert (found.pixels, found.sums.classes) == (0, [])
    assert not found.differs("a", labels_of(np.zeros((SIDE, SIDE), np.uint8)))


@pytest.mark.parametrize(("classes", "least"), [(2, 0.8), (3, 0.7)])  # the third lies between the others
def test_thinned_fit_scores_as_the_fit_on_all_pixels(monkeypatch, classes, least):
    scores = []
    for most in (labelled_tiles.PER_CLASS, 10**9):
        monkeypatch.setattr(labelled_tiles, "PER_CLASS", most)
        found = LabelledTiles(classes, WIDTHS)
        for number in range(4):
            found.change(number, str(number), labels_of(truth_of(tile_of(number), classes)), tile_of(number))
        classifier = found.fit(found.chosen_strength())
        dice = []
        for number in range(4, 8):
            truth = truth_of(tile_of(number), classes)
            answer = 1 + classifier.logits(tile_of(number).at(*PLACES)).argmax(axis=1).reshape(SIDE, SIDE)
            for label in range(1, classes + 1):
                both = ((answer == label) & (truth == label)).sum()
                dice.append(2 * both / ((answer == label).sum() + (truth == label).sum()))
        scores.append(np.mean(dice))
    assert scores[0] == pytest.approx(scores[1], abs=0.005)
    assert scores[0] > least


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), most=st.integers(1, 300))
def test_pixels_that_count_are_the_same_whatever_else_is_drawn(seed, most):
    *_, labels = drawn(seed)
    chosen = thinned(labels.labels, most)
    counts = np.bincount(labels.labels.ravel()[chosen], minlength=4)
    assert (counts == np.minimum(np.bincount(labels.labels.ravel(), minlength=4), most) * (np.arange(4) > 0)).all()
    other = np.where(labels.labels == 1, labels.labels, 0)
    assert set(thinned(other, most)) == {place for place in chosen if labels.labels.flat[place] == 1}


def test_probabilities_are_calibrated_on_what_the_fit_has_not_seen():
    found = LabelledTiles(2, WIDTHS)
    for number in range(6):
        found.change(number, str(number), labels_of(truth_of(tile_of(number))), tile_of(number))
    classifier = found.fit(found.chosen_strength())
    logits = np.concatenate([classifier.logits(tile_of(number).at(*PLACES)) for number in (8, 9)])
    truth = np.concatenate([truth_of(tile_of(number)).ravel() for number in (8, 9)])
    probability = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    for low in (0.1, 0.3, 0.5, 0.7, 0.9):
        near = abs(probability - low) < 0.1
        assert abs((truth[near] == 2).mean() - low) < 0.15


def test_pixels_without_finite_features_do_not_count():
    tile = tile_of(0)
    tile.levels[0][:20] = torch.nan
    found = LabelledTiles(2, WIDTHS)
    found.change("a", "a", labels_of(truth_of(tile_of(0))), tile)
    assert found.pixels > 0
    assert np.isfinite(found.fit(found.chosen_strength()).weights).all()


def test_many_tiles_are_remembered_by_fewer_pixels_each(monkeypatch):
    monkeypatch.setattr(labelled_tiles, "_MOST_REMEMBERED", 4 * 200)
    found = LabelledTiles(2, WIDTHS)
    for number in range(16):
        found.change(number, str(number % 4), labels_of(truth_of(tile_of(number))), tile_of(number))
    assert sum(len(sample.classes) for sample in found._samples.values()) <= 2 * 4 * 200
    assert found.chosen_strength().penalty in labelled_tiles._PENALTIES
