"""Convolutions that learn in float32 on a processor, whatever the rest of a network does.

With bfloat16 autocast and torch 2.14 the backward pass of two kinds fails on a CPU.
Depthwise ones take four times as long: 211 against 49 ms for those of EfficientNet-lite0, 4
tiles of 256², on two cores; in float32 a whole training step takes 0.6 of its time.  Those
of 4,096 inputs and fewer than 16 outputs, as FCN-8s scores its classes, write beyond their
memory on processors with AMX (2,048 inputs, or 16 outputs, are right): the program dies.
"""

import torch
from torch import Tensor, nn

_WIDE, _NARROW = 2048, 16  # more inputs than this and fewer outputs than this are not trusted


class _Float32(nn.Conv2d):
    """Mixed into a convolution, keeps autocast out of it while gradients are wanted on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float()).to(input.dtype)


def force_fp32_convs(network: nn.Module) -> None:
    """Keep the convolutions that fail in bfloat16 out of autocast while a network learns on a CPU."""
    classes: dict[type, type] = {}
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and (_is_depthwise(module) or _is_narrow(module)):
            kind = type(module)
            if kind not in classes:
                classes[kind] = type(f"Float32{kind.__name__}", (_Float32, kind), {})
            module.__class__ = classes[kind]


def _is_depthwise(module: nn.Conv2d) -> bool:
    return module.groups == module.in_channels > 1


def _is_narrow(module: nn.Conv2d) -> bool:
    return module.in_channels > _WIDE and module.out_channels < _NARROW
