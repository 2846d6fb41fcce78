"""The networks that can be fine-tuned, by name."""

from napari_pathseg.config import ENCODER_NAMES, NETWORK_NAMES
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.unet import UNet
from napari_pathseg.errors import BundleError


def build_network(spec: NetworkSpec, weights: str = "none") -> UNet:
    """Build a network; `weights` is "imagenet" or "none".

    Raises
    ------
    BundleError
        If the architecture or the encoder is unknown; the message lists the known ones.
    """
    for value, known in ((spec.architecture, NETWORK_NAMES), (spec.encoder, ENCODER_NAMES)):
        if value not in known:
            raise BundleError(f"{value!r} is no network part of this version. It knows: {', '.join(known)}.")
    return UNet(spec.encoder, spec.classes, weights)


__all__ = ["UNet", "build_network"]
