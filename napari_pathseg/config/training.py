"""The settings of a training."""

from dataclasses import dataclass
from functools import partial

from napari_pathseg.settings import Settings, setting

LIVE = "live"
PRESETS = (LIVE, "quick", "normal", "thorough")
LINEAR = "features+linear"
USUAL_BATCH = 4  # tiles, if the setting is 0
NETWORK_NAMES = ("unet", "unetplusplus", "fpn", "deeplabv3plus", "segformer", "unet-classic", "fcn8s", LINEAR)
LOSS_NAMES = ("cross-entropy+dice", "cross-entropy", "dice", "focal", "tversky", "lovasz")
FILL_MODES = ("mirror", "nearest")
UPSAMPLING_INITS = ("bilinear", "xavier")
SCHEDULE_NAMES = ("auto", "cosine", "one-cycle", "plateau", "staircase", "constant")
_augmentation, _optimization = (partial(setting, group=group) for group in ("Augmentation", "Optimization"))


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """Settings for fine-tuning a network on a project."""

    preset: str = setting(
        "normal",
        "live: fits a linear classifier to the features of the encoder (features+linear), as fast as these are "
        "computed; quick: trains only the decoder, in seconds; normal: trains the whole network, in minutes; thorough: "
        "first searches the learning rate, then trains until validation no longer improves.",
        choices=PRESETS,
        expert=False,
    )
    minutes: float = setting(
        0.0,
        "Maximum training time; 0: that of the preset (live 30 s, less if few tiles are annotated; quick 10 s, "
        "normal 2 min, thorough up to 10 h).",
        unit="min",
        minimum=0.0,
        maximum=10_000,
        step=0.05,
        expert=False,
    )

    architecture: str = setting("unet", "Network to fine-tune.", choices=NETWORK_NAMES, group="Network")
    encoder: str = setting(
        "tf_efficientnet_lite0",
        "Encoder, from segmentation-models-pytorch or timm; unet-classic and fcn8s have a fixed one.",
        group="Network",
    )
    weights: str = setting(
        "imagenet",
        "Initial weights of the encoder: imagenet (from an installed package, or downloaded), none, or a .safetensors "
        "or .pth file. A file with VGG16's classifier also fills fc6 and fc7 of fcn8s.",
        label="Initial weights",
        group="Network",
    )
    upsampling_init: str = setting(
        "bilinear",
        "Initial weights of the transposed convolutions of fcn8s: bilinear interpolation, or Xavier's random ones; the "
        "other networks have none that interpolate.",
        choices=UPSAMPLING_INITS,
        label="Initial upsampling",
        group="Network",
        since="0.2",
    )
    encoder_lr_scale: float = setting(
        1.0,
        "Learning rate of the encoder as a fraction of the decoder's; 0 freezes the encoder. Lower it if few slides "
        "are annotated.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
        label="Encoder LR factor",
        group="Network",
        aliases=("encoder_rate",),
    )
    context: bool = setting(
        False,
        "Also give the network the surroundings of each tile: four times as wide, at a quarter of the resolution.",
        label="Wider context",
        group="Network",
    )

    tile: int = setting(
        256,
        "Side of a training tile; raise it if a class can only be recognised by its surroundings.",
        unit="px",
        minimum=64,
        maximum=2048,
        step=32,
        multiple=32,
        label="Tile size",
        group="Tiles",
    )
    batch: int = setting(
        0,
        "Batch size: tiles per batch; 0: 4, but 2 in a normal training of a new model of up to 2 min without a GPU. "
        "Lower it if memory runs out.",
        minimum=0,
        maximum=256,
        label="Batch size",
        group="Tiles",
    )
    accumulate: int = setting(
        1,
        "Gradient accumulation: batches per training step; raise it for a larger effective batch in the same memory.",
        minimum=1,
        maximum=64,
        label="Accumulated batches",
        group="Tiles",
    )
    corrected_weight: float = setting(
        3.0,
        "Weight of a corrected pixel in the loss and in sampling; others have 1. Lower it if corrections are rough.",
        minimum=1.0,
        maximum=100.0,
        step=0.5,
        label="Weight of corrections",
        group="Tiles",
    )

    flip_rotate: bool = _augmentation(
        True,
        "Flip tiles and rotate them by multiples of 90°; switch it off only if orientation matters.",
        label="Flips and 90° turns",
        aliases=("turns",),
    )
    geometric_p: float = _augmentation(
        0.3,
        "Probability of rotation, shift, shear, zoom and elastic deformation; raise it if few slides are annotated.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        label="Geometric probability",
        aliases=("warped",),
    )
    rotation: float = _augmentation(
        15.0,
        "Largest rotation of the geometric augmentation.",
        unit="°",
        minimum=0,
        maximum=180,
        step=1,
        label="Rotation up to",
    )
    shift: float = _augmentation(
        0.05,
        "Largest shift of the geometric augmentation, as a fraction of the tile's side.",
        minimum=0,
        maximum=0.5,
        step=0.01,
        label="Shift up to",
    )
    shear: float = _augmentation(
        5.0,
        "Largest shear of the geometric augmentation.",
        unit="°",
        minimum=0,
        maximum=45,
        step=1,
        label="Shear up to",
    )
    zoom: float = _augmentation(
        0.15,
        "Largest change of scale of the geometric augmentation, as a fraction.",
        minimum=0,
        maximum=0.9,
        step=0.01,
        label="Zoom up to",
    )
    elastic: float = _augmentation(
        4.0,
        "Elastic deformation of the geometric augmentation: largest shift of a control point.",
        unit="px",
        minimum=0,
        maximum=100,
        step=1,
        label="Elastic shift up to",
    )
    fill_mode: str = _augmentation(
        "mirror",
        "What geometric_p moves in from beyond a tile's edge: the mirrored tile, or the nearest edge pixel repeated.",
        choices=FILL_MODES,
        label="Beyond the edge",
        since="0.2",
    )
    degrade_p: float = _augmentation(
        0.15,
        "Probability that a tile is blurred, made noisy or JPEG-compressed; raise it if scanners differ.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        label="Degradation probability",
        aliases=("spoiled",),
    )
    augment_ramp: float = _augmentation(
        25.0,
        "Passes over the labelled area in which a new model's geometric and degradation probability rise to their full "
        "values; 0: full from the start. A short training on many slides sees no tile twice, and little variation "
        "teaches it more.",
        minimum=0.0,
        maximum=1000.0,
        step=1,
        label="Augmentation ramp",
        since="0.2",
    )
    blur: float = _augmentation(
        1.5, "Largest blur of the degradation (sigma).", unit="px", minimum=0, maximum=10, step=0.1, label="Blur up to"
    )
    noise: float = _augmentation(
        8.0, "Largest noise of the degradation, in grey values.", minimum=0, maximum=100, step=1, label="Noise up to"
    )
    jpeg: int = _augmentation(
        40,
        "Lowest JPEG quality of the degradation; 100: no compression.",
        minimum=5,
        maximum=100,
        label="JPEG quality from",
    )
    stain_jitter: float = _augmentation(
        0.15,
        "Strength of stain augmentation (haematoxylin and eosin), stronger where fewer than 7 slides are learnt; raise "
        "it for slides from many laboratories.",
        minimum=0.0,
        maximum=1.0,
        step=0.01,
    )
    stain_norm: str = _augmentation(
        "none",
        "Stain normalization of all slides, in training and prediction; try it if a model for one laboratory must "
        "work for another.",
        choices=("none", "macenko", "reinhard"),
        label="Stain normalization",
    )

    loss: str = setting(
        "cross-entropy+dice",
        "Loss function; choose focal for rare classes, tversky for fewer false negatives.",
        choices=LOSS_NAMES,
        group="Loss",
    )
    class_weights: str = setting(
        "none",
        "Class weights in the loss: none, balanced (inverse frequency), or numbers such as 1,2.5; raise the weight of "
        "a class that is missed.",
        group="Loss",
    )
    focal_gamma: float = setting(
        2.0,
        "Gamma of the focal loss; raise it to focus on pixels that are hard to classify.",
        minimum=0.0,
        maximum=10.0,
        step=0.1,
        group="Loss",
    )
    tversky_alpha: float = setting(
        0.3,
        "Weight of false positives in the Tversky loss; false negatives have 1 minus this. Lower it to miss less.",
        minimum=0.05,
        maximum=0.95,
        step=0.05,
        group="Loss",
    )
    border_weight: float = setting(
        0.0,
        "Extra loss weight of gaps between touching objects, 10 in the U-Net paper; 0: none. Raise it if they merge.",
        minimum=0.0,
        maximum=100.0,
        step=1,
        group="Loss",
    )
    border_width: float = setting(
        5.0, "Width of the border weight (sigma).", unit="px", minimum=1.0, maximum=50.0, step=1, group="Loss"
    )

    optimizer: str = _optimization(
        "adamw",
        "Optimizer; adamw suits all networks, sgd often needs a higher learning rate.",
        choices=("adamw", "adam", "sgd"),
    )
    learning_rate: float = _optimization(
        1e-3, "Learning rate of the whole network; lower it if the loss jumps.", minimum=1e-6, maximum=1.0, step=1e-6
    )
    decoder_learning_rate: float = _optimization(
        3e-3,
        "Learning rate while only the decoder is trained; lower it if the loss jumps in the quick look.",
        minimum=1e-6,
        maximum=1.0,
        step=1e-6,
        aliases=("decoder_rate",),
    )
    weight_decay: float = _optimization(
        1e-4,
        "Weight decay (L2); raise it against overfitting, if validation falls behind training. The loss is a mean over "
        "pixels: for a recipe that sums cross-entropy over the N pixels of a step and adds λ·w², choose adam or sgd "
        "and enter 2λ/N (λ/N for λ/2·w²); the learning rate of adam stays the same, that of sgd is N times as high.",
        minimum=0.0,
        maximum=1.0,
        step=1e-6,
    )
    schedule: str = _optimization(
        "auto",
        "Learning rate schedule; auto: cosine with warm-up, or plateau for the preset thorough.",
        choices=SCHEDULE_NAMES,
    )
    warm_up: float = _optimization(
        0.05,
        "Warm-up: fraction of the training in which the learning rate rises; raise it if the loss jumps at the start.",
        minimum=0,
        maximum=0.9,
        step=0.01,
        label="Warm-up",
    )
    staircase_factor: float = _optimization(
        0.95,
        "Factor applied to the learning rate after each epoch by the schedule staircase.",
        minimum=0.1,
        maximum=1.0,
        step=0.01,
    )
    plateau_factor: float = _optimization(
        0.5,
        "Factor applied to the learning rate when validation stops improving, by the schedule plateau.",
        minimum=0.05,
        maximum=0.95,
        step=0.05,
    )
    plateau_patience: int = _optimization(
        2, "Validations without improvement before the plateau factor is applied.", minimum=0, maximum=100
    )
    patience: int = _optimization(
        12, "Early stopping: validations without improvement after which training ends.", minimum=1, maximum=1000
    )
    ema_decay: float = _optimization(
        0.98,
        "Decay of the exponential moving average (EMA) of the weights, which is saved as the model; raise it if "
        "validation jumps; 0: no averaging.",
        minimum=0.0,
        maximum=0.9999,
        step=0.001,
        label="EMA decay",
        aliases=("averaging",),
    )
    gradient_clip_norm: float = _optimization(
        1.0,
        "Gradient clipping: maximum norm of the gradient; lower it if the loss jumps; 0: no clipping.",
        minimum=0,
        maximum=1000,
        step=0.1,
        label="Gradient clipping",
        aliases=("clip",),
    )
    last_pass: bool = _optimization(
        True,
        "In a normal training, the last quarter, up to 5 min, also learns from the held-out slides, after the model "
        "was scored without them; they themselves are still predicted by the weights from before. Not where only parts "
        "of slides are held out.",
        label="Last pass on all slides",
        since="0.2",
    )
    steps: int = _optimization(
        0,
        "Total training steps, including the quick look and the learning rate search, regardless of minutes; 0: as "
        "many as minutes allow. With a fixed number of steps, the same seed repeats a run.",
        minimum=0,
        maximum=10_000_000,
        label="Training steps",
    )
    decoder_seconds: float = _optimization(
        0.0,
        "Time to train only the decoder first, on cached features of the frozen encoder (the quick look); 0: none. "
        "Raise it for early pictures of where a long training goes.",
        unit="s",
        minimum=0.0,
        maximum=600,
        step=0.5,
        label="Decoder-only time",
    )
    cached_tiles: int = _optimization(
        96, "Maximum number of tiles whose encoder features are cached for the quick look.", minimum=4, maximum=4096
    )

    validation_tiles: int = setting(
        32,
        "Maximum number of 512 px tiles that each validation scores; the last one scores all.",
        minimum=1,
        maximum=10_000,
        group="Machine",
    )
    precision: str = setting(
        "auto",
        "Number format; auto: bfloat16 if a trial shows that it is accurate and faster.",
        choices=("auto", "fp32", "bf16"),
        group="Machine",
    )
    devices: int = setting(
        1, "GPUs, or processes on a CPU, that share each training step.", minimum=1, maximum=64, group="Machine"
    )
    tensorboard: bool = setting(
        False,
        "Write curves, graph, kernels and sample tiles for TensorBoard to the run's folder.",
        label="TensorBoard",
        group="Machine",
    )
    seed: int = setting(
        0, "Seed of the random number generators.", minimum=0, maximum=2**31 - 1, label="Random seed", group="Machine"
    )

    @property
    def with_network_of_preset(self) -> "TrainConfig":
        """The settings with the network that the preset trains: live has one of its own, without context."""
        return self.replace(architecture=LINEAR, context=False) if self.preset == LIVE else self

    @property
    def longest_minutes(self) -> float:
        """The maximum training time in minutes: `minutes`, or that of the preset if it is 0."""
        return self.minutes or {"live": 0.5, "quick": 1 / 6, "normal": 2.0, "thorough": 600.0}[self.preset]
