"""What a setting is: a field with a default, a help text, a unit and limits, that checks itself."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from napari_pathseg.errors import ConfigError


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
    group: str = ""


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
