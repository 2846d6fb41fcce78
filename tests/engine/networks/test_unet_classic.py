import pytest
import torch

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network


def count_by_hand(channels: int, outputs: int) -> int:
    """The layers of the common Keras form: (side of the kernel, inputs, filters)."""
    layers = [(3, channels, 64), (3, 64, 64)]
    for width in (128, 256, 512, 1024):
        layers += [(3, width // 2, width), (3, width, width)]
    for width in (512, 256, 128, 64):
        layers += [(2, 2 * width, width), (3, 2 * width, width), (3, width, width)]
    layers += [(3, 64, 2 * outputs), (1, 2 * outputs, outputs)]
    return sum(side**2 * inputs * filters + filters for side, inputs, filters in layers)


@pytest.fixture(scope="module")
def grey():
    return build_network(NetworkSpec("unet-classic", "none", 1, channels=1)).eval()


def test_parameter_count_is_that_of_the_keras_form(grey):
    assert count_by_hand(1, 1) == 31_031_685
    assert sum(parameter.numel() for parameter in grey.parameters()) == 31_031_685


def test_colour_network_ignores_imagenet_weights():
    network = build_network(NetworkSpec("unet-classic", "tf_efficientnet_lite0", 3, context=True), "imagenet")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == count_by_hand(3, 3) + 1024**2  # the context layer
    with torch.inference_mode():
        pixels = torch.rand(1, 3, 32, 32) * 255
        assert torch.equal(network.eval()(pixels), network(pixels, 255 - pixels))


def test_grey_network_takes_the_mean_of_the_channels(grey):
    pixels = torch.randint(0, 256, (1, 3, 32, 32)).float()
    with torch.inference_mode():
        assert torch.allclose(grey(pixels), grey(pixels.mean(1, keepdim=True).expand_as(pixels)), atol=1e-5)
        assert not torch.allclose(grey(pixels), grey(255 - pixels), atol=1e-5)


def test_weights_start_as_he_normal(grey):
    weights = grey.merge[0][0][0].weight
    deviation = (2 / (128 * 9)) ** 0.5
    assert weights.std().item() == pytest.approx(deviation, rel=0.01)
    assert weights.abs().max() <= 2 * deviation / 0.8796
    assert all(not p.any() for name, p in grey.named_parameters() if name.endswith("bias"))


def test_dropout_acts_on_the_two_deepest_levels_in_training(grey):
    grey.train()
    with torch.no_grad():
        twice = [grey.encode(torch.full((1, 3, 32, 32), 200.0)) for _ in range(2)]
    grey.eval()
    assert [torch.equal(*levels) for levels in zip(*twice, strict=True)] == [True, True, True, False, False]
