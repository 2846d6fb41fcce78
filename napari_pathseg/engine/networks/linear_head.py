"""A linear classifier on the features of a frozen encoder: the live model.

It is fitted in closed form, see `engine.live.discriminant`, in milliseconds once the features are known.
"""

from typing import Any, cast

import torch
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor, nn
from torch.nn import functional as F

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.division import Division, divide_encoder
from napari_pathseg.engine.networks.encoders import Encoder, find_encoder
from napari_pathseg.engine.networks.network import Network
from napari_pathseg.engine.networks.vit import LAYER_SCALE, build_vit, encode_patches, patch_shrink
from napari_pathseg.errors import BundleError

_COLOUR_STRIDE = 2  # pixels
_WINDOW = 3  # side of the mean over each scale's features; smooths the answer as the mean of the answers would


class LinearHead(Network):
    """A weight for each feature of the encoder and for the colour, at each scale where it lies, summed.

    Bilinear interpolation is linear, too, so the sum of the up-sampled answers equals the answer on
    up-sampled features: no feature is ever up-sampled.
    """

    optional_weights = LAYER_SCALE  # layer scale of a transformer; 1 if a file lacks it

    def __init__(self, spec: NetworkSpec) -> None:
        encoder = find_encoder(spec.encoder)
        super().__init__(encoder.mean, encoder.std)
        self.net, widths = _build(encoder)
        self._shrink = patch_shrink(self.net) if encoder.is_vit else None
        self.heads = nn.ModuleList(nn.Conv2d(width, spec.classes, 1, bias=False) for width in (3, *widths))
        self.bias = nn.Parameter(torch.zeros(spec.classes))
        self._add_context(spec, widths[-1])

    @property
    def encoder(self) -> nn.Module:
        """The encoder, whose features are never trained by a fit."""
        return cast(nn.Module, self.net)

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        if self._shrink is None:
            features = cast(list[Tensor], self.net(pixels))[1:]
        else:
            features = encode_patches(self.net, self._shrink, pixels)
        colour = F.avg_pool2d(pixels, _COLOUR_STRIDE)
        levels = [colour, *(level for level in features if level.shape[1])]  # some encoders leave a scale out
        return _smooth(levels)

    def _decode(self, features: list[Tensor]) -> Tensor:
        rows, columns = (_COLOUR_STRIDE * side for side in features[0].shape[-2:])
        answers = (head(level) for head, level in zip(self.heads, features, strict=True))
        logits = sum(F.interpolate(answer, (rows, columns), mode="bilinear") for answer in answers)
        return logits + self.bias.view(1, -1, 1, 1)

    def divide(self) -> Division | None:
        """Return the network in three stages; None with context, or if its encoder is no chain of layers."""
        if self._shrink is not None or self.surroundings is not None:
            return None
        return divide_encoder(self.net, self._scale, self, _smooth, _COLOUR_STRIDE)

    @property
    def widths(self) -> list[int]:
        """The number of features at each scale, the colour first."""
        return [weight.shape[1] for weight in self._weights]

    @torch.no_grad()
    def set_classifier(self, weights: Tensor, bias: Tensor) -> None:
        """Set the weights (classes, numbers) of all features, those of the colour first, and the bias (classes,)."""
        for weight, part in zip(self._weights, torch.split(weights, self.widths, dim=1), strict=True):
            weight.copy_(part[:, :, None, None])
        self.bias.copy_(bias)

    @property
    def _weights(self) -> list[Tensor]:
        return [cast(nn.Conv2d, head).weight for head in self.heads]


def _smooth(levels: list[Tensor]) -> list[Tensor]:
    return [F.avg_pool2d(level, _WINDOW, 1, _WINDOW // 2, count_include_pad=False) for level in levels]


def _build(encoder: Encoder) -> tuple[Any, list[int]]:
    """Return an encoder without weights, and its number of features at each scale."""
    if encoder.is_vit:
        net = build_vit(encoder.name)
        return net, [net.embed_dim]
    try:
        net = get_encoder(encoder.smp_name, weights=None)
    except (TypeError, ValueError, RuntimeError, AssertionError, AttributeError, LookupError) as error:
        raise BundleError(
            f"features+linear does not work with the encoder {encoder.name} ({error}). Choose another encoder, such as "
            "tf_efficientnet_lite0 or resnet34."
        ) from error
    return net, [width for width in net.out_channels[1:] if width]
