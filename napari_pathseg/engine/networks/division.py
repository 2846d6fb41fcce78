"""A network in three stages, so that each pixel is computed with the margin that its own layers need.

The layers at a stride of 16 and 32 see hundreds of pixels around each one, but cost a quarter of the time; those at
finer strides cost the rest and see less than forty.  In one pass over a tile all of them pay the largest margin.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEAM = 8  # pixels between the features that pass from stage to stage
_PROBE_SIDE = 64  # pixels


class Division(NamedTuple):
    """A network in three modules, or what computes them, which together equal it.

    Attributes
    ----------
    shallow
        From pixels (n, channels, rows, columns), 0 to 255, to a tuple of features, finest first; the last ones lie at
        the seam.
    deep
        From the features at the seam to a tuple of coarse features, finest first.
    fine
        From the coarse features and all but the last shallow ones, both finest first, to logits.
    strides, coarse_strides
        Pixels between the features of `shallow` and of `deep`.
    """

    shallow: Callable[..., tuple[Tensor, ...]]
    deep: Callable[[Tensor], tuple[Tensor, ...]]
    fine: Callable[..., Tensor]
    strides: tuple[int, ...]
    coarse_strides: tuple[int, ...] = (SEAM,)


class _EncoderParts(NamedTuple):
    """The modules that lead from each of an encoder's features to the next, and the pixels between the features."""

    parts: list[nn.Sequential]
    strides: tuple[int, ...]

    @property
    def seam(self) -> int:
        """How many of the features come before the seam or at it."""
        return self.strides.index(SEAM) + 1


def divide_unet(net: Any, scale: Callable[[Tensor], Tensor], outputs: Callable[[Tensor], Tensor]) -> Division | None:
    """Divide a U-Net of segmentation-models-pytorch in eval mode; return None if its encoder is no chain of modules.

    Parameters
    ----------
    net
        The U-Net.
    scale
        Normalises pixels for `net`.
    outputs
        Makes the logits of its classes from those of `net`.
    """
    found, blocks = _encoder_parts(net.encoder), list(net.decoder.blocks)
    if found is None or len(blocks) != len(found.parts):
        return None
    parts, seam, late = found.parts, found.seam, len(found.parts) - found.seam
    return Division(
        _Shallow(scale, parts[:seam]),
        _Deep(parts[seam:], net.decoder.center, blocks[:late]),
        _Fine(blocks[late:], net.segmentation_head, outputs),
        found.strides[:seam],
    )


def divide_encoder(
    encoder: Any,
    scale: Callable[[Tensor], Tensor],
    network: Any,
    smooth: Callable[[list[Tensor]], list[Tensor]] | None = None,
    colour_stride: int = 0,
) -> Division | None:
    """Divide a network in eval mode within its encoder, so that the fine stage is all of its decoder.

    Parameters
    ----------
    encoder
        One of segmentation-models-pytorch; None is returned if it is no chain of modules.
    scale
        Normalises pixels for the encoder.
    network
        The `Network`, whose decoder makes logits of the features.
    smooth
        Makes of the features of the encoder those of the network; None if they are the same.
    colour_stride
        If not 0, the features begin with the mean colour of so many rows and columns.
    """
    found = _encoder_parts(encoder)
    if found is None:
        return None
    parts, seam, coarse_strides = found.parts, found.seam, found.strides[found.seam - 1 :]
    return Division(
        _Shallow(scale, parts[:seam], colour_stride),
        _DeepFeatures(parts[seam:]),
        _Decoder(network, smooth, len(coarse_strides)),
        (*[colour_stride] * bool(colour_stride), *found.strides[:seam]),
        coarse_strides,
    )


