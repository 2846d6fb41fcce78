import copy

import pytest
import torch

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.weights import lite0_weights

SPEC = NetworkSpec("unet", "tf_efficientnet_lite0", 3)


@pytest.fixture(scope="module")
def network():
    return build_network(SPEC, "imagenet").eval()


def test_a_logit_per_class_and_pixel(network):
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 96, 64, dtype=torch.uint8)).shape == (2, 3, 96, 64)


def test_decoding_kept_features_equals_the_whole_network(network):
    pixels = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(network.decode(network.encode(pixels)), network(pixels))


def test_the_encoder_starts_from_the_published_weights(network):
    weights, model = lite0_weights(), network.net.encoder.model.state_dict()
    assert len(weights) == 296
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.items())


def test_without_weights_it_starts_from_chance():
    stem = "conv_stem.weight"
    assert not torch.equal(build_network(SPEC).net.encoder.model.state_dict()[stem], lite0_weights()[stem])


def test_only_the_decoder_learns_while_the_encoder_is_frozen(network):
    decoder = {id(parameter) for parameter in network.decoder_parameters()}
    encoder = {id(parameter) for parameter in network.net.encoder.parameters()}
    assert not decoder & encoder
    assert decoder | encoder == {id(parameter) for parameter in network.parameters()}


def test_depthwise_convolutions_learn_in_float32_and_answer_the_same(network):
    plain = torch.nn.functional.conv2d
    seen = []

    def spy(*args):
        seen.append((args[0].dtype, args[6]))
        return plain(*args)

    pixels = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    torch.nn.functional.conv2d = spy
    try:
        with torch.autocast("cpu", torch.bfloat16):
            learning = copy.deepcopy(network)(pixels)
    finally:
        torch.nn.functional.conv2d = plain
    with torch.inference_mode():
        exact = network(pixels)
    assert {dtype for dtype, groups in seen if groups > 1} == {torch.float32}
    assert (learning - exact).abs().mean() < 0.05 * (exact.max() - exact.min())
