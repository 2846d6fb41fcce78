"""The settings of a prediction."""

from dataclasses import dataclass

from napari_pathseg.errors import ConfigError
from napari_pathseg.settings import Settings, setting

AUTO, EXACT = "auto", "exact"
USUAL_HALO = 192  # pixels; with blocks of 4096 a U-Net flips 0.05 % of the labels at their edges
SCORED_HALO = 96  # pixels around the tiles of 512 that a training scores and previews
_LARGEST_HALO, _HALO_STEP = 2048, 32  # pixels


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Settings):
    """Settings for predicting the slides of a project."""

    role: str = setting(
        "all", "Which slides to predict.", label="Slides", choices=("all", "train", "val", "test"), expert=False
    )
    tissue_only: bool = setting(
        True, "Predict tissue only; glass is Background. Up to 16 Mpx are predicted whole.", label="Tissue only"
    )
    tile: int = setting(
        1024,
        "Side of the tiles that are predicted; lower it if memory runs out.",
        label="Tile size",
        unit="px",
        minimum=64,
        maximum=4096,
        step=32,
        multiple=32,
    )
    halo: str = setting(
        AUTO,
        "Margin predicted around tiles and then cropped, so that no seams are visible: auto (192 px, 128 px for a "
        "view, less if the network sees no farther), exact (as far as the network sees), or pixels, a multiple of 32.",
        label="Margin",
    )
    runtime: str = setting(
        "auto",
        "What computes the network on a CPU: torch or openvino (from the extra fast); auto: the faster one in a trial, "
        "if its answer is that of torch. A GPU always uses torch.",
        choices=("auto", "torch", "openvino"),
        since="0.2",
    )
    tta: int = setting(
        1,
        "Test-time augmentation: average the prediction over up to 8 flips and rotations of each tile; raise it for "
        "smoother edges, at a proportionally higher cost.",
        label="Test-time augmentation",
        minimum=1,
        maximum=8,
        aliases=("positions",),
    )
    shifts: int = setting(
        1,
        "Shifted passes: average the probabilities of up to 4 passes whose tiles begin 16 px apart, down and to the "
        "right; raise it where coarse networks such as fcn8s leave blocky edges, at so many times the cost. Multiplies "
        "with tta.",
        minimum=1,
        maximum=4,
        label="Shifted passes",
    )
    blend: bool = setting(
        False,
        "Gaussian blending: average overlapping windows of 512 px, weighted by their distance from a centre; smooths "
        "what changes with the position of a tile, at six times the cost.",
        label="Gaussian blending",
        since="0.2",
    )
    adapt: bool = setting(
        False,
        "Adapt to scanner: give the batch norms of the network the statistics of each slide, measured on 32 tiles of "
        "its tissue; for slides whose stain or scanner the model has not learnt. Always computed by torch. pathseg "
        "score --adapt tells whether it helps.",
        label="Adapt to scanner",
        since="0.2",
    )

    def __post_init__(self) -> None:
        if isinstance(self.halo, int) and not isinstance(self.halo, bool):  # as it was written before
            object.__setattr__(self, "halo", str(self.halo))
        super().__post_init__()
        if self.halo not in (AUTO, EXACT) and self.halo_pixels is None:
            raise ConfigError(
                f"halo is {self.halo}; it must be {AUTO}, {EXACT}, or a multiple of {_HALO_STEP} from 0 to "
                f"{_LARGEST_HALO} pixels."
            )
        if self.adapt and self.runtime == "openvino":  # a network would be converted again for each slide
            raise ConfigError(
                "runtime is openvino, but adapt needs torch. Choose runtime auto or torch, or leave out adapt."
            )

    @property
    def halo_pixels(self) -> int | None:
        """The margin, if it was given in pixels."""
        pixels = int(self.halo) if self.halo.isascii() and self.halo.isdigit() and len(self.halo) < 6 else -1
        return pixels if 0 <= pixels <= _LARGEST_HALO and pixels % _HALO_STEP == 0 else None
