import copy

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network

SPEC = NetworkSpec("fcn8s", "none", 2)
VGG16 = "weights/vgg16_features.safetensors"  # in shared/


def roughness(weights: torch.Tensor) -> float:
    """Variance between neighbours in a kernel, relative to the variance of all weights: 1 for random ones."""
    return ((weights[..., 1:] - weights[..., :-1]).var() / (2 * weights.var())).item()


@pytest.fixture
def pretrained(shared):
    return build_network(SPEC, str(shared / VGG16)).eval()


@pytest.fixture(scope="module")
def randomized(tmp_path_factory):
    """A network initialised from random weights under torchvision's names."""
    with torch.device("meta"):
        names = torchvision.models.vgg16().state_dict()
    weights = {name: torch.randn(like.shape) for name, like in names.items() if like.numel() < 1e7}
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    save_file(weights, path)
    return build_network(SPEC, str(path)).eval()


@pytest.mark.shared_data
def test_pretrained_vgg16_is_loaded_with_its_normalisation(pretrained, shared):
    tensors = load_file(shared / VGG16)
    assert len(pretrained.encoder_parameters()) == len(tensors) == 26
    assert all(torch.equal(pretrained.get_parameter(name), tensor.float()) for name, tensor in tensors.items())
    assert pretrained.std.flatten().tolist() == [1, 1, 1]
    assert pretrained.mean.flatten().tolist() == pytest.approx([123.68, 116.779, 103.939])


@pytest.mark.shared_data
def test_pretrained_kernels_are_smoother_than_random_ones(pretrained, randomized):
    assert roughness(pretrained.features[0].weight) < 0.6
    assert roughness(randomized.features[0].weight) > 0.8


@pytest.mark.shared_data
def test_first_logits_are_small_whatever_the_encoder_weights(pretrained, randomized):
    coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    pixels = torch.nn.functional.interpolate(coarse, size=64, mode="bicubic").clamp(0, 255)
    with torch.inference_mode():
        assert all(network(pixels).std() < 10 for network in (pretrained, randomized))  # a thousand without the gains


def test_torchvision_weights_bring_their_normalisation(randomized):
    assert randomized.features[28].weight.std().item() == pytest.approx(1, abs=0.01)
    assert randomized.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert randomized.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])


def test_only_the_decoder_has_weight_decay(randomized):
    decayed = {id(parameter) for parameter in randomized.decayed_parameters()}
    assert decayed <= {id(parameter) for parameter in randomized.decoder_parameters()}
    assert id(randomized.fc6.weight) in decayed


def test_layers_are_those_of_the_paper(randomized):
    sizes = {name: tuple(parameter.shape) for name, parameter in randomized.named_parameters()}
    assert sizes["fc6.weight"] == (4096, 512, 7, 7)
    assert sizes["fc7.weight"] == (4096, 4096, 1, 1)
    assert {name for name in sizes if name.startswith("up_")} == {
        "up_fc7.weight",
        "up_pool4.weight",
        "up_pool3.weight",
    }


def test_transposed_convolutions_start_as_interpolation(randomized):
    plane = torch.full((1, 2, 4, 4), 3.0)
    with torch.inference_mode():
        assert torch.allclose(randomized.up_pool3(plane)[..., 8:-8, 8:-8], torch.tensor(3.0))
        assert randomized.up_fc7(plane).shape == (1, 2, 8, 8)


def test_transposed_convolutions_start_from_xavier_where_wanted(randomized):
    network = copy.deepcopy(randomized)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.randomize_upsampling()
    for name, taps in (("up_fc7", 4), ("up_pool4", 4), ("up_pool3", 16)):
        weights = network.get_parameter(f"{name}.weight")
        limit = (6 / (2 * 2 * taps**2)) ** 0.5  # Glorot and Bengio 2010: fan in and fan out are classes times taps
        assert 0.9 * limit < weights.abs().max() <= limit
        assert weights.mean().abs() < limit / 4
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"up_fc7.weight", "up_pool4.weight", "up_pool3.weight"}


@pytest.fixture(scope="module")
def vgg16():
    """torchvision's VGG16 with random weights of a usual scale."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = torchvision.models.vgg16(dropout=0)
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 10_000
        torch.nn.init.uniform_(parameter, -((6 / fan_in) ** 0.5), (6 / fan_in) ** 0.5)
    return network.eval()


@pytest.mark.parametrize("names", ["torchvision", "timm"])
@torch.inference_mode()
def test_vgg16_with_its_classifier_gives_the_logits_of_torchvision(vgg16, names, tmp_path):
    tensors = vgg16.state_dict()
    if names == "timm":  # which stores the two layers as convolutions
        shapes = {"classifier.0.weight": (4096, 512, 7, 7), "classifier.3.weight": (4096, 4096, 1, 1)}
        tensors = {name: tensor.reshape(shapes.get(name, tensor.shape)) for name, tensor in tensors.items()}
        renamed = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2"}
        tensors = {
            ".".join([renamed.get(name.rpartition(".")[0], name.rpartition(".")[0]), name.rpartition(".")[2]]): tensor
            for name, tensor in tensors.items()
        }
    save_file(tensors, tmp_path / "vgg16.safetensors")
    network = build_network(SPEC, str(tmp_path / "vgg16.safetensors")).eval()
    assert network.weights_note == ""
    pixels = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    expected = vgg16((pixels - network.mean) / network.std)
    reached = []
    network.score_fc7.register_forward_hook(lambda _, inputs, __: reached.append(inputs[0]))
    network(pixels)
    found = vgg16.classifier[6](reached[0][:, :, 3, 3])  # where the 7 x 7 window covers the whole image
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    assert expected.std() > 0.1


def test_weights_without_a_classifier_say_that_fc6_and_fc7_are_random(randomized):
    assert randomized.weights_note == (
        "vgg16.safetensors has no weights for fc6 and fc7 of fcn8s (classifier.0 and classifier.3 of torchvision's "
        "vgg16): these two layers start from random ones."
    )
    assert build_network(SPEC).weights_note == ""
