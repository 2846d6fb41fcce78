"""The U-Net of 2015 in its common Keras form, trained from random weights.

Ronneberger et al., U-Net, 2015; with 'same' convolutions, so that the output has the size of the image.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.division import Division
from napari_pathseg.engine.networks.network import Network

WIDTHS = (64, 128, 256, 512, 1024)
_DROPOUT = 0.5  # after the two deepest levels
_TRUNCATION = 0.87962566103423978  # standard deviation of a normal distribution truncated at ±2


class UNetClassic(Network):
    """The U-Net in its Keras form: 31 million weights, five levels, no batch norm.

    Pixels are scaled to -1 … 1, not to 0 … 1 as in the Keras form: after 40 steps the
    cross-entropy of held-out tiles was 0.38 instead of 0.51 on membranes (ISBI 2012) and 0.56
    instead of 0.64 on glands in H&E (one seed each).

    Notes
    -----
    The Keras form ends in a convolution to two filters with ReLU before the 1 × 1 convolution
    to one output.  Two rectified values cannot separate many classes, so there are two filters
    per output here; with one output both forms are the same.
    """

    multiple = 16

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__((127.5,) * spec.channels, (127.5,) * spec.channels)
        self.grey = spec.channels == 1
        channels = (spec.channels, *WIDTHS)
        self.down = nn.ModuleList(_two_convolutions(inputs, outputs) for inputs, outputs in pairwise(channels))
        self.dropout = nn.Dropout(_DROPOUT)
        self.up = nn.ModuleList(_convolution(wide, narrow, 2) for narrow, wide in pairwise(WIDTHS))
        self.merge = nn.ModuleList(_two_convolutions(2 * width, width) for width in WIDTHS[:-1])
        self.last = nn.Sequential(
            _convolution(WIDTHS[0], 2 * spec.classes, 3), nn.Conv2d(2 * spec.classes, spec.classes, 1)
        )
        _he_normal(self)
        self._add_context(spec, WIDTHS[-1])

    @property
    def encoder(self) -> nn.Module:
        """The contracting path."""
        return self.down

    def _scale(self, pixels: Tensor) -> Tensor:
        return super()._scale(pixels.float().mean(dim=1, keepdim=True) if self.grey else pixels)

    def _encode(self, pixels: Tensor, levels: int = len(WIDTHS)) -> list[Tensor]:
        features: list[Tensor] = []
        level = pixels
        for depth in range(levels):
            level = self._descend(level, depth)
            features.append(level)
        return features

    def _decode(self, features: list[Tensor]) -> Tensor:
        level = features[-1]
        for depth in reversed(range(len(features) - 1)):
            level = self._ascend(level, features[depth], depth)
        logits: Tensor = self.last(level)
        return logits

    def _descend(self, level: Tensor, depth: int) -> Tensor:
        """Return the encoder's features at a depth from those above it, from the pixels at depth 0."""
        level = self.down[depth](level if depth == 0 else F.max_pool2d(level, 2))
        return self.dropout(level) if depth >= len(self.down) - 2 else level

    def _ascend(self, level: Tensor, skip: Tensor, depth: int) -> Tensor:
        """Return the decoder's features at a depth from those below it."""
        upsampled = F.interpolate(level, scale_factor=2.0, mode="nearest")
        upsampled = self.up[depth](F.pad(upsampled, (0, 1, 0, 1)))  # Keras pads an even kernel on the right and below
        merged: Tensor = self.merge[depth](torch.cat([skip, upsampled], dim=1))
        return merged

    def divide(self) -> Division | None:
        """Return the network in three stages, the second of which is its deepest level; None with context."""
        if self.surroundings is not None:
            return None
        return Division(_Shallow(self), _Deep(self), _Fine(self), tuple(2**depth for depth in range(len(self.merge))))


class _Stage(nn.Module):
    """A part of the network."""

    def __init__(self, network: UNetClassic) -> None:
        super().__init__()
        self.network, self.deepest = network, len(network.merge)


class _Shallow(_Stage):
    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network._encode(self.network._scale(pixels), self.deepest))


class _Deep(_Stage):
    def forward(self, seam: Tensor) -> tuple[Tensor]:
        return (self.network._ascend(self.network._descend(seam, self.deepest), seam, self.deepest - 1),)


class _Fine(_Stage):
    def forward(self, level: Tensor, *skips: Tensor) -> Tensor:
        return self.network._known_outputs(self.network._decode([*skips, level]))


def _convolution(inputs: int, outputs: int, side: int) -> nn.Sequential:
    padding = side // 2 if side % 2 else 0
    return nn.Sequential(nn.Conv2d(inputs, outputs, side, padding=padding), nn.ReLU(inplace=True))


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs, 3), _convolution(outputs, outputs, 3))


def _he_normal(network: nn.Module) -> None:
    """Initialise like Keras's he_normal: a normal distribution truncated at two standard deviations."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
            _truncated_normal(layer.weight.data, math.sqrt(2 / fan_in) / _TRUNCATION)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _truncated_normal(weights: Tensor, deviation: float) -> None:
    """Fill `weights`, redrawing values beyond two standard deviations, in a third of the time of torch's function."""
    if weights.is_meta:  # without values, see `bundle_io.load_network`
        return
    flat = weights.normal_().view(-1)
    beyond = (flat.abs() > 2).nonzero()[:, 0]
    while len(beyond):
        drawn = torch.randn(len(beyond))
        flat[beyond] = drawn
        beyond = beyond[drawn.abs() > 2]
    weights.mul_(deviation)
