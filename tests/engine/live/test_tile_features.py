"""Features of a tile, kept where they lie, and the answers of a linear classifier on them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.config import LINEAR
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.region_predictor import RegionPredictor, to_8_bits
from napari_pathseg.engine.live.discriminant import LinearClassifier
from napari_pathseg.engine.live.tile_features import HALO, ScaleWeights, TileEncoder, TileFeatures
from napari_pathseg.engine.networks import build_network
from napari_pathseg.geometry import Region
from napari_pathseg.masks.prediction import most_likely_classes

LITE0, TINY_VIT = "tf_efficientnet_lite0", "vit_tiny_patch16_224"
CPU = Device(torch.device("cpu"), bfloat16=False)
AROUND = Region(-HALO, -HALO, 256, 320)  # of the working grid
HALF = 3e-3  # of logits of order 1


@pytest.fixture(scope="module", params=[LITE0, TINY_VIT])
def scene(request):
    """Features, strides, weights of the scales, logits of a picture, and the network they come from."""
    torch.manual_seed(0)
    network = build_network(NetworkSpec(LINEAR, request.param, 3)).eval()
    total = sum(network.widths)
    weights, bias = torch.randn(3, total) / total**0.5, torch.randn(3)
    network.set_classifier(weights, bias)
    pixels = torch.randint(0, 256, (1, 3, AROUND.height, AROUND.width), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        levels, logits = network.encode(pixels), network(pixels)[0]
    strides = [AROUND.height // level.shape[-2] for level in levels]
    classifier = LinearClassifier(weights.numpy().astype(float), bias.numpy().astype(float))
    return levels, strides, ScaleWeights.of(classifier, network.widths), logits, network


def tile_of(scene, tile):
    return TileFeatures.cut(scene[0], scene[1], AROUND, tile)


@settings(max_examples=15, deadline=None)
@given(
    top=st.sampled_from([0, 32, 64]), left=st.sampled_from([0, 32, 96]), height=st.integers(3, 64), width=st.just(64)
)
def test_answers_of_kept_scales_equal_those_of_the_whole_picture(scene, top, left, height, width):
    tile = tile_of(scene, Region(top, left, height, width))
    found = scene[2].logits(tile, np.arange(top, top + height) * 1.0, np.arange(left, left + width) * 1.0)
    expected = scene[3][:, top + HALO : top + HALO + height, left + HALO : left + HALO + width]
    torch.testing.assert_close(found, expected, atol=HALF, rtol=HALF)


@settings(max_examples=15, deadline=None)
@given(step=st.sampled_from([2, 4, 8, 16]), top=st.sampled_from([0, 64]))
def test_coarse_answer_is_the_fine_one_between_its_pixels(scene, step, top):
    region = Region(top, 0, 64, 64)
    tile = tile_of(scene, region)
    centres = np.arange(step / 2 - 0.5, 64, step)
    coarse = scene[2].logits(tile, centres + top, centres)
    below = np.floor(centres).astype(int)
    corners = [(below + down, below + right) for down in (0, 1) for right in (0, 1)]
    fine = scene[3][:, HALO + top :, HALO:]
    expected = sum(fine[:, rows][:, :, columns] for rows, columns in corners) / 4
    if min(scene[1]) > 1:  # between the four pixels around a corner of cells answers are linear
        torch.testing.assert_close(coarse, expected, atol=0.05, rtol=0.05)
    assert scene[2].answer(tile, region, step, 1.0).shape == (2, 64 // step, 64 // step)


def test_features_of_pixels_give_the_logits_of_the_picture(scene):
    tile = tile_of(scene, Region(32, 64, 64, 96))
    rows, columns = np.array([0, 5, 63, 31]), np.array([0, 95, 95, 40])
    weights = torch.cat(scene[2].weights).numpy()
    found = tile.at(rows, columns) @ weights + scene[2].bias.numpy()
    np.testing.assert_allclose(found.T, scene[3][:, rows + 32 + HALO, columns + 64 + HALO], atol=HALF, rtol=HALF)


class Picture:
    """A slide of the working grid that is read as it is."""

    def __init__(self, shape, factor):
        self.shape, self.factor = shape, factor
        self._pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)

    def pixels(self, region):
        rows = np.abs(np.arange(region.top, region.bottom))
        columns = np.abs(np.arange(region.left, region.right))
        rows, columns = (
            np.where(at < size, at, 2 * size - 2 - at) for at, size in zip((rows, columns), self.shape, strict=True)
        )
        return self._pixels[np.ix_(rows, columns)]

    def on_working_grid(self, region):
        assert self.factor == 1 or region.top == region.left == 0
        return Region(0, 0, *self.shape)


@pytest.mark.parametrize("factor", [1.0, 0.5, 1.6])
def test_answer_is_that_of_a_prediction_of_the_same_tile(scene, factor):
    network, side = scene[4], 96
    slide = Picture((side, side), factor)
    box = Region(0, 0, int(side * factor), int(side * factor))
    tile = TileEncoder(network, CPU).encode(slide, Region(0, 0, side, side))
    classes, probability = scene[2].answer(tile, box, 1, factor)
    expected = to_8_bits(RegionPredictor(network, CPU, HALO).probabilities(slide, box))
    assert np.mean(classes == most_likely_classes(expected[1:]) + 1) > 0.98  # the first is Background
    assert np.abs(probability.astype(int) - expected[1:].max(axis=0)).max() <= (3 if factor == 1 else 40)
