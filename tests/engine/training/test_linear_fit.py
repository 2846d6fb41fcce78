"""The live model: a linear classifier on kept features, fitted in closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.torch import save_file

from napari_pathseg.config import LINEAR, TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.events import Note, Progress, Stop, run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.live import labelled_tiles
from napari_pathseg.engine.live.discriminant import FeatureSums, LabelledFeatures, solve
from napari_pathseg.engine.networks.weights import lite0_weights
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import ConfigError, NothingToLearnError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides

LIVE = TrainConfig(preset="live", precision="fp32")
WIDTHS = (2, 3)


def pixels_of(seed, count, classes=3):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, sum(WIDTHS))).astype(np.float32)
    return LabelledFeatures(features, rng.integers(1, classes + 1, count).astype(np.uint8), np.ones(count, np.float32))


def sums_of(*tiles, classes=3):
    sums = FeatureSums(classes, sum(WIDTHS))
    for tile in tiles:
        sums.add(tile)
    return sums


def weights_of(project, model):
    return load_file(project.folder / "models" / model / "weights.safetensors")


@settings(max_examples=20, deadline=None)
@given(first=st.integers(3, 40), second=st.integers(3, 40), seed=st.integers(0, 99))
def test_tile_that_is_taken_away_leaves_no_trace(first, second, seed):
    one, other = pixels_of(seed, first), pixels_of(seed + 1, second)
    both = sums_of(one, other)
    assert np.array_equal((sums_of(one) + sums_of(other)).weight, both.weight)
    for without in (both - sums_of(other), both):
        if without is both:
            both.add(other, -1.0)
        np.testing.assert_allclose(without.weight, sums_of(one).weight, atol=1e-9)
        np.testing.assert_allclose(without.first, sums_of(one).first, atol=1e-9)
        for index, value in sums_of(one).second.items():
            np.testing.assert_allclose(without.second[index], value, atol=1e-9)


def standardised(tile):
    """Features without their mean, each over its spread and the root of its scale's width, and the pixels' weights."""
    present = np.unique(tile.classes)
    share = np.array([1 / (len(present) * (tile.classes == label).sum()) for label in tile.classes])
    features = tile.features.astype(float)
    mean = share @ features
    std = np.sqrt(share @ (features - mean) ** 2)
    return (features - mean) / (std * np.repeat(np.sqrt(WIDTHS), WIDTHS)), share


@settings(max_examples=20, deadline=None)
@given(count=st.integers(20, 80), penalty=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_fit_is_the_penalised_discriminant_analysis(count, penalty, seed):
    tile = pixels_of(seed, count)
    (found,), (_, same) = (solve(sums_of(tile), WIDTHS, penalties) for penalties in ([penalty], [1.0, penalty]))
    np.testing.assert_allclose(same.logits(tile.features), found.logits(tile.features), atol=1e-6)
    scaled, share = standardised(tile)
    means = {label: scaled[tile.classes == label].mean(axis=0) for label in np.unique(tile.classes)}
    rest = scaled - np.array([means[label] for label in tile.classes])
    within = (share[:, None] * rest).T @ rest + penalty * np.eye(sum(WIDTHS))
    for label, mean in means.items():
        expected = (scaled - mean / 2) @ np.linalg.solve(within, mean)
        np.testing.assert_allclose(found.logits(tile.features)[:, label - 1], expected, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(20, 80), penalty=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_fit_of_two_classes_is_their_ridge_regression(count, penalty, seed):
    tile = pixels_of(seed, count, classes=2)
    (found,) = solve(sums_of(tile, classes=2), WIDTHS, [penalty])
    scaled, share = standardised(tile)
    rows = np.vstack([np.sqrt(share)[:, None] * scaled, np.sqrt(penalty) * np.eye(sum(WIDTHS))])
    targets = np.concatenate([np.sqrt(share) * (1.0 * (tile.classes == 2) - 0.5), np.zeros(sum(WIDTHS))])
    regression = scaled @ np.linalg.lstsq(rows, targets, rcond=None)[0]
    logits = found.logits(tile.features)
    difference = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(difference / np.abs(difference).max(), regression / np.abs(regression).max(), atol=1e-6)


def test_class_without_a_pixel_is_never_predicted():
    tile = pixels_of(0, 50, classes=2)
    (found,) = solve(sums_of(tile, classes=4), WIDTHS, [0.1])
    assert set(found.scaled(8).logits(tile.features).argmax(axis=1)) == {0, 1}


def test_live_model_finds_the_dark_squares_and_is_a_model_like_others(project):
    bundle = run(train(project, LIVE))
    assert bundle.mean_dice > 0.9
    assert (bundle.network.architecture, bundle.parent, bundle.finished) == (LINEAR, None, True)
    assert load_bundle(project.folder / "models" / bundle.id) == bundle
    run(predict(project, slides=["case5"]))
    labels = project.find_prediction(bundle.id, "case5").read(Region(0, 0, 192, 192))
    assert set(np.unique(labels)) == {1, 2}


def test_live_model_is_the_same_whatever_models_have_written(project):
    change_slides(project, ["case5"], SlideChanges(role="train"))
    with project.open_mask("case5") as mask:
        paint(mask, Region(0, 0, 20, 20), np.full((20, 20), 1, np.uint8))
    first = run(train(project, LIVE))
    with project.open_mask("case5") as mask:
        fill_from_model(mask, Region(0, 0, 192, 192), np.full((192, 192), 2, np.uint8))
        assert mask.counts[2, Provenance.MODEL] == 192 * 192 - 20 * 20
    second = run(train(project, LIVE))
    assert "case5" in second.train
    one, other = weights_of(project, first.id), weights_of(project, second.id)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_thinned_fit_scores_as_the_fit_on_all_pixels(project, monkeypatch):
    thinned = run(train(project, LIVE))
    monkeypatch.setattr(labelled_tiles, "PER_CLASS", 10**9)
    assert run(train(project, LIVE)).mean_dice == pytest.approx(thinned.mean_dice, abs=0.005)


def test_live_model_starts_from_no_other_and_needs_features(project):
    first = run(train(project, LIVE))
    assert run(train(project, LIVE, first.id)).parent is None
    with pytest.raises(ConfigError, match="live needs trained features. Set weights to imagenet, or to a file"):
        run(train(project, LIVE.replace(weights="none")))


def test_weights_whose_features_are_not_finite_are_named(project, tmp_path):
    weights = {name: torch.full(tensor.shape, torch.nan) for name, tensor in lite0_weights().items()}
    save_file(weights, tmp_path / "nan.safetensors")
    with pytest.raises(NothingToLearnError, match="finite features.* choose other initial weights"):
        run(train(project, LIVE.replace(weights=str(tmp_path / "nan.safetensors"))))


def test_reading_that_is_stopped_keeps_what_was_learnt(project):
    events = []

    def stop(event):
        events.append(event)
        return Stop() if isinstance(event, Progress) and event.stage == "Reading" else None

    bundle = run(train(project, LIVE), stop)
    texts = [event.text for event in events if isinstance(event, Note)]
    assert any("The model learnt from 1 of 4 labelled tiles" in text for text in texts)
    assert bundle.finished


def test_held_out_parts_of_a_slide_are_not_learnt(project):
    record, part = project.slides["case0"], Region(0, 0, 32, 32)
    with PatchDataset(project, [record], LIVE.replace(tile=64), held_out={"case0": [part]}) as dataset:
        ((slide, region),) = dataset.tiles_to_learn(512)
        (labels, _), (given, _) = dataset.truth_to_learn(slide, region), slide.truth(region)
    assert (given > 0).all()
    assert not labels[part.slices].any()
    assert (labels[150:, 150:] == given[150:, 150:]).all()


def test_tiles_to_learn_cover_every_labelled_pixel_once(project):
    records = [project.slides[f"case{number}"] for number in range(4)]
    with PatchDataset(project, records, LIVE) as dataset:
        for side in (50, 64, 512):
            covered = {slide.record.id: np.zeros(slide.shape, int) for slide in dataset.slides}
            for slide, region in dataset.tiles_to_learn(side):
                covered[slide.record.id][region.slices] += 1
            for slide in dataset.slides:
                labels, _ = slide.truth(Region(0, 0, *slide.shape))
                assert (covered[slide.record.id][labels > 0] == 1).all()
