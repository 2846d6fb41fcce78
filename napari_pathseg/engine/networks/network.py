"""The base class of all networks: pixels in, a logit per class and pixel out.

The encoder computes features and the decoder turns them into logits, so that features can be
cached while only the decoder is trained.  A network takes RGB pixels from 0 to 255; their
normalisation is stored with its weights.  This module does padding, normalisation and context;
the layers are defined in the modules of the subclasses.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.division import Division

_NEVER = -1e4  # a logit whose probability is 0, within the range of half precision
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


class Network(nn.Module, ABC):
    """A segmentation network with an encoder and a decoder.

    Attributes
    ----------
    multiple
        Rows and columns passed to `encode` and `decode` must be multiples of it.
    optional_weights
        Suffixes of encoder tensor names that a weights file may lack.
    encoder_share
        Learning rate of the encoder as a fraction of the decoder's; below 1 without normalisation layers, to
        keep training stable.
    weights_note
        What the initial weights lack, as a sentence for the user; empty if nothing.
    """

    multiple: int = 32
    optional_weights: tuple[str, ...] = ()
    encoder_share: float = 1.0
    weights_note: str = ""
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.surroundings: nn.Conv2d | None = None
        self._known: tuple[int, ...] = ()
        self._merged: dict[int, int] = {}

    # -- defined by each network

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """The module that pretrained weights are loaded into."""

    @abstractmethod
    def _encode(self, pixels: Tensor) -> list[Tensor]:
        """Return the features of normalised pixels, finest first."""

    @abstractmethod
    def _decode(self, features: list[Tensor]) -> Tensor:
        """Return the logits of :meth:`_encode`'s features, at the size of the pixels."""

    # -- shared by all networks

    def forward(self, pixels: Tensor, context: Tensor | None = None) -> Tensor:
        """Return logits (n, classes, rows, columns) of pixels of any size; see :meth:`encode`."""
        rows, columns = pixels.shape[-2:]
        pad_rows, pad_columns = -rows % self.multiple, -columns % self.multiple
        if not pad_rows and not pad_columns:
            return self.decode(self.encode(pixels, context))
        top, left = pad_rows // 2, pad_columns // 2  # on all sides, so that the centre stays in place
        margins = (left, pad_columns - left, top, pad_rows - top)
        pixels = F.pad(pixels.float(), margins, mode="replicate")
        context = None if context is None else F.pad(context.float(), margins, mode="replicate")
        return self.decode(self.encode(pixels, context))[..., top : top + rows, left : left + columns]

    def encode(self, pixels: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """Return the features of tiles, finest first, and those of their context last.

        Parameters
        ----------
        pixels
            RGB tiles (n, 3, rows, columns), 0 to 255, of any dtype; rows and columns must be
            multiples of `multiple`.
        context
            Surroundings of the tiles: the same shape and centre, four times as wide.  Networks without
            context ignore it; with None, networks with context use only the tile.
        """
        features = self._encode(self._scale(pixels))
        if self.surroundings is not None:
            features.append(torch.zeros_like(features[-1]) if context is None else self._encode_context(context))
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return the logits of the features from :meth:`encode`."""
        if self.surroundings is not None:
            *finer, deepest, context = features
            features = [*finer, deepest + self.surroundings(_magnify_centre(context))]
        return self._known_outputs(self._decode(features))

    def divide(self) -> Division | None:
        """Return the network, in eval mode, in three stages; None if it cannot be divided."""
        return None

    def set_outputs(self, known: Sequence[int], merged: Mapping[int, int] | None = None) -> None:
        """Predict only the classes `known`, by number, or all if it is empty.

        A class that was `merged` adds its probability to that of the class which took it over.
        """
        self._known, self._merged = tuple(known), dict(merged or {})

    def extra_repr(self) -> str:
        """Return which outputs it has, so that the representation says all but the weights."""
        return f"outputs={self._known}, merged={self._merged}"

    def _known_outputs(self, logits: Tensor) -> Tensor:
        if not self._known and not self._merged:
            return logits
        outputs = list(logits.unbind(dim=1))
        known = {number: outputs[number - 1] for number in self._known or range(1, len(outputs) + 1)}
        for number, into in self._merged.items():
            output = known.pop(number, None)
            if output is not None:
                both = output if into not in known else torch.logaddexp(known[into].float(), output.float())
                known[into] = both.to(logits.dtype)
        never = torch.full_like(outputs[0], _NEVER)
        return torch.stack([known.get(number, never) for number in range(1, len(outputs) + 1)], dim=1)

    def _scale(self, pixels: Tensor) -> Tensor:
        scaled = (pixels.float() - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)

    def _encode_context(self, context: Tensor) -> Tensor:
        # Context is coarser than tiles; including it would make the batch norm statistics wrong
        # for both.
        with _fixed_statistics(self.encoder):
            return self._encode(self._scale(context))[-1]

    def _add_context(self, spec: NetworkSpec, channels: int) -> None:
        """Add the context layer if `spec` has context; it starts at zero, so context has no effect yet.

        Call this last, so that all other layers draw the same random numbers as without context.
        """
        if spec.context:
            self.surroundings = nn.Conv2d(channels, channels, 1, bias=False)
            nn.init.zeros_(self.surroundings.weight)

    def set_scale(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set the normalisation that the encoder was trained with: subtract `mean`, divide by `std`."""
        self.mean.copy_(torch.tensor(mean).view(1, -1, 1, 1))
        self.std.copy_(torch.tensor(std).view(1, -1, 1, 1))

    def load_classifier(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Initialise decoder layers from the classifier of `source`, by name; most networks have none to fill."""

    def randomize_upsampling(self) -> None:
        """Give transposed convolutions that start as interpolation Xavier's random weights; most networks have none."""

    def adapt_to_weights(self) -> None:
        """Adjust the network after weights were loaded into its encoder; most networks need no change."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a bundle's weights; for old bundles without a normalisation, keep the present one."""
        own = {"mean": self.mean, "std": self.std}
        return super().load_state_dict({**own, **state_dict}, strict, assign)

    # -- parameter groups

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the encoder."""
        return list(self.encoder.parameters())

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained while the encoder is frozen: all except the encoder's."""
        encoder = {id(parameter) for parameter in self.encoder.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in encoder]

    def decayed_parameters(self) -> list[nn.Parameter]:
        """Return the parameters with weight decay: weights, but not biases or normalisation layers."""
        return [parameter for parameter in self.parameters() if parameter.ndim > 1]


def _magnify_centre(context: Tensor) -> Tensor:
    """Return the central quarter of a feature map, magnified to the size of the whole map.

    Each value is sampled at its tile's position in the context, so the map's sides need not be
    multiples of four.
    """
    down, across = (_centre(size, context.device) for size in context.shape[-2:])
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1).expand(len(context), -1, -1, -1)
    sampled = F.grid_sample(context.float(), grid, padding_mode="border", align_corners=False)
    return sampled.to(context.dtype)


def _centre(size: int, device: torch.device) -> Tensor:
    """Return `size` positions in the central quarter of an axis that goes from -1 to 1."""
    return ((2 * torch.arange(size, device=device) + 1) / size - 1) / 4  # affine_grid does not convert to OpenVINO


@contextmanager
def _fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Use the running statistics of batch norms inside the block, without updating them."""
    training = [part for part in module.modules() if isinstance(part, _NORMS) and part.training]
    for part in training:
        part.eval()
    try:
        yield
    finally:
        for part in training:
            part.train()
