import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import Network, build_network

ENCODERS = {
    "unet": "tf_efficientnet_lite0",
    "unetplusplus": "resnet18",
    "fpn": "mit_b0",
    "deeplabv3plus": "resnet18",
    "segformer": "mit_b0",
}


def noise(seed: int, side: int = 64, tiles: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (tiles, 3, side, side), dtype=torch.uint8, generator=generator)


def pair(architecture: str) -> list[Network]:
    networks = []
    for context in (False, True):
        torch.manual_seed(0)
        spec = NetworkSpec(architecture, ENCODERS[architecture], 2, context=context)
        networks.append(build_network(spec))
    return networks


@pytest.mark.parametrize("architecture", ENCODERS)
def test_untrained_network_with_context_equals_one_without(architecture):
    plain, wide = (network.eval() for network in pair(architecture))
    with torch.inference_mode():
        answers = [plain(noise(0, 45)), wide(noise(0, 45)), wide(noise(0, 45), noise(1, 45))]
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_decoder_learns_from_context_alone():
    spec = NetworkSpec("unet", "tf_efficientnet_lite0", 2, context=True)
    torch.manual_seed(0)
    network = build_network(spec, "imagenet").eval()
    around = torch.stack([torch.full((3, 64, 64), 255.0 * (number % 2)) for number in range(4)])
    labels = torch.tensor([0, 1, 0, 1])[:, None, None].expand(4, 64, 64)
    with torch.no_grad():
        features = network.encode(noise(0).repeat(4, 1, 1, 1), around)
    optimizer = torch.optim.Adam(network.train().decoder_parameters(), 1e-2)
    for _ in range(14):
        logits = network.decode(features)
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
    assert (logits.argmax(dim=1) == labels).float().mean() > 0.9


def test_context_does_not_change_batch_norm_statistics():
    plain, wide = pair("unet")
    plain.train()(noise(0, tiles=2))
    wide.train()(noise(0, tiles=2), noise(1, tiles=2))
    for name, statistic in plain.named_buffers():
        assert torch.equal(statistic, wide.get_buffer(name)), name
    assert all(part.training for part in wide.modules())


class Means(Network):
    """Its features are the means of 8 × 8 pixels, its logits those features."""

    multiple = 8

    def __init__(self) -> None:
        super().__init__((0.0,) * 3, (1.0,) * 3)
        self._add_context(NetworkSpec("means", "none", 3, context=True), 3)

    @property
    def encoder(self) -> nn.Module:
        return nn.Identity()

    def _encode(self, pixels):
        return [F.avg_pool2d(pixels, 8)]

    def _decode(self, features):
        return F.interpolate(features[0], scale_factor=8)


@pytest.mark.parametrize("tiles", [3, 4, 5])
def test_context_is_aligned_with_the_tile(tiles):
    network, side = Means(), 8 * tiles
    network.surroundings.weight.data[:, :, 0, 0] = torch.eye(3)
    column = (torch.arange(side) - (side - 1) / 2).expand(1, 3, side, side)  # from the centre, in its own pixels
    with torch.inference_mode():
        seen = network(torch.zeros(1, 3, side, side), 4 * column)  # as far as it is in the tile's pixels
    assert torch.allclose(seen, F.interpolate(F.avg_pool2d(column, 8), scale_factor=8), atol=1e-4)
