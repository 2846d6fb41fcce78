"""What all networks share: pixels in, a logit per class and pixel out, in two halves.

The encoder makes features, the decoder makes logits of them, so that features can be kept
while only the decoder learns.  A network takes RGB pixels from 0 to 255; how they are scaled
is its own business and is kept with its weights.  Here are padding, scaling and the sight of
the surroundings; what a network is made of is in the modules beside this one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_pathseg.engine.bundle import NetworkSpec

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


class Network(nn.Module, ABC):
    """A segmentation network of an encoder and a decoder.

    Attributes
    ----------
    multiple
        Rows and columns that `encode` and `decode` take are multiples of it.
    optional_weights
        Ends of the encoder's tensor names that a weights file may lack.
    encoder_share
        What of the step size its encoder takes; less where no norms keep it from running away.
    """

    multiple: int = 32
    optional_weights: tuple[str, ...] = ()
    encoder_share: float = 1.0
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.surroundings: nn.Conv2d | None = None

    # -- what each network defines

    @property
    @abstractmethod
    def encoder(self) -> nn.Module:
        """The part that pretrained weights are for."""

    @abstractmethod
    def _encode(self, pixels: Tensor) -> list[Tensor]:
        """Return the features of scaled pixels, finest first."""

    @abstractmethod
    def _decode(self, features: list[Tensor]) -> Tensor:
        """Return the logits of :meth:`_encode`'s features, at the size of the pixels."""

    # -- what all do alike

    def forward(self, pixels: Tensor, context: Tensor | None = None) -> Tensor:
        """Return logits (n, classes, rows, columns) of pixels of any size; see :meth:`encode`."""
        rows, columns = pixels.shape[-2:]
        more_rows, more_columns = -rows % self.multiple, -columns % self.multiple
        if not more_rows and not more_columns:
            return self.decode(self.encode(pixels, context))
        top, left = more_rows // 2, more_columns // 2  # on all sides: the centre is where it was
        margins = (left, more_columns - left, top, more_rows - top)
        pixels = F.pad(pixels.float(), margins, mode="replicate")
        context = None if context is None else F.pad(context.float(), margins, mode="replicate")
        return self.decode(self.encode(pixels, context))[..., top : top + rows, left : left + columns]

    def encode(self, pixels: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """Return the features of tiles, finest first, with those of their surroundings last.

        Parameters
        ----------
        pixels
            RGB tiles (n, 3, rows, columns), 0 to 255, whole numbers or not; rows and columns
            are multiples of `multiple`.
        context
            Their surroundings: the same shape about the same centre, four times as wide.
            Only a network with context takes it; without it such a network sees the tile alone.
        """
        features = self._encode(self._scale(pixels))
        if self.surroundings is not None:
            around = torch.zeros_like(features[-1]) if context is None else self._encode_context(context)
            features.append(around)
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return the logits that the decoder makes of :meth:`encode`'s features."""
        if self.surroundings is None:
            return self._decode(features)
        *finer, deepest, around = features
        return self._decode([*finer, deepest + self.surroundings(_magnify_centre(around))])

    def _scale(self, pixels: Tensor) -> Tensor:
        scaled = (pixels.float() - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)

    def _encode_context(self, context: Tensor) -> Tensor:
        # Surroundings are coarser than tiles; were they counted, the statistics of the batch
        # norms would fit neither.
        with _fixed_statistics(self.encoder):
            return self._encode(self._scale(context))[-1]

    def _add_context(self, spec: NetworkSpec, channels: int) -> None:
        """Let the network see surroundings where `spec` wants it; at first they change no answer.

        Called last, so that all else starts from the same chance as without.
        """
        if spec.context:
            self.surroundings = nn.Conv2d(channels, channels, 1, bias=False)
            nn.init.zeros_(self.surroundings.weight)

    def set_scale(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Scale pixels as the encoder's weights were trained: subtract `mean`, divide by `std`."""
        self.mean.copy_(torch.tensor(mean).view(1, -1, 1, 1))
        self.std.copy_(torch.tensor(std).view(1, -1, 1, 1))

    def adapt_to_weights(self) -> None:
        """Do what a network needs after its encoder got other weights; most need nothing."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a bundle's weights; one from before the scale was kept has this network's own."""
        own = {"mean": self.mean, "std": self.std}
        return super().load_state_dict({**own, **state_dict}, strict, assign)

    # -- what learns

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return what pretrained weights are for."""
        return list(self.encoder.parameters())

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Return what learns while the encoder is frozen: all that is not the encoder's."""
        encoder = {id(parameter) for parameter in self.encoder.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in encoder]

    def decayed_parameters(self) -> list[nn.Parameter]:
        """Return what L2 pulls towards zero: weights, no biases and no norms."""
        return [parameter for parameter in self.parameters() if parameter.ndim > 1]


def _magnify_centre(around: Tensor) -> Tensor:
    """Return the central quarter of a feature map, magnified to the whole map's size.

    Each value is read at the place that its tile has in the surroundings, so this holds for
    maps whose sides are no multiples of four, too.
    """
    quarter = around.new_tensor([[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]], dtype=torch.float32)
    theta = quarter.expand(len(around), 2, 3)
    places = F.affine_grid(theta, list(around.shape), align_corners=False)
    read = F.grid_sample(around.float(), places, padding_mode="border", align_corners=False)
    return read.to(around.dtype)


@contextmanager
def _fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms use their running statistics, and leave those as they are, inside the block."""
    learning = [part for part in module.modules() if isinstance(part, _NORMS) and part.training]
    for part in learning:
        part.eval()
    try:
        yield
    finally:
        for part in learning:
            part.train()
