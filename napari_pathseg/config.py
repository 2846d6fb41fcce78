"""Every setting once: its default, help text, unit and limits.

The form in the window, the options of the command line and the checks are derived from the
fields of these classes.
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
        "quick: seconds, trains the decoder only; normal: minutes, trains the whole network; thorough: searches the "
        "learning rate, then trains until the validation slides no longer improve.",
        choices=PRESETS,
        expert=False,
    )
    minutes: float = setting(
        0.0,
        "Longest training time; 0: the preset's (quick 10 s, normal 2 min, thorough up to 10 h).",
        unit="min",
        minimum=0.0,
        maximum=10_000,
        step=0.05,
        expert=False,
    )

    architecture: str = setting("unet", "Network to fine-tune.", choices=NETWORK_NAMES, group="Network")
    encoder: str = setting(
        "tf_efficientnet_lite0",
        "Encoder: any that segmentation-models-pytorch or timm knows; unet-classic and fcn8s have their own.",
        group="Network",
    )
    weights: str = setting(
        "imagenet",
        "Initial weights of the encoder: imagenet (an installed package, else downloaded), none, or a .safetensors "
        "file.",
        group="Network",
    )
    encoder_lr_scale: float = setting(
        1.0,
        "Learning rate of the encoder as a fraction of the decoder's; 0 freezes the encoder. Lower it when few slides "
        "are annotated.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        group="Network",
        aliases=("encoder_rate",),
    )
    context: bool = setting(
        False,
        "Also show the network the surroundings of each tile: four times as far, at a quarter of the resolution.",
        group="Network",
    )

    tile: int = setting(
        256,
        "Side of a training tile; raise it when a class can only be recognised by its surroundings.",
        unit="px",
        minimum=64,
        maximum=2048,
        step=32,
        multiple=32,
        group="Tiles",
    )
    batch: int = setting(
        4, "Batch size: tiles per batch; lower it when memory runs out.", minimum=1, maximum=256, group="Tiles"
    )
    accumulate: int = setting(
        1,
        "Gradient accumulation: batches per training step; raise it for a larger effective batch in the same memory.",
        minimum=1,
        maximum=64,
        group="Tiles",
    )
    corrected_weight: float = setting(
        3.0,
        "Weight of a corrected pixel in the loss and in sampling, others have 1; lower it when corrections are rough.",
        minimum=1.0,
        maximum=100.0,
        step=0.5,
        group="Tiles",
    )

    flip_rotate: bool = setting(
        True,
        "Flip tiles and rotate them by multiples of 90°; switch it off only if orientation carries meaning.",
        group="Augmentation",
        aliases=("turns",),
    )
    geometric_p: float = setting(
        0.3,
        "Probability that a tile is rotated, shifted, sheared, zoomed and elastically deformed; raise it when few "
        "slides are annotated.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        group="Augmentation",
        aliases=("warped",),
    )
    rotation: float = setting(
        15.0, "Largest rotation by geometric_p.", unit="°", minimum=0, maximum=180, step=1, group="Augmentation"
    )
    shift: float = setting(
        0.05,
        "Largest shift by geometric_p, as a fraction of the tile's side.",
        minimum=0,
        maximum=0.5,
        step=0.01,
        group="Augmentation",
    )
    shear: float = setting(
        5.0, "Largest shear by geometric_p.", unit="°", minimum=0, maximum=45, step=1, group="Augmentation"
    )
    zoom: float = setting(
        0.15, "Largest change of scale by geometric_p.", minimum=0, maximum=0.9, step=0.01, group="Augmentation"
    )
    elastic: float = setting(
        4.0,
        "Elastic deformation: largest shift of a control point by geometric_p.",
        unit="px",
        minimum=0,
        maximum=100,
        step=1,
        group="Augmentation",
    )
    degrade_p: float = setting(
        0.15,
        "Probability that a tile is blurred, made noisy or JPEG-compressed; raise it when scanners differ.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        group="Augmentation",
        aliases=("spoiled",),
    )
    blur: float = setting(
        1.5, "Largest blur by degrade_p.", unit="px", minimum=0, maximum=10, step=0.1, group="Augmentation"
    )
    noise: float = setting(
        8.0, "Largest noise by degrade_p, in grey values.", minimum=0, maximum=100, step=1, group="Augmentation"
    )
    jpeg: int = setting(
        40, "Lowest JPEG quality by degrade_p; 100: no compression.", minimum=5, maximum=100, group="Augmentation"
    )
    stain_jitter: float = setting(
        0.15,
        "Strength of stain augmentation (haematoxylin and eosin); raise it for slides of many laboratories.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        group="Augmentation",
    )
    stain_norm: str = setting(
        "none",
        "Stain normalization of all slides, in training and prediction; try it when slides of one laboratory must "
        "work for another.",
        choices=("none", "macenko", "reinhard"),
        group="Augmentation",
    )

    loss: str = setting(
        "cross-entropy+dice",
        "Loss function; choose focal for rare classes, tversky to miss less of them.",
        choices=LOSS_NAMES,
        group="Loss",
    )
    class_weights: str = setting(
        "none",
        "Class weights in the loss: none, balanced (inverse frequency), or numbers like 1,2.5; raise a class that is "
        "missed.",
        group="Loss",
    )
    focal_gamma: float = setting(
        2.0,
        "Gamma of the focal loss; raise it to concentrate on pixels that are hard to classify.",
        minimum=0.0,
        maximum=10.0,
        step=0.1,
        group="Loss",
    )
    tversky_alpha: float = setting(
        0.3,
        "Weight of false positives in the Tversky loss; false negatives weigh the rest to 1. Lower it to miss less.",
        minimum=0.05,
        maximum=0.95,
        step=0.05,
        group="Loss",
    )
    border_weight: float = setting(
        0.0,
        "Extra loss weight of the gap between touching objects, 10 in the U-Net paper; 0: none. Raise it when objects "
        "merge.",
        minimum=0.0,
        maximum=100.0,
        step=1,
        group="Loss",
    )
    border_width: float = setting(
        5.0, "Width of the border weight (sigma).", unit="px", minimum=1.0, maximum=50.0, step=1, group="Loss"
    )

    optimizer: str = setting(
        "adamw",
        "Optimizer; adamw suits all networks, sgd often needs a higher learning rate.",
        choices=("adamw", "adam", "sgd"),
        group="Optimization",
    )
    learning_rate: float = setting(
        1e-3,
        "Learning rate of the whole network; lower it when the loss curve jumps.",
        minimum=1e-6,
        maximum=1.0,
        step=1e-6,
        group="Optimization",
    )
    decoder_learning_rate: float = setting(
        3e-3,
        "Learning rate while only the decoder trains; lower it when the quick look's loss jumps.",
        minimum=1e-6,
        maximum=1.0,
        step=1e-6,
        group="Optimization",
        aliases=("decoder_rate",),
    )
    weight_decay: float = setting(
        1e-4,
        "Weight decay (L2); raise it against overfitting, when validation falls behind training.",
        minimum=0.0,
        maximum=1.0,
        step=1e-6,
        group="Optimization",
    )
    schedule: str = setting(
        "auto",
        "Learning rate schedule; auto: cosine with warm-up, for the preset thorough plateau.",
        choices=SCHEDULE_NAMES,
        group="Optimization",
    )
    warm_up: float = setting(
        0.05,
        "Warm-up: fraction of the training in which the learning rate rises; raise it if the loss jumps at the start.",
        minimum=0,
        maximum=0.9,
        step=0.01,
        group="Optimization",
    )
    staircase_factor: float = setting(
        0.95,
        "Factor on the learning rate after each epoch, for the schedule staircase.",
        minimum=0.1,
        maximum=1.0,
        step=0.01,
        group="Optimization",
    )
    plateau_factor: float = setting(
        0.5,
        "Factor on the learning rate when validation stops improving, for the schedule plateau.",
        minimum=0.05,
        maximum=0.95,
        step=0.05,
        group="Optimization",
    )
    plateau_patience: int = setting(
        2,
        "Validations without improvement before that factor applies.",
        minimum=0,
        maximum=100,
        group="Optimization",
    )
    patience: int = setting(
        12,
        "Early stopping: validations without improvement after which training ends.",
        minimum=1,
        maximum=1000,
        group="Optimization",
    )
    ema_decay: float = setting(
        0.98,
        "Decay of the exponential moving average (EMA) of the weights, which is what is saved; raise it when "
        "validation jumps, 0: no averaging.",
        minimum=0.0,
        maximum=0.9999,
        step=0.001,
        group="Optimization",
        aliases=("averaging",),
    )
    gradient_clip_norm: float = setting(
        1.0,
        "Gradient clipping: largest norm of the gradient; lower it when the loss jumps, 0: no clipping.",
        minimum=0,
        maximum=1000,
        step=0.1,
        group="Optimization",
        aliases=("clip",),
    )
    steps: int = setting(
        0,
        "Training steps in all, the quick look and the learning rate search included, whatever the minutes; 0: as many "
        "as the minutes allow. With a number of steps, the same seed repeats a run.",
        minimum=0,
        maximum=10_000_000,
        group="Optimization",
    )
    decoder_seconds: float = setting(
        8.0,
        "Time to train the decoder alone first, on cached features of the frozen encoder.",
        unit="s",
        minimum=0.0,
        maximum=600,
        step=0.5,
        group="Optimization",
    )
    cached_tiles: int = setting(
        96, "Most tiles whose encoder features are cached for that.", minimum=4, maximum=4096, group="Optimization"
    )

    validation_tiles: int = setting(
        32,
        "Most tiles of 512 px that each validation scores; the last one scores all.",
        minimum=1,
        maximum=10_000,
        group="Machine",
    )
    precision: str = setting(
        "auto",
        "Number format; auto: bfloat16 where a trial shows that it is accurate and faster.",
        choices=("auto", "fp32", "bf16"),
        group="Machine",
    )
    devices: int = setting(
        1, "GPUs, or processes on a CPU, that share each training step.", minimum=1, maximum=64, group="Machine"
    )
    tensorboard: bool = setting(
        False,
        "Write curves, the graph, kernels and sample tiles for TensorBoard into the run's folder.",
        group="Machine",
    )
    seed: int = setting(0, "Seed of the random numbers.", minimum=0, maximum=2**31 - 1, group="Machine")

    @property
    def longest_minutes(self) -> float:
        """The longest training time in minutes; the preset's unless `minutes` is set."""
        return self.minutes or {"quick": 1 / 6, "normal": 2.0, "thorough": 600.0}[self.preset]


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Settings):
    """How to predict the slides of a project."""

    role: str = setting("all", "Which slides to predict.", choices=("all", "train", "val", "test"), expert=False)
    tile: int = setting(
        512,
        "Side of the tile that is predicted at once; lower it when memory runs out.",
        unit="px",
        minimum=64,
        maximum=4096,
        step=32,
        multiple=32,
    )
    halo: int = setting(
        64,
        "Margin predicted around each tile and cropped again, so that no seams show; raise it if they do.",
        unit="px",
        minimum=0,
        maximum=512,
        step=32,
        multiple=32,
    )
    tta: int = setting(
        1,
        "Test-time augmentation: average the prediction over up to 8 flips and rotations of each tile; raise it for "
        "smoother edges, at so many times the cost.",
        minimum=1,
        maximum=8,
        aliases=("positions",),
    )
