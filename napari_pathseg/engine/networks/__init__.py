"""The networks that can be fine-tuned, by name."""

from collections.abc import Callable

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.bf16_workarounds import learn_in_float32
from napari_pathseg.engine.networks.encoders import find_encoder
from napari_pathseg.engine.networks.fcn8s import FCN8s
from napari_pathseg.engine.networks.network import Network
from napari_pathseg.engine.networks.smp import ARCHITECTURES, SmpNetwork
from napari_pathseg.engine.networks.unet_classic import UNetClassic
from napari_pathseg.engine.networks.vit import ViTUNet
from napari_pathseg.engine.networks.weights import load_encoder_weights
from napari_pathseg.errors import BundleError


def _unet(spec: NetworkSpec) -> Network:
    return ViTUNet(spec) if find_encoder(spec.encoder).is_vit else SmpNetwork(spec)


_BUILDERS: dict[str, Callable[[NetworkSpec], Network]] = {
    **dict.fromkeys(ARCHITECTURES, SmpNetwork),
    "unet": _unet,
    "unet-classic": UNetClassic,
    "fcn8s": FCN8s,
}


def build_network(spec: NetworkSpec, weights: str = "none") -> Network:
    """Build a network; its encoder starts from `weights`, see `weights.load_encoder_weights`.

    Raises
    ------
    BundleError
        If the architecture or the encoder is unknown, the two do not go together, or the
        weights cannot be had or are of another encoder.
    """
    if spec.architecture not in _BUILDERS:
        known = ", ".join(_BUILDERS)
        raise BundleError(f"{spec.architecture!r} is no network part of this version. It knows: {known}.")
    network = _BUILDERS[spec.architecture](spec)
    learn_in_float32(network)
    load_encoder_weights(network, spec, weights)
    return network


__all__ = ["Network", "build_network"]
