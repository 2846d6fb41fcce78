"""Batch norms folded into convolutions: fewer layers, the same features."""

import pytest
import torch
from torch import nn

from napari_pathseg.config import LINEAR
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.live.folding import folded
from napari_pathseg.engine.networks import build_network


def norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    ("encoder", "is_folded"),
    [("tf_efficientnet_lite0", True), ("resnet18", True), ("densenet121", None), ("vit_tiny_patch16_224", False)],
)
def test_features_are_the_same_with_fewer_layers(encoder, is_folded):
    torch.manual_seed(0)
    network = build_network(NetworkSpec(LINEAR, encoder, 2))
    pixels = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        network.train()
        network.encode(pixels)  # batch norms that do something
    network.eval()
    found = folded(network)
    with torch.inference_mode():
        for expected, level in zip(network.encode(pixels), found.encode(pixels), strict=True):
            torch.testing.assert_close(level, expected, atol=2e-3 * float(expected.abs().max()), rtol=1e-3)
    if is_folded is not None:
        assert (norms(found) < norms(network)) == is_folded
