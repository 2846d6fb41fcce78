"""U-Net, U-Net++, FPN, DeepLabV3+ and SegFormer over any encoder, from segmentation-models-pytorch.

Ronneberger et al. 2015; Zhou et al. 2018; Lin et al. 2017; Chen et al. 2018; Xie et al. 2021.
"""

from typing import Any, cast

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.division import Division, divide_encoder, divide_unet
from napari_pathseg.engine.networks.encoders import find_encoder
from napari_pathseg.engine.networks.network import Network
from napari_pathseg.errors import BundleError

_TRIAL_SIDE = 64  # pixels


class SmpNetwork(Network):
    """A network of segmentation-models-pytorch; `model` is the name of its class."""

    def __init__(self, spec: NetworkSpec, model: str) -> None:
        encoder = find_encoder(spec.encoder)
        if encoder.is_vit:
            raise BundleError(
                f"{spec.architecture} needs features of several sizes, but {spec.encoder} has one. "
                "Choose the network unet, or another encoder."
            )
        super().__init__(encoder.mean, encoder.std)
        self.net = _build(spec, model, encoder.smp_name)
        self._add_context(spec, self.net.encoder.out_channels[-1])

    @property
    def encoder(self) -> nn.Module:
        """The encoder of the wrapped network."""
        return cast(nn.Module, self.net.encoder)

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        return cast(list[Tensor], self.net.encoder(pixels))[1:]

    def _decode(self, features: list[Tensor]) -> Tensor:
        finest = features[0]  # half the size of the pixels, in every encoder
        rows, columns = finest.shape[-2:]
        # The decoders only use the size of the pixels, so one expanded zero replaces them.
        size_only = finest.new_zeros(1).expand(len(finest), 1, 2 * rows, 2 * columns)
        return cast(Tensor, self.net.segmentation_head(self.net.decoder([size_only, *features])))

    def divide(self) -> Division | None:
        """Return the network in three stages; None with context, or if its encoder is no chain of layers.

        Nor FPN and DeepLabV3+: their decoders depend on the size of what they see.
        """
        if self.surroundings is not None:
            return None
        if isinstance(self.net, smp.Unet):
            return divide_unet(self.net, self._scale, self._known_outputs)
        if isinstance(self.net, smp.UnetPlusPlus | smp.Segformer):
            return divide_encoder(self.net.encoder, self._scale, self)
        return None


def _build(spec: NetworkSpec, model: str, encoder: str) -> Any:
    """Build a network and run it on a small tile, because some encoders and decoders are incompatible."""
    options = {"strict_img_size": False} if encoder.startswith("tu-swin") else {}
    build = getattr(smp, model)
    trial = torch.zeros(1, 3, _TRIAL_SIDE, _TRIAL_SIDE)
    try:
        net = build(encoder, encoder_weights=None, classes=spec.classes, **options)
        net.eval()
        with torch.inference_mode():
            logits = net(trial)
    except (ValueError, TypeError, RuntimeError, AssertionError, AttributeError, LookupError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(
            f"{spec.architecture} does not work with the encoder {spec.encoder} ({reason}). "
            "Choose another encoder, such as tf_efficientnet_lite0 or resnet34."
        ) from error
    assert logits.shape == (1, spec.classes, _TRIAL_SIDE, _TRIAL_SIDE)
    return net.train()
