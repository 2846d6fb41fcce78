"""Build a network from its spec: its row of the table, workarounds for bfloat16 on a CPU, initial weights.

With bfloat16 autocast on a CPU, torch 2.14 has two problems in the backward pass.
Depthwise convolutions take four times as long: 211 against 49 ms for those of
EfficientNet-lite0, 4 tiles of 256², on two cores; in float32 a whole training step takes 0.6
of its time.  Convolutions of 4,096 inputs and fewer than 16 outputs, such as the class scores
of FCN-8s, write out of bounds on CPUs with AMX and crash the process (2,048 inputs, or 16
outputs, are correct).  Both kinds are trained in float32.
"""

import torch
from torch import Tensor, nn

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS
from napari_pathseg.engine.networks.network import Network
from napari_pathseg.engine.networks.weights import load_encoder_weights
from napari_pathseg.errors import BundleError

_MAX_INPUTS, _MIN_OUTPUTS = 2048, 16  # more inputs together with fewer outputs run in float32


def build_network(spec: NetworkSpec, weights: str = "none") -> Network:
    """Build a network and initialise its encoder with `weights`; see `weights.load_encoder_weights`.

    Raises
    ------
    BundleError
        If the architecture or the encoder is unknown, the two do not work together, or the
        weights cannot be loaded or belong to another encoder.
    """
    if spec.architecture not in NETWORK_KINDS:
        known = ", ".join(NETWORK_KINDS)
        raise BundleError(f'"{spec.architecture}" is not a network of this version. Choose one of {known}.')
    network = NETWORK_KINDS[spec.architecture].build(spec)
    _force_fp32_convs(network)
    load_encoder_weights(network, spec, weights)
    network.set_outputs(spec.known)
    return network


class _Float32(nn.Conv2d):
    """A mixin that disables autocast for a convolution while gradients are computed on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float()).to(input.dtype)


def _force_fp32_convs(network: nn.Module) -> None:
    """Exclude the affected convolutions from bfloat16 autocast while the network is trained on a CPU."""
    classes: dict[type, type] = {}
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and (_is_depthwise(module) or _is_narrow(module)):
            cls = type(module)
            if cls not in classes:
                classes[cls] = type(f"Float32{cls.__name__}", (_Float32, cls), {})
            module.__class__ = classes[cls]


def _is_depthwise(module: nn.Conv2d) -> bool:
    return module.groups == module.in_channels > 1


def _is_narrow(module: nn.Conv2d) -> bool:
    return module.in_channels > _MAX_INPUTS and module.out_channels < _MIN_OUTPUTS
