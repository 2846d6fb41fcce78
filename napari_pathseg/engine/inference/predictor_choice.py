"""Which predictor suits a network and the settings, and how wide the margin around its tiles is."""

from dataclasses import replace

from napari_pathseg.config import AUTO, EXACT, USUAL_HALO, PredictConfig
from napari_pathseg.engine.inference.blending import STEP, GaussianBlending
from napari_pathseg.engine.inference.divided_predictor import DividedPredictor
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.inference.slide_prediction import TilePredictor
from napari_pathseg.engine.inference.tta import TestTimeAugmentation
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.networks.receptive_field import Input, margin_of
from napari_pathseg.engine.runtime.choice import ReadyNetwork, compile_stages
from napari_pathseg.engine.runtime.pass_size import SIDES, fastest_side
from napari_pathseg.errors import ConfigError

_FARTHEST = 2048  # pixels; the largest margin that is tried


def choose_predictor(
    network: Network, ready: ReadyNetwork, config: PredictConfig, usual_halo: int = USUAL_HALO, largest: int = 0
) -> TilePredictor:
    """Return what predicts the tiles of slides.

    Parameters
    ----------
    network
        The network, in eval mode, on its device.
    ready
        How it computes.
    config
        The settings.
    usual_halo
        The margin in pixels, if it is not set and the network sees farther.
    largest
        Pixels along a side that an undivided network may compute at once: as many as are fastest, each tile alone if
        that is less than two.

    Raises
    ------
    ConfigError
        If an exact margin is asked for where it has no end, or blending with a network that cannot be blended.
    """
    halo = _halo(network, config, usual_halo)
    plain = config.tta == 1 and config.shifts == 1 and not config.blend
    divided = DividedPredictor.of(network, ready.device, halo, ready.way.precision == "bf16") if plain else None
    if divided is not None and ready.way.runtime == "openvino":
        stages = compile_stages(network, divided.network, ready.way.precision)
        divided = None if stages is None else replace(divided, network=stages)
    if divided is not None:
        return divided
    augmented = TestTimeAugmentation(ready.network, config.tta)
    if not config.blend:
        together = fastest_side(network, ready, halo, largest)
        return RegionPredictor(augmented, ready.device, halo, config.shifts, together if together > SIDES[0] else 0)
    if network.surroundings is not None:
        raise ConfigError(
            "blend is True, but this model sees the surroundings of a tile. Choose tta or shifts instead."
        )
    blended = GaussianBlending(augmented).to(ready.device.torch_device)
    return RegionPredictor(blended, ready.device, STEP, config.shifts)


def _halo(network: Network, config: PredictConfig, usual: int) -> int:
    """Return the margin around a tile in pixels, a multiple of the network's."""
    if config.halo_pixels is not None:
        return config.halo_pixels
    margin = exact_halo(network, usual if config.halo == AUTO else _FARTHEST)
    if margin is None and config.halo == EXACT:
        raise ConfigError(
            "halo is exact, but each pixel that this model predicts depends on its whole tile, so no margin is. Choose "
            "auto or a number of pixels, or a network that looks less far, such as unet with tf_efficientnet_lite0."
        )
    return usual if margin is None else margin


def exact_halo(network: Network, farthest: int = _FARTHEST) -> int | None:
    """Return the margin with which tiles of a network in eval mode equal its answer on the whole slide.

    None: it is wider than `farthest`, or each pixel depends on its whole tile.
    """
    if network.surroundings is not None:
        return None
    margin = margin_of(network, [Input(3)], farthest, next(network.parameters()))
    return None if margin is None else -(-margin // network.multiple) * network.multiple
