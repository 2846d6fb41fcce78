"""U-Net over a plain vision transformer: timm's, and the foundation encoders of that architecture.

A transformer's features have one size.  A simple feature pyramid (Li et al., ViTDet, 2022)
computes the sizes that the U-Net decoder needs; it belongs to the decoder, so it is trained
while the encoder is frozen.
"""

import math
from typing import Any, cast

import timm
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.encoders import find_encoder
from napari_pathseg.engine.networks.network import Network
from napari_pathseg.errors import BundleError

_WIDTHS = (32, 64, 128, 256, 256)  # of the pyramid's levels, strides 2 to 32
_DECODER_WIDTHS = (256, 128, 64, 32, 16)


class ViTUNet(Network):
    """A vision transformer, a feature pyramid over its last features, and the U-Net decoder.

    Patches of 14 pixels are treated as 16: tiles are shrunk by 14/16 before the encoder, so that
    all encoders accept tiles of the same sizes.
    """

    optional_weights = (".gamma",)  # layer scale; 1 if a file lacks it

    def __init__(self, spec: NetworkSpec) -> None:
        encoder = find_encoder(spec.encoder)
        super().__init__(encoder.mean, encoder.std)
        self.vit = _build(encoder.name)
        patch = self.vit.patch_embed.patch_size[0]
        stride = 2 ** round(math.log2(patch))
        self.shrink = patch / stride
        width = self.vit.embed_dim
        self.pyramid = nn.ModuleList(
            _level(width, outputs, stride / 2 ** (depth + 1)) for depth, outputs in enumerate(_WIDTHS)
        )
        self.decoder: Any = UnetDecoder((3, *_WIDTHS), _DECODER_WIDTHS)
        self.head = SegmentationHead(_DECODER_WIDTHS[-1], spec.classes)
        initialize_decoder(self.decoder)
        initialize_head(self.head)
        self._add_context(spec, width)

    @property
    def encoder(self) -> nn.Module:
        """The transformer."""
        return cast(nn.Module, self.vit)

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        if self.shrink != 1:
            size = [round(side * self.shrink) for side in pixels.shape[-2:]]
            pixels = F.interpolate(pixels, size, mode="bilinear")
        return cast(list[Tensor], self.vit.forward_intermediates(pixels, 1, norm=True, intermediates_only=True))

    def _decode(self, features: list[Tensor]) -> Tensor:
        levels = [level(features[0]) for level in self.pyramid]
        rows, columns = levels[0].shape[-2:]
        size_only = levels[0].new_zeros(1).expand(len(levels[0]), 1, 2 * rows, 2 * columns)
        return cast(Tensor, self.head(self.decoder([size_only, *levels])))


def _build(name: str) -> Any:
    options: dict[str, Any] = {"num_classes": 0, "global_pool": "", "dynamic_img_size": True, "init_values": 1.0}
    try:
        return timm.create_model(name, pretrained=False, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise BundleError(
            f"The encoder {name} could not be built ({error}). Choose another, such as vit_small_patch16_224."
        ) from error


def _level(inputs: int, outputs: int, factor: float) -> nn.Sequential:
    """Return the layers of a pyramid level, `factor` times as large as the encoder's features."""
    layers: list[nn.Module] = []
    while factor > 1:
        layers += [nn.ConvTranspose2d(inputs, inputs // 2, 2, 2), LayerNorm2d(inputs // 2), nn.GELU()]
        inputs, factor = inputs // 2, factor / 2
    if factor < 1:
        layers.append(nn.MaxPool2d(round(1 / factor)))
    return nn.Sequential(*layers, nn.Conv2d(inputs, outputs, 1), LayerNorm2d(outputs))
