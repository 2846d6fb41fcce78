import numpy as np
import pytest
import torch
from torch import nn

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training.stage_pictures import (
    channel_grid,
    decoder_stages,
    kernel_grid,
    stage_kernels,
    stage_outputs,
)

TILES = (torch.zeros(1, 3, 64, 64),)


@pytest.fixture(scope="module")
def networks():
    specs = {"unet": "resnet18", "unet-classic": "", "fcn8s": ""}
    return {name: build_network(NetworkSpec(name, encoder, 2)).eval() for name, encoder in specs.items()}


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        (
            "unet",
            [
                *("net.encoder.conv1", "net.encoder.layer1.0.conv1", "net.encoder.layer2.0.conv1"),
                *("net.encoder.layer3.0.conv1", "net.encoder.layer4.0.conv1"),
                *(f"net.decoder.blocks.{block}.conv1.0" for block in range(5)),
                "net.segmentation_head.0",
            ],
        ),
        (
            "unet-classic",
            [*(f"down.{depth}.0.0" for depth in range(5)), "up.3.0", "up.2.0", "up.1.0", "up.0.0", "last.0.0"],
        ),
        (
            "fcn8s",
            [*(f"features.{first}" for first in (0, 5, 10, 17, 24)), "fc6", "up_fc7", "up_pool4", "up_pool3"],
        ),
    ],
)
def test_kernels_are_those_of_the_first_layer_of_every_stage_and_the_last(networks, architecture, names):
    assert list(stage_kernels(networks[architecture], TILES)) == names


@pytest.mark.parametrize(
    ("architecture", "sides"),
    [
        ("unet", {**{f"net.decoder.blocks.{n}": 4 << n for n in range(4)}, "net.segmentation_head": 64}),
        ("unet-classic", {"merge.3": 8, "merge.2": 16, "merge.1": 32, "last": 64}),
        ("fcn8s", {"score_fc7": 2, "fuse_pool4": 4, "fuse_pool3": 8, "up_pool3": 64}),
    ],
)
def test_decoder_stages_end_in_the_last_layer_of_each_resolution(networks, architecture, sides):
    network = networks[architecture]
    stages = decoder_stages(network, TILES)
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output.shape[-1]}))
        for name, module in stages.items()
    ]
    network(*TILES)
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(sides)
    for (name, side), (prefix, expected) in zip(seen.items(), sides.items(), strict=True):
        assert name.startswith(prefix)
        assert side == expected


def test_pictures_of_the_decoder_are_its_outputs_for_the_tile(networks):
    network = networks["fcn8s"]
    tiles = (torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0)),)
    pictures = stage_outputs(network, decoder_stages(network, tiles), tiles)
    with torch.no_grad():
        logits = network(*tiles)[0]
    assert np.array_equal(pictures["up_pool3"], channel_grid(logits))
    assert set(pictures) == {"score_fc7", "fuse_pool4", "fuse_pool3", "up_pool3"}


def test_channels_lie_side_by_side_from_black_to_white():
    ramp = torch.arange(96.0).expand(96, 96)
    grid = channel_grid(torch.stack([ramp, -ramp, torch.full_like(ramp, 7.0)]))
    assert grid.shape == (97, 3 * 97)
    assert np.array_equal(grid[0, :96], np.arange(96) * 255 // 95)
    assert np.array_equal(grid[0, 97:193], grid[0, :96][::-1])
    assert not grid[:, 194:].any()
    assert channel_grid(torch.rand(100, 8, 8)).shape == (4 * 97, 4 * 97)  # 16 of them, each enlarged


def test_kernel_of_zero_is_grey():
    layer = nn.Conv2d(2, 1, 3)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 1, 0, 0] = -2.0
        layer.weight[0, 1, 2, 2] = 1.0
    grid = kernel_grid(layer)
    first, second = grid[:12, :12], grid[:12, 13:25]
    assert set(np.unique(first)) == {127}
    assert (second[0, 0], second[11, 11]) == (0, 191)


def test_kernel_grid_shows_the_first_sixteen_filters():
    assert kernel_grid(nn.ConvTranspose2d(100, 20, 3)).shape == (16 * 13, 16 * 13)
