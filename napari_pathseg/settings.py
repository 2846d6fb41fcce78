"""Settings: dataclass fields with a default, help text, unit and limits, checked on construction.

A renamed setting keeps its old names as `aliases`, so that older files and scripts still work.
"""

import contextlib
import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from napari_pathseg.errors import ConfigError


@dataclass(frozen=True)
class SettingInfo:
    """What is known about a setting: help, unit and limits, how a form shows it, and the names it had before.

    Attributes
    ----------
    minimum, maximum
        Its limits, inclusive; a number needs both.
    step
        What one click on an arrow of its box changes it by.
    multiple
        A whole number must be a multiple of this, unless it is 0.
    choices
        The only values that a text may have; without them it may have any.
    expert, group
        Whether it is one of the *Expert* settings rather than on the panel itself, and its heading among these.
    label
        Its name in the form; without one, the form shows the name as words.
    aliases
        The names it had before, oldest first.
    since
        The version that added it, after 0.1.0.  Names that are made of settings, such as those of tunings, leave it
        out at its default, so that they stay as they were.
    """

    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    multiple: int = 0
    choices: tuple[str, ...] = ()
    expert: bool = True
    group: str = ""
    label: str = ""
    aliases: tuple[str, ...] = ()
    since: str = ""


def setting(default: Any, help: str, **info: Any) -> Any:
    """Return a dataclass field with a default and a `SettingInfo` of the other arguments."""
    return dataclasses.field(default=default, metadata={"info": SettingInfo(help, **info)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base class of all settings; the constructor checks every value."""

    def __post_init__(self) -> None:
        for field, info in self.described():
            _check(field, info, getattr(self, field.name))

    @classmethod
    def described(cls) -> Iterator[tuple[dataclasses.Field[Any], SettingInfo]]:
        """Yield each field with its help, limits and names, in order."""
        for field in dataclasses.fields(cls):
            yield field, field.metadata["info"]

    @classmethod
    def label_of(cls, name: str) -> str:
        """Return the label of a setting, known by its name or an old one; an unknown name as words.

        >>> from napari_pathseg.config import TrainConfig
        >>> TrainConfig.label_of("ema_decay"), TrainConfig.label_of("averaging"), TrainConfig.label_of("my_setting")
        ('EMA decay', 'EMA decay', 'My setting')
        """
        for field, info in cls.described():
            if name == field.name or name in info.aliases:
                return info.label or label_from_name(field.name)
        return label_from_name(name)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with `changes`."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values` with old names replaced by present ones; unknown names stay, and a present name wins.

        >>> from napari_pathseg.config import TrainConfig
        >>> TrainConfig.renamed({"clip": 2.0, "batch": 8})
        {'gradient_clip_norm': 2.0, 'batch': 8}
        """
        present = {alias: field.name for field, info in cls.described() for alias in info.aliases}
        return {present.get(name, name): value for name, value in values.items() if present.get(name) not in values}

    @classmethod
    def without_newer_defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values` without the settings that came with a later version and have their default."""
        newer = {field.name: field.default for field, info in cls.described() if info.since}
        return {name: value for name, value in values.items() if name not in newer or value != newer[name]}

    @classmethod
    def with_first_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values` under the first names of the settings: the inverse of `renamed`."""
        first = {field.name: info.aliases[0] for field, info in cls.described() if info.aliases}
        return {first.get(name, name): value for name, value in values.items()}

    @classmethod
    def known(cls, values: Mapping[str, Any]) -> Self:
        """Return settings with those of `values` that this version knows and accepts; the rest are defaults."""
        settings = cls()
        for name, value in cls.renamed(values).items():
            default = getattr(settings, name, None)
            wanted = (int, float) if isinstance(default, float) else type(default)
            if default is not None and isinstance(value, wanted):
                with contextlib.suppress(ConfigError, TypeError):
                    settings = settings.replace(**{name: value})
        return settings

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return settings from `values`, by present or old names; missing ones have their defaults.

        Raises
        ------
        ConfigError
            If a name is unknown, or a value is outside its limits.
        """
        known, values = {field.name for field in dataclasses.fields(cls)}, cls.renamed(values)
        for name in values:
            if name not in known:
                similar = "".join(f" Did you mean {close}?" for close in difflib.get_close_matches(name, known, 1))
                raise ConfigError(
                    f"{name} is not a setting of {cls.__name__}.{similar} Choose one of {', '.join(sorted(known))}."
                )
        return cls(**values)


def label_from_name(name: str) -> str:
    """Return the name of a setting as words.

    >>> label_from_name("learning_rate")
    'Learning rate'
    """
    return name.replace("_", " ").capitalize()


def _check(field: dataclasses.Field[Any], info: SettingInfo, value: Any) -> None:
    name = field.name
    if isinstance(field.default, bool) and not isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}; it must be True or False.")
    if isinstance(field.default, str) and not info.choices and not isinstance(value, str):
        raise ConfigError(f"{name} is {value!r}; it must be a string.")
    if info.choices and value not in info.choices:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(info.choices)}.")
    if info.minimum is None or info.maximum is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} is {value!r}; it must be a number between {info.minimum:g} and {info.maximum:g}.")
    if not info.minimum <= value <= info.maximum:  # also catches NaN
        raise ConfigError(f"{name} is {value:g}; it must lie between {info.minimum:g} and {info.maximum:g}.")
    if field.type in (int, "int") and value != int(value):
        raise ConfigError(f"{name} is {value:g}; it must be a whole number.")
    if info.multiple and value % info.multiple:
        raise ConfigError(f"{name} is {value:g}; it must be a multiple of {info.multiple}.")
