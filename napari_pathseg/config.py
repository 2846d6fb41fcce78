"""Every setting once: its default, help, unit and limits.

The form in the window, the options of the command line and the checks read the fields of
these classes; nothing is written twice.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from napari_pathseg.errors import ConfigError

NETWORK_NAMES = ("unet",)
ENCODER_NAMES = ("tf_efficientnet_lite0",)
WEIGHT_NAMES = ("imagenet", "none")


@dataclass(frozen=True)
class Limits:
    """What a setting may be, and how a form shows it."""

    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    multiple: int = 0
    choices: tuple[str, ...] = ()
    expert: bool = True


def setting(default: Any, help: str, **limits: Any) -> Any:
    """Return a dataclass field with a default, a help text and `Limits`."""
    return dataclasses.field(default=default, metadata={"limits": Limits(help, **limits)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all settings share: they check themselves when they are made."""

    def __post_init__(self) -> None:
        for field, limits in self.described():
            _check(field, limits, getattr(self, field.name))

    @classmethod
    def described(cls) -> Iterator[tuple[dataclasses.Field[Any], Limits]]:
        """Yield each setting's field with its limits, in order."""
        for field in dataclasses.fields(cls):
            yield field, field.metadata["limits"]

    def replace(self, **changes: Any) -> Self:
        """Return the same settings but for `changes`."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the settings of `values`; what is left out has its default.

        Raises
        ------
        ConfigError
            If a name is no setting, or a value lies outside its limits.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise ConfigError(f"{name} is no setting of {cls.__name__}. There are: {', '.join(sorted(known))}.")
        return cls(**values)


def _check(field: dataclasses.Field[Any], limits: Limits, value: Any) -> None:
    name = field.name
    if limits.choices and value not in limits.choices:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(limits.choices)}.")
    if limits.minimum is None or limits.maximum is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(
            f"{name} is {value!r}; it must be a number between {limits.minimum:g} and {limits.maximum:g}."
        )
    if not limits.minimum <= value <= limits.maximum:  # also catches NaN
        raise ConfigError(f"{name} is {value:g}; it must lie between {limits.minimum:g} and {limits.maximum:g}.")
    if field.type in (int, "int") and value != int(value):
        raise ConfigError(f"{name} is {value:g}; it must be a whole number.")
    if limits.multiple and value % limits.multiple:
        raise ConfigError(f"{name} is {value:g}; it must be a multiple of {limits.multiple}.")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """How to fine-tune a network on a project."""

    minutes: float = setting(
        2.0, "Longest training time; training ends sooner when it no longer improves.",
        unit="min", minimum=0.05, maximum=10_000, step=0.05, expert=False,
    )  # fmt: skip
    architecture: str = setting("unet", "Network to fine-tune.", choices=NETWORK_NAMES)
    encoder: str = setting("tf_efficientnet_lite0", "Encoder of the network.", choices=ENCODER_NAMES)
    weights: str = setting(
        "imagenet", "What the encoder starts from: weights learnt on photographs, or none.", choices=WEIGHT_NAMES
    )
    tile: int = setting(
        256, "Side of a training tile; raise it when a class is told by its surroundings.",
        unit="px", minimum=64, maximum=2048, step=32, multiple=32,
    )  # fmt: skip
    batch: int = setting(4, "Tiles per training step; lower it when memory runs out.", minimum=1, maximum=256)
    decoder_rate: float = setting(
        3e-3, "Step size while only the decoder learns.", minimum=1e-6, maximum=0.1, step=1e-6
    )
    learning_rate: float = setting(
        5e-4, "Step size while everything learns; lower it when the curve jumps.",
        minimum=1e-6, maximum=0.1, step=1e-6,
    )  # fmt: skip
    weight_decay: float = setting(
        1e-4, "Pull of the weights towards zero; raise it when validation falls behind training.",
        minimum=0.0, maximum=1.0, step=1e-6,
    )  # fmt: skip
    decoder_seconds: float = setting(
        8.0, "Seconds in which only the decoder learns, on kept features of the frozen encoder.",
        unit="s", minimum=0.0, maximum=600, step=0.5,
    )  # fmt: skip
    cached_tiles: int = setting(96, "Most tiles whose features are kept for the decoder.", minimum=4, maximum=4096)
    patience: int = setting(12, "Validations without progress after which training ends.", minimum=1, maximum=1000)
    stain_jitter: float = setting(
        0.15, "How far colours are varied while learning; raise it for slides of many laboratories.",
        minimum=0.0, maximum=1.0, step=0.01,
    )  # fmt: skip
    seed: int = setting(0, "Start of the random numbers.", minimum=0, maximum=2**31 - 1)


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
