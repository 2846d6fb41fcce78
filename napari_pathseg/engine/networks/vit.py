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

LAYER_SCALE = (".gamma", ".gamma.1", ".gamma.2")  # ends of tensor names
_WIDTHS = (32, 64, 128, 256, 256)  # of the pyramid's levels, strides 2 to 32
_DECODER_WIDTHS = (256, 128, 64, 32, 16)


class ViTUNet(Network):
    """A vision transformer, a feature pyramid over its last features, and the U-Net decoder.

    Patches of 14 pixels are treated as 16; see `patch_shrink`.
    """

    optional_weights = LAYER_SCALE  # layer scale; 1 if a file lacks it

    def __init__(self, spec: NetworkSpec) -> None:
        encoder = find_encoder(spec.encoder)
        super().__init__(encoder.mean, encoder.std)
        self.vit = build_vit(encoder.name)
        self.shrink = patch_shrink(self.vit)
        width, stride = self.vit.embed_dim, _stride(self.vit)
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
        return encode_patches(self.vit, self.shrink, pixels)

    def _decode(self, features: list[Tensor]) -> Tensor:
        levels = [level(features[0]) for level in self.pyramid]
        rows, columns = levels[0].shape[-2:]
        size_only = levels[0].new_zeros(1).expand(len(levels[0]), 1, 2 * rows, 2 * columns)
        return cast(Tensor, self.head(self.decoder([size_only, *levels])))


def build_vit(name: str) -> Any:
    """Return a vision transformer of timm without weights."""
    options: dict[str, Any] = {"num_classes": 0, "global_pool": "", "dynamic_img_size": True, "init_values": 1.0}
    try:
        return timm.create_model(name, pretrained=False, **options)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise BundleError(
            f"The encoder {name} could not be built ({error}). Choose another, such as vit_small_patch16_224."
        ) from error


def patch_shrink(vit: Any) -> float:
    """Return by what factor tiles are shrunk before the encoder, so that all encoders accept tiles of the same sizes.

    It is 14/16 for patches of 14 pixels.
    """
    return float(vit.patch_embed.patch_size[0] / _stride(vit))


def encode_patches(vit: Any, shrink: float, pixels: Tensor) -> list[Tensor]:
    """Return the last features of a transformer, one for each patch of tiles that are shrunk first."""
    if shrink != 1:
        size = [round(side * shrink) for side in pixels.shape[-2:]]
        pixels = F.interpolate(pixels, size, mode="bilinear")
    return cast(list[Tensor], vit.forward_intermediates(pixels, 1, norm=True, intermediates_only=True))


def _stride(vit: Any) -> int:
    """Return the pixels between features: the side of a patch, as a power of two."""
    return int(2 ** round(math.log2(vit.patch_embed.patch_size[0])))


def _level(inputs: int, outputs: int, factor: float) -> nn.Sequential:
    """Return the layers of a pyramid level, `factor` times as large as the encoder's features."""
    layers: list[nn.Module] = []
    while factor > 1:
        layers += [nn.ConvTranspose2d(inputs, inputs // 2, 2, 2), LayerNorm2d(inputs // 2), nn.GELU()]
        inputs, factor = inputs // 2, factor / 2
    if factor < 1:
        layers.append(nn.MaxPool2d(round(1 / factor)))
    return nn.Sequential(*layers, nn.Conv2d(inputs, outputs, 1), LayerNorm2d(outputs))
