"""Fold the batch norms of a frozen encoder into its convolutions, which then need fewer passes over memory.

EfficientNet-lite0 takes 0.73 of its time so in fp32, 0.86 in bfloat16, on two cores.
"""

import copy
import itertools
from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from napari_pathseg.engine.networks.linear_head import LinearHead

_PROBE = 64  # pixels along the picture on which both are compared
_MOST = 1e-3  # difference, as a fraction of the largest number of a scale


@torch.no_grad()  # not inference mode: autocast cannot cache weights that were made in it
def folded(network: LinearHead) -> LinearHead:
    """Return a copy of a network in eval mode whose batch norms are part of the convolutions before them.

    Where that gives other features, as in a network that normalises before it convolves, it is `network` itself.
    """
    copied = copy.deepcopy(network)
    for parent in copied.encoder.modules():
        for (_, conv), (name, norm) in itertools.pairwise(list(parent.named_children())):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if conv.out_channels == norm.num_features:
                _fold(conv, norm)
                setattr(parent, name, getattr(norm, "act", nn.Identity()))
    generator = torch.Generator().manual_seed(0)
    probe = torch.randint(0, 256, (1, 3, _PROBE, _PROBE), generator=generator, dtype=torch.uint8)
    pairs = zip(network.encode(probe), copied.encode(probe), strict=True)
    same = all(float((a - b).abs().max()) <= _MOST * float(a.abs().max()) for a, b in pairs)
    return copied if same else network


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = cast(torch.Tensor, norm.running_mean), cast(torch.Tensor, norm.running_var)
    fused = fuse_conv_bn_weights(conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias)
    conv.weight, conv.bias = fused
