"""All settings, each defined once: default, help text, unit and limits.

The form in the window, the options of the command line and the checks are derived from the
fields of these classes.
"""

from napari_pathseg.config.live import PROJECT, LiveConfig
from napari_pathseg.config.prediction import AUTO, EXACT, SCORED_HALO, USUAL_HALO, PredictConfig
from napari_pathseg.config.scoring import ScoreConfig
from napari_pathseg.config.training import (
    FILL_MODES,
    LINEAR,
    LIVE,
    LOSS_NAMES,
    NETWORK_NAMES,
    PRESETS,
    SCHEDULE_NAMES,
    UPSAMPLING_INITS,
    USUAL_BATCH,
    TrainConfig,
)

__all__ = [
    "AUTO",
    "EXACT",
    "FILL_MODES",
    "LINEAR",
    "LIVE",
    "LOSS_NAMES",
    "NETWORK_NAMES",
    "PRESETS",
    "PROJECT",
    "SCHEDULE_NAMES",
    "SCORED_HALO",
    "UPSAMPLING_INITS",
    "USUAL_BATCH",
    "USUAL_HALO",
    "LiveConfig",
    "PredictConfig",
    "ScoreConfig",
    "TrainConfig",
]
