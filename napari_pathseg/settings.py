"""Settings: dataclass fields with a default, a help text, a unit and limits, checked on construction.

A renamed setting keeps its old names as `aliases`, so that files and scripts written before work.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from napari_pathseg.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """The values that a setting may have, how a form shows it, and the names it had before."""

    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    multiple: int = 0
    choices: tuple[str, ...] = ()
    expert: bool = True
    group: str = ""
    aliases: tuple[str, ...] = ()


def setting(default: Any, help: str, **limits: Any) -> Any:
    """Return a dataclass field with a default, a help text and `Limits`."""
    return dataclasses.field(default=default, metadata={"limits": Limits(help, **limits)})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings classes; the constructor checks every value."""

    def __post_init__(self) -> None:
        for field, limits in self.described():
            _check(field, limits, getattr(self, field.name))

    @classmethod
    def described(cls) -> Iterator[tuple[dataclasses.Field[Any], Limits]]:
        """Yield each field with its limits, in order."""
        for field in dataclasses.fields(cls):
            yield field, field.metadata["limits"]

    def replace(self, **changes: Any) -> Self:
        """Return a copy with `changes`."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values` with old names replaced by today's; unknown names stay, and a name of today wins.

        >>> from napari_pathseg.config import TrainConfig
        >>> TrainConfig.renamed({"clip": 2.0, "batch": 8})
        {'gradient_clip_norm': 2.0, 'batch': 8}
        """
        today = {alias: field.name for field, limits in cls.described() for alias in limits.aliases}
        return {today.get(name, name): value for name, value in values.items() if today.get(name) not in values}

    @classmethod
    def with_first_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values` under the names that settings had at first: the inverse of `renamed`."""
        first = {field.name: limits.aliases[0] for field, limits in cls.described() if limits.aliases}
        return {first.get(name, name): value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the settings of `values`, under their names or old ones; what is left out has its default.

        Raises
        ------
        ConfigError
            If a name is unknown, or a value lies outside its limits.
        """
        known, values = {field.name for field in dataclasses.fields(cls)}, cls.renamed(values)
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
