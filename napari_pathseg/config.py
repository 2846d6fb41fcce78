"""Every setting once: its default, help, unit and limits.

The form in the window, the options of the command line and the checks read the fields of
these classes; nothing is written twice.
"""

from dataclasses import dataclass

from napari_pathseg.settings import Settings, setting

PRESETS = ("quick", "normal", "thorough")
NETWORK_NAMES = ("unet", "unetplusplus", "fpn", "deeplabv3plus", "segformer", "unet-classic", "fcn8s")
LOSS_NAMES = ("cross-entropy+dice", "cross-entropy", "dice", "focal", "tversky", "lovasz")
SCHEDULE_NAMES = ("auto", "cosine", "one-cycle", "plateau", "staircase", "constant")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """How to fine-tune a network on a project."""

    preset: str = setting(
        "normal",
        "quick: seconds, only the decoder learns; normal: minutes, everything learns; thorough: until the held-out "
        "slides no longer improve, after a search of the step size.",
        choices=PRESETS, expert=False,
    )  # fmt: skip
    minutes: float = setting(
        0.0, "Longest training time; 0: what the preset takes (quick 10 s, normal 2 min, thorough up to 10 h).",
        unit="min", minimum=0.0, maximum=10_000, step=0.05, expert=False,
    )  # fmt: skip

    architecture: str = setting("unet", "Network to fine-tune.", choices=NETWORK_NAMES, group="Network")
    encoder: str = setting(
        "tf_efficientnet_lite0",
        "Encoder: any that segmentation-models-pytorch or timm knows; unet-classic and fcn8s have their own.",
        group="Network",
    )
    weights: str = setting(
        "imagenet",
        "What the encoder starts from: imagenet (an installed package, else downloaded), none, or a .safetensors file.",
        group="Network",
    )
    encoder_rate: float = setting(
        1.0, "Step size of the encoder, as a share of the others'; 0 keeps it as it is.",
        minimum=0.0, maximum=1.0, step=0.01, group="Network",
    )  # fmt: skip
    context: bool = setting(
        False, "Let the network see, around each tile, four times as far at a quarter of the resolution.",
        group="Network",
    )  # fmt: skip

    tile: int = setting(
        256, "Side of a training tile; raise it when a class is told by its surroundings.",
        unit="px", minimum=64, maximum=2048, step=32, multiple=32, group="Tiles",
    )  # fmt: skip
    batch: int = setting(
        4, "Tiles per training step; lower it when memory runs out.", minimum=1, maximum=256, group="Tiles"
    )
    accumulate: int = setting(
        1, "Batches whose gradients are added up before a step: a larger batch in the same memory.",
        minimum=1, maximum=64, group="Tiles",
    )  # fmt: skip
    corrected_weight: float = setting(
        3.0, "How much more a corrected pixel counts, and is drawn, than another; lower it when corrections are rough.",
        minimum=1.0, maximum=100.0, step=0.5, group="Tiles",
    )  # fmt: skip

    turns: bool = setting(True, "Flip tiles and turn them by quarters.", group="Variation")
    warped: float = setting(
        0.3, "Share of the tiles that are rotated, shifted, sheared, zoomed or bent.",
        minimum=0.0, maximum=1.0, step=0.05, group="Variation",
    )  # fmt: skip
    rotation: float = setting(
        15.0, "Largest rotation of a warped tile.", unit="°", minimum=0, maximum=180, step=1, group="Variation"
    )
    shift: float = setting(
        0.05, "Largest shift of a warped tile, of its side.", minimum=0, maximum=0.5, step=0.01, group="Variation"
    )
    shear: float = setting(
        5.0, "Largest shear of a warped tile.", unit="°", minimum=0, maximum=45, step=1, group="Variation"
    )
    zoom: float = setting(
        0.15, "Largest change of size of a warped tile.", minimum=0, maximum=0.9, step=0.01, group="Variation"
    )
    elastic: float = setting(
        4.0, "Largest shift of a point of a warped tile by bending.",
        unit="px", minimum=0, maximum=100, step=1, group="Variation",
    )  # fmt: skip
    spoiled: float = setting(
        0.15, "Share of the tiles that are blurred, noisy or JPEG-compressed.",
        minimum=0.0, maximum=1.0, step=0.05, group="Variation",
    )  # fmt: skip
    blur: float = setting(
        1.5, "Largest blur of a spoiled tile.", unit="px", minimum=0, maximum=10, step=0.1, group="Variation"
    )
    noise: float = setting(
        8.0, "Largest noise of a spoiled tile, in grey values.", minimum=0, maximum=100, step=1, group="Variation"
    )
    jpeg: int = setting(
        40, "Lowest JPEG quality of a spoiled tile; 100 for none.", minimum=5, maximum=100, group="Variation"
    )
    stain_jitter: float = setting(
        0.15, "How far the amounts of haematoxylin and eosin are varied; raise it for slides of many laboratories.",
        minimum=0.0, maximum=1.0, step=0.01, group="Variation",
    )  # fmt: skip
    stain_norm: str = setting(
        "none", "Bring all slides to one staining, in training and prediction, by the method of this author.",
        choices=("none", "macenko", "reinhard"), group="Variation",
    )  # fmt: skip

    loss: str = setting(
        "cross-entropy+dice", "What training makes small; focal for rare classes, tversky to miss less of them.",
        choices=LOSS_NAMES, group="Loss",
    )  # fmt: skip
    class_weights: str = setting(
        "none", "What a pixel of each class counts: none, balanced (by rarity), or numbers like 1,2.5.", group="Loss"
    )
    focal_gamma: float = setting(
        2.0, "How far the focal loss leaves out what is told with certainty.",
        minimum=0.0, maximum=10.0, step=0.1, group="Loss",
    )  # fmt: skip
    tversky_alpha: float = setting(
        0.3, "What a false positive counts in the Tversky loss; a miss counts the rest to 1.",
        minimum=0.05, maximum=0.95, step=0.05, group="Loss",
    )  # fmt: skip
    border_weight: float = setting(
        0.0, "Extra weight of the gap between touching objects, 10 in the U-Net paper; 0 for none.",
        minimum=0.0, maximum=100.0, step=1, group="Loss",
    )  # fmt: skip
    border_width: float = setting(
        5.0, "How far that weight reaches.", unit="px", minimum=1.0, maximum=50.0, step=1, group="Loss"
    )

    optimizer: str = setting("adamw", "How steps are made.", choices=("adamw", "adam", "sgd"), group="Steps")
    learning_rate: float = setting(
        1e-3, "Step size while everything learns; lower it when the curve jumps.",
        minimum=1e-6, maximum=1.0, step=1e-6, group="Steps",
    )  # fmt: skip
    decoder_rate: float = setting(
        3e-3, "Step size while only the decoder learns.", minimum=1e-6, maximum=1.0, step=1e-6, group="Steps"
    )
    weight_decay: float = setting(
        1e-4, "Pull of the weights towards zero (L2); raise it when validation falls behind training.",
        minimum=0.0, maximum=1.0, step=1e-6, group="Steps",
    )  # fmt: skip
    schedule: str = setting(
        "auto", "How the step size changes; auto: cosine with a warm-up, for thorough plateau.",
        choices=SCHEDULE_NAMES, group="Steps",
    )  # fmt: skip
    warm_up: float = setting(
        0.05, "Share of the time in which the step size rises.", minimum=0, maximum=0.9, step=0.01, group="Steps"
    )
    staircase_factor: float = setting(
        0.95, "What a pass over the slides leaves of the step size, for staircase.",
        minimum=0.1, maximum=1.0, step=0.01, group="Steps",
    )  # fmt: skip
    plateau_factor: float = setting(
        0.5, "What is left of the step size when validation stands still, for plateau.",
        minimum=0.05, maximum=0.95, step=0.05, group="Steps",
    )  # fmt: skip
    plateau_patience: int = setting(
        2, "Validations that may stand still before that.", minimum=0, maximum=100, group="Steps"
    )
    patience: int = setting(
        12, "Validations without progress after which training ends.", minimum=1, maximum=1000, group="Steps"
    )
    averaging: float = setting(
        0.98, "What a step leaves of the running mean of the weights, which is what counts; 0 for the last weights.",
        minimum=0.0, maximum=0.9999, step=0.001, group="Steps",
    )  # fmt: skip
    clip: float = setting(
        1.0,
        "Longest gradient; a longer one is shortened. 0 for none.",
        minimum=0,
        maximum=1000,
        step=0.1,
        group="Steps",
    )
    steps: int = setting(
        0, "Steps of the whole training, its quick look and the search of a step size included, whatever the minutes; "
        "0: as many as these allow. With a number a seed repeats a run.",
        minimum=0, maximum=10_000_000, group="Steps",
    )  # fmt: skip
    decoder_seconds: float = setting(
        8.0, "Seconds in which only the decoder learns, on kept features of the frozen encoder.",
        unit="s", minimum=0.0, maximum=600, step=0.5, group="Steps",
    )  # fmt: skip
    cached_tiles: int = setting(
        96, "Most tiles whose features are kept for that.", minimum=4, maximum=4096, group="Steps"
    )

    validation_tiles: int = setting(
        32, "Most tiles of 512 px that are scored at each validation; all of them at the end.",
        minimum=1, maximum=10_000, group="Machine",
    )  # fmt: skip
    precision: str = setting(
        "auto", "auto: bfloat16 where a trial shows it to be right and faster.",
        choices=("auto", "fp32", "bf16"), group="Machine",
    )  # fmt: skip
    devices: int = setting(
        1, "GPUs, or processes on a CPU, that share each step.", minimum=1, maximum=64, group="Machine"
    )
    tensorboard: bool = setting(
        False, "Write curves, the graph, kernels and example tiles for TensorBoard into the run's folder.",
        group="Machine",
    )  # fmt: skip
    seed: int = setting(0, "Start of the random numbers.", minimum=0, maximum=2**31 - 1, group="Machine")

    @property
    def longest_minutes(self) -> float:
        """The longest training time in minutes, where none is set that of the preset."""
        return self.minutes or {"quick": 1 / 6, "normal": 2.0, "thorough": 600.0}[self.preset]


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Settings):
    """How to predict the slides of a project."""

    role: str = setting("all", "Which slides to predict.", choices=("all", "train", "val", "test"), expert=False)
    tile: int = setting(
        512, "Side of the square that is computed at once; lower it when memory runs out.",
        unit="px", minimum=64, maximum=4096, step=32, multiple=32,
    )  # fmt: skip
    halo: int = setting(
        64, "Border that is computed around each square and cut off again, so that no seam shows.",
        unit="px", minimum=0, maximum=512, step=32, multiple=32,
    )  # fmt: skip
    positions: int = setting(
        1, "In how many of its 8 positions, turned and flipped, a tile is looked at; the mean has surer edges, for so "
        "many times the time.",
        minimum=1, maximum=8,
    )  # fmt: skip
