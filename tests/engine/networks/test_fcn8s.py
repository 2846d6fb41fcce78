from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network

SPEC = NetworkSpec("fcn8s", "none", 2)
VGG16 = Path(__file__).parents[3].parent / "shared/weights/vgg16_features.safetensors"


def roughness(weights: torch.Tensor) -> float:
    """How much neighbours in a kernel differ, of how much weights differ at all: 1 for chance."""
    return ((weights[..., 1:] - weights[..., :-1]).var() / (2 * weights.var())).item()


@pytest.fixture(scope="module")
def learnt():
    if not VGG16.is_file():
        pytest.skip(f"{VGG16.name} is not here; it is not part of the repository")
    return build_network(SPEC, str(VGG16)).eval()


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A network that starts from weights of chance under torchvision's names."""
    with torch.device("meta"):
        names = torchvision.models.vgg16().state_dict()
    weights = {name: torch.randn(like.shape) for name, like in names.items() if like.numel() < 1e7}
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    save_file(weights, path)
    return build_network(SPEC, str(path)).eval()


def test_it_takes_vgg16_and_the_scale_of_its_pixels(learnt):
    tensors = load_file(VGG16)
    assert len(learnt.encoder_parameters()) == len(tensors) == 26
    assert all(torch.equal(learnt.get_parameter(name), tensor.float()) for name, tensor in tensors.items())
    assert learnt.std.flatten().tolist() == [1, 1, 1]
    assert learnt.mean.flatten().tolist() == pytest.approx([123.68, 116.779, 103.939])


def test_features_that_were_learnt_are_not_those_of_chance(learnt, other):
    assert roughness(learnt.features[0].weight) < 0.6
    assert roughness(other.features[0].weight) > 0.8


def test_its_first_answers_are_small_whatever_its_weights(learnt, other):
    coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    pixels = torch.nn.functional.interpolate(coarse, size=64, mode="bicubic").clamp(0, 255)
    with torch.inference_mode():
        assert all(network(pixels).std() < 10 for network in (learnt, other))  # a thousand without the gains


def test_weights_of_torchvision_take_its_scale(other):
    assert other.features[28].weight.std().item() == pytest.approx(1, abs=0.01)
    assert other.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert other.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])


def test_only_the_decoder_is_pulled_towards_zero(other):
    decayed = {id(parameter) for parameter in other.decayed_parameters()}
    assert decayed <= {id(parameter) for parameter in other.decoder_parameters()}
    assert id(other.fc6.weight) in decayed


def test_it_has_the_layers_of_the_paper(other):
    sizes = {name: tuple(parameter.shape) for name, parameter in other.named_parameters()}
    assert sizes["fc6.weight"] == (4096, 512, 7, 7)
    assert sizes["fc7.weight"] == (4096, 4096, 1, 1)
    assert {name for name in sizes if name.startswith("up_")} == {
        "up_fc7.weight",
        "up_pool4.weight",
        "up_pool3.weight",
    }


def test_it_starts_by_interpolating(other):
    plane = torch.full((1, 2, 4, 4), 3.0)
    with torch.inference_mode():
        assert torch.allclose(other.up_pool3(plane)[..., 8:-8, 8:-8], torch.tensor(3.0))
        assert other.up_fc7(plane).shape == (1, 2, 8, 8)
