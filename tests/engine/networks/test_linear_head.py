import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_pathseg.config import LINEAR
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network

LITE0, TINY_VIT = "tf_efficientnet_lite0", "vit_tiny_patch16_224"


def network_of(encoder, classes=3):
    torch.manual_seed(0)
    network = build_network(NetworkSpec(LINEAR, encoder, classes)).eval()
    total = sum(network.widths)
    network.set_classifier(torch.randn(classes, total) / total**0.5, torch.randn(classes))
    return network


@pytest.fixture(scope="module", params=[LITE0, TINY_VIT])
def network(request):
    return network_of(request.param)


def upsampled(network, pixels):
    """The features of each pixel, each scale brought to the size of the tile: (numbers, rows, columns)."""
    size = pixels.shape[-2:]
    levels = [F.interpolate(level, size, mode="bilinear") for level in network.encode(pixels)]
    return torch.cat(levels, dim=1)[0]


@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 3), columns=st.integers(1, 3), seed=st.integers(0, 9))
def test_answers_of_separate_scales_equal_the_answer_on_upsampled_features(network, rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (1, 3, 32 * rows, 32 * columns), generator=generator).float()
    with torch.inference_mode():
        weights = torch.cat([head.weight[:, :, 0, 0] for head in network.heads], dim=1)
        expected = torch.einsum("cn,nrk->crk", weights, upsampled(network, pixels)) + network.bias[:, None, None]
        torch.testing.assert_close(network(pixels)[0], expected, atol=1e-4, rtol=1e-4)


def test_encoder_that_leaves_out_a_scale_works():
    network = network_of("mit_b0")
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)