@torch.no_grad()
def _encoder_parts(encoder: Any) -> _EncoderParts | None:
    """Return an encoder of segmentation-models-pytorch in parts; None if it is no chain of modules."""
    chain = _chain(encoder)
    like = next(encoder.parameters())
    probe = torch.rand(1, 3, _PROBE_SIDE, _PROBE_SIDE, generator=torch.Generator().manual_seed(0)).to(like)
    features = encoder(probe)[1:]
    ends = _ends(chain, probe, features)
    if ends is None:
        return None
    strides = tuple(_PROBE_SIDE // feature.shape[-1] for feature in features)
    if SEAM not in strides[:-1] or strides != tuple(2 ** (depth + 1) for depth in range(len(features))):
        return None
    return _EncoderParts([nn.Sequential(*chain[first:end]) for first, end in itertools.pairwise([0, *ends])], strides)


def _chain(encoder: Any) -> list[nn.Module]:
    """Return the modules that an encoder may consist of, one after another."""
    body = getattr(encoder, "model", encoder)
    chain: list[nn.Module] = []
    for module in body.children():
        chain += module.children() if isinstance(module, nn.Sequential | nn.ModuleList) else [module]
    return chain


def _ends(chain: list[nn.Module], probe: Tensor, features: list[Tensor]) -> list[int] | None:
    """Return after how many modules of a chain each of an encoder's features comes; None if they do not come so."""
    ends: list[int] = []
    level = probe
    for count, module in enumerate(chain, start=1):
        try:
            level = module(level)
        except (TypeError, ValueError, RuntimeError, NotImplementedError):
            return None
        if not isinstance(level, Tensor):
            return None
        wanted = features[len(ends)]
        if level.shape == wanted.shape and torch.allclose(level, wanted, rtol=1e-4, atol=1e-5):
            ends.append(count)
        if len(ends) == len(features):
            return ends
    return None


class _Shallow(nn.Module):
    """Scaling, and the first layers of an encoder."""

    def __init__(self, scale: Callable[[Tensor], Tensor], parts: list[nn.Sequential], colour_stride: int = 0) -> None:
        super().__init__()
        self.scale, self.parts, self.colour_stride = scale, nn.ModuleList(parts), colour_stride

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the features of pixels, finest first."""
        level = self.scale(pixels)
        features = [F.avg_pool2d(level, self.colour_stride)] if self.colour_stride else []
        for part in self.parts:
            level = part(level)
            features.append(level)
        return tuple(features)


class _Deep(nn.Module):
    """The other layers of an encoder, and the decoder up to where they begin."""

    def __init__(self, parts: list[nn.Sequential], center: nn.Module, blocks: list[Any]) -> None:
        super().__init__()
        self.parts, self.center, self.blocks = nn.ModuleList(parts), center, nn.ModuleList(blocks)

    def forward(self, seam: Tensor) -> tuple[Tensor]:
        """Return the coarse answer of the features at the seam."""
        skips = [seam]
        for part in self.parts:
            skips.append(part(skips[-1]))
        level = self.center(skips.pop())
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            level = block(level, *skip.shape[-2:], skip_connection=skip)
        return (cast(Tensor, level),)


class _DeepFeatures(nn.Module):
    """The other layers of an encoder."""

    def __init__(self, parts: list[nn.Sequential]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, seam: Tensor) -> tuple[Tensor, ...]:
        """Return the features at the seam, and all coarser ones."""
        features = [seam]
        for part in self.parts:
            features.append(part(features[-1]))
        return tuple(features)


class _Fine(nn.Module):
    """The rest of the decoder, and the logits."""

    def __init__(self, blocks: list[Any], head: nn.Module, outputs: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.blocks, self.head, self.outputs = nn.ModuleList(blocks), head, outputs

    def forward(self, coarse: Tensor, *skips: Tensor) -> Tensor:
        """Return the logits of a coarse answer and finer features, finest first."""
        level = coarse
        for block, skip in zip(self.blocks, [*reversed(skips), None], strict=True):
            rows, columns = (2 * side for side in level.shape[-2:])
            level = block(level, rows, columns, skip_connection=skip)
        return self.outputs(self.head(level))


class _Decoder(nn.Module):
    """A decoder, and the logits."""

    def __init__(self, network: Any, smooth: Callable[[list[Tensor]], list[Tensor]] | None, coarse: int) -> None:
        super().__init__()
        self.network, self.smooth, self.coarse = network, smooth, coarse

    def forward(self, *features: Tensor) -> Tensor:
        """Return the logits of so many coarse features, then the others, both finest first."""
        levels = [*features[self.coarse :], *features[: self.coarse]]
        return cast(Tensor, self.network.decode(levels if self.smooth is None else self.smooth(levels)))
