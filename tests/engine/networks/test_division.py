"""A network in three stages is the network."""

import pytest
import torch

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network

ENCODERS = ["tf_efficientnet_lite0", "resnet18", "mobilenet_v2", "vgg11", "tu-resnet18", "tu-regnetx_002"]
DIVIDED = [
    *(("unet", encoder) for encoder in ENCODERS),
    ("unetplusplus", "resnet18"),
    ("segformer", "tf_efficientnet_lite0"),
    ("features+linear", "tf_efficientnet_lite0"),
    ("fcn8s", ""),
    ("unet-classic", ""),
]
WHOLE = [
    ("unet", "densenet121", {}),
    ("unet", "vit_tiny_patch16_224", {}),
    ("unet", "resnet18", {"context": True}),
    ("unet-classic", "", {"context": True}),
    ("fpn", "resnet18", {}),
    ("deeplabv3plus", "resnet18", {}),
    ("features+linear", "vit_tiny_patch16_224", {}),
]


@torch.inference_mode()
@pytest.mark.parametrize(("architecture", "encoder"), DIVIDED)
def test_stages_one_after_another_equal_the_network(architecture, encoder):
    torch.manual_seed(0)
    network = build_network(NetworkSpec(architecture, encoder, 3)).eval()
    network.set_outputs([1, 3])
    division = network.divide()
    pixels = torch.randint(0, 256, (2, 3, 128, 192), dtype=torch.uint8)
    features = division.shallow(pixels)
    assert [192 // level.shape[-1] for level in features] == list(division.strides)
    coarse = division.deep(features[-1])
    assert [192 // level.shape[-1] for level in coarse] == list(division.coarse_strides)
    found = division.fine(*coarse, *features[:-1])
    torch.testing.assert_close(found, network(pixels), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("architecture", "encoder", "options"), WHOLE)
def test_other_networks_stay_whole(architecture, encoder, options):
    network = build_network(NetworkSpec(architecture, encoder, 2, **options)).eval()
    assert network.divide() is None
