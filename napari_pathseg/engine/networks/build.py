"""Build a network from its spec: its row of the table, workarounds for the CPU, initial weights."""

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.bf16_workarounds import force_fp32_convs
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS
from napari_pathseg.engine.networks.network import Network
from napari_pathseg.engine.networks.weights import load_encoder_weights
from napari_pathseg.errors import BundleError


def build_network(spec: NetworkSpec, weights: str = "none") -> Network:
    """Build a network and initialise its encoder with `weights`; see `weights.load_encoder_weights`.

    Raises
    ------
    BundleError
        If the architecture or the encoder is unknown, the two do not work together, or the
        weights cannot be loaded or belong to another encoder.
    """
    if spec.architecture not in NETWORK_KINDS:
        known = ", ".join(NETWORK_KINDS)
        raise BundleError(f'"{spec.architecture}" is not a network of this version. It knows: {known}.')
    network = NETWORK_KINDS[spec.architecture].build(spec)
    force_fp32_convs(network)
    load_encoder_weights(network, spec, weights)
    return network
