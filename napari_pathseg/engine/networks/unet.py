"""U-Net with an ImageNet encoder, from segmentation-models-pytorch.

Ronneberger et al., U-Net, 2015; encoder EfficientNet-lite0, Tan and Le 2019.
"""

from typing import cast

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from napari_pathseg.engine.networks.depthwise import learn_depthwise_in_float32
from napari_pathseg.engine.networks.weights import lite0_weights


class UNet(nn.Module):
    """A U-Net that takes RGB pixels as they are and gives a logit per class and pixel."""

    multiple = 32  # rows and columns of its input are multiples of this

    def __init__(self, encoder: str, classes: int, weights: str) -> None:
        super().__init__()
        self.net = smp.Unet(f"tu-{encoder}", encoder_weights=None, classes=classes)
        learn_depthwise_in_float32(self.net.encoder)
        if weights == "imagenet":
            self._load_encoder(lite0_weights())

    def _load_encoder(self, weights: dict[str, Tensor]) -> None:
        wanted = self.net.encoder.model.state_dict()
        self.net.encoder.model.load_state_dict({name: weights[name] for name in wanted})

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (tiles, classes, rows, columns) of pixels (tiles, 3, rows, columns), 0 to 255."""
        return self.decode(self.encode(pixels))

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """Return the encoder's features, finest first, without the input itself."""
        normal = (pixels.float() - 127.0) / 128.0  # as the published weights were trained
        normal = normal.contiguous(memory_format=torch.channels_last)
        return cast(list[Tensor], self.net.encoder(normal))[1:]

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return the logits that the decoder makes of :meth:`encode`'s features."""
        finest = features[0]
        unused = finest.new_empty(finest.shape[0], 3, 2 * finest.shape[2], 2 * finest.shape[3])
        return cast(Tensor, self.net.segmentation_head(self.net.decoder([unused, *features])))

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Return what learns while the encoder is frozen."""
        return [*self.net.decoder.parameters(), *self.net.segmentation_head.parameters()]
