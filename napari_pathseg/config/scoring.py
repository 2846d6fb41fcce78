"""The settings of scoring."""

from dataclasses import dataclass

from napari_pathseg.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(Settings):
    """Settings of scoring a model."""

    tolerance_um: float = setting(
        10.0,
        "Distance up to which borders agree; in mask pixels on slides of unknown pixel size.",
        unit="um",
        minimum=0.1,
        maximum=1000,
        step=0.1,
        label="Border tolerance",
    )
    adapt: bool = setting(
        False,
        "Also score the model adapted to the scanner of each slide, see predict --adapt.",
        label="Adapt to each slide",
    )
