"""The margin of a network is as far as it looks, for every architecture and kind of encoder."""

import pytest
import torch

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.inference.predictor_choice import exact_halo
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.receptive_field import Input, margin_of

LITE0 = "tf_efficientnet_lite0"
WITH_AN_END = [
    *[("unet", encoder) for encoder in (LITE0, "resnet18", "mobilenet_v2", "vgg11", "tu-regnetx_002")],
    *[("unetplusplus", LITE0), ("segformer", LITE0), ("unet-classic", ""), ("features+linear", LITE0)],
]
WITHOUT_END = [
    *[("unet", "mobilenetv3_small_050"), ("unet", "vit_tiny_patch16_224")],
    *[("fpn", LITE0), ("deeplabv3plus", LITE0), ("features+linear", "vit_tiny_patch16_224")],
]


def build(architecture, encoder, seed=0):
    torch.manual_seed(seed)
    return build_network(NetworkSpec(architecture, encoder, 2)).eval()


@torch.inference_mode()
def change_inside(network, halo, axis):
    """Return by how much the answer changes in a box when all pixels farther from it than `halo` do."""
    length = 2 * halo + 64 + 2 * network.multiple
    shape = [1, 3, 64, 64]
    shape[axis] = length
    pixels = 255 * torch.rand(shape)
    other = 255 * torch.rand(shape)
    edge = network.multiple
    other.narrow(axis, edge, length - 2 * edge).copy_(pixels.narrow(axis, edge, length - 2 * edge))
    inside = [answer.narrow(axis, edge + halo, 64) for answer in (network(pixels), network(other))]
    return float((inside[0] - inside[1]).abs().max())


@pytest.mark.parametrize(("architecture", "encoder"), WITH_AN_END)
def test_nothing_beyond_the_exact_margin_changes_the_answer(architecture, encoder):
    network = build(architecture, encoder)
    halo = exact_halo(network)
    assert halo is not None
    assert halo % network.multiple == 0
    assert max(change_inside(network, halo, axis) for axis in (-2, -1)) < 1e-6


@pytest.mark.parametrize(("architecture", "encoder"), WITHOUT_END)
def test_network_whose_pixels_depend_on_the_whole_tile_has_no_exact_margin(architecture, encoder):
    assert exact_halo(build(architecture, encoder)) is None


def test_fcn8s_has_an_exact_margin():
    halo = exact_halo(build("fcn8s", ""))
    assert halo == 224


def test_network_with_context_has_no_exact_margin():
    network = build_network(NetworkSpec("unet", "resnet18", 2, context=True)).eval()
    assert exact_halo(network) is None


def test_margin_that_is_wider_than_asked_for_is_none():
    assert exact_halo(build("unet", LITE0), 192) is None
    assert exact_halo(build("unet", LITE0), 512) == 512


@pytest.mark.parametrize(("side", "dilation", "margin"), [(1, 1, 0), (3, 1, 1), (5, 1, 2), (3, 7, 7)])
def test_margin_of_a_convolution_is_what_it_says(side, dilation, margin):
    layer = torch.nn.Conv2d(3, 2, side, padding="same", dilation=dilation)
    assert margin_of(layer, [Input(3)], 64, layer.weight) == margin
