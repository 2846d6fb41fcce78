"""What a tuning varies, and what it tries next: the combinations of a grid, or what optuna suggests.

Settings alone: no training, no files, no torch.
"""

import contextlib
import hashlib
import importlib.util
import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = bool | int | float | str
Settings = dict[str, Value]

SEARCHES = ("grid", "optuna")
_SUGGESTIONS = 20  # trials of optuna where no number is given
_MOST = 100_000  # combinations of a grid
_WIDE = 100  # times the low end from which on a range is searched by its logarithm
_ASKED = 50  # times optuna is asked for something that was not tried
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Varied:
    """A setting that is varied: its values, or the ends of a range of them."""

    field: str
    values: tuple[Value, ...]
    is_range: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what ``FIELD=A,B,C`` or ``FIELD=LOW..HIGH`` says.

        Raises
        ------
        ConfigError
            If it says neither, the field is no setting, or a value lies outside its limits.
        """
        name, _, listed = text.partition("=")
        (name,) = TrainConfig.renamed({name.strip().replace("-", "_"): listed})
        defaults = TrainConfig().to_json()
        if name not in defaults:
            TrainConfig.from_json({name: ""})  # says which there are
        parts = [part.strip() for part in listed.split(",")]
        kind = type(defaults[name])
        low, dots, high = listed.partition("..")
        is_range = bool(dots) and kind in (int, float)
        if is_range:
            parts = [low, high]
        if not all(parts):
            raise ConfigError(f"vary is {text!r}; write FIELD=A,B,C or FIELD=LOW..HIGH.")
        values = tuple(dict.fromkeys(_value(kind, name, part) for part in parts))
        for value in values:
            TrainConfig.from_json({name: value})
        if is_range and not float(values[0]) < float(values[-1]):
            raise ConfigError(f"{name} is {listed}; the first of the two must be the lower one.")
        return cls(name, values, is_range)


@dataclass(frozen=True, kw_only=True)
class TuneRequest:
    """What to vary, how, and what all trials share.

    Attributes
    ----------
    varied
        At least one setting.
    config
        The other settings.
    trials
        Most trials; 0 for all of a grid, and for 20 of optuna.
    search
        "grid" or "optuna".
    name
        Of the tuning; made of the varied fields and a hash of all that is shared if left out.
    parent
        The model that each trial starts from, None for none.
    """

    varied: tuple[Varied, ...]
    config: TrainConfig = field(default_factory=TrainConfig)
    trials: int = 0
    search: str = "grid"
    name: str = ""
    parent: str | None = None

    def __post_init__(self) -> None:
        fields = [varied.field for varied in self.varied]
        if not fields:
            raise ConfigError("vary is empty; name a setting and its values, such as learning_rate=1e-4,1e-3.")
        if len(set(fields)) < len(fields):
            raise ConfigError(f"vary names {', '.join(fields)}; give all values of a setting at once.")
        if self.trials < 0:
            raise ConfigError(f"trials is {self.trials}; it must be 0, for all, or more.")
        if self.search not in SEARCHES:
            raise ConfigError(f"search is {self.search!r}; it must be one of {', '.join(SEARCHES)}.")
        if self.parent == "latest":
            raise ConfigError("parent is 'latest', which each trial would change. Name a model, or none.")
        if not self.name:
            object.__setattr__(self, "name", _automatic_name(fields, self.shared))
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise ConfigError(f"name is {self.name!r}; use letters, digits, dots and dashes.")
        self._check_search()

    def _check_search(self) -> None:
        if self.search == "optuna":
            if importlib.util.find_spec("optuna") is None:
                raise ConfigError(
                    "search is optuna, but the package optuna is not installed. "
                    'Install it with: pip install "napari-pathseg[tune]", or search a grid.'
                )
            return
        for varied in self.varied:
            if varied.is_range:
                raise ConfigError(f"{varied.field} is a range; a grid takes values. List some, or search with optuna.")
        if (combinations := math.prod(len(varied.values) for varied in self.varied)) > _MOST:
            raise ConfigError(f"vary has {combinations} combinations; at most {_MOST}. List fewer values.")

    @classmethod
    def read(cls, vary: Sequence[str], config: TrainConfig, **others: Any) -> Self:
        """Return the request of what is written as ``FIELD=A,B,C`` or ``FIELD=LOW..HIGH``; see `Varied.read`."""
        return cls(varied=tuple(Varied.read(text) for text in vary), config=config, **others)

    @property
    def fields(self) -> list[str]:
        """The names of what is varied."""
        return [varied.field for varied in self.varied]

    @property
    def first_name(self) -> str:
        """The name of this tuning where a version began it that knew settings by their first names."""
        if self.name != _automatic_name(self.fields, self.shared):
            return self.name
        fields = list(TrainConfig.with_first_names(dict.fromkeys(self.fields)))
        return _automatic_name(fields, TrainConfig.with_first_names({**self.shared, "varied": sorted(fields)}))

    @property
    def shared(self) -> dict[str, Any]:
        """What all trials of a tuning have in common, as plain values."""
        rest = {name: value for name, value in self.config.to_json().items() if name not in self.fields}
        return {"varied": sorted(self.fields), "parent": self.parent, **rest}

    def left(self, tried: Sequence[Settings]) -> int:
        """Return how many trials are to come after `tried`."""
        if self.search == "grid":
            return sum(settings not in tried for settings in grid(self))
        return max(0, (self.trials or _SUGGESTIONS) - len(tried))

    def next_settings(self, tried: Sequence[Settings], scores: Sequence[float | None]) -> Settings | None:
        """Return what to try next, None where nothing is left; `scores` are of `tried`, None for a failure."""
        if self.search == "grid":
            return next((settings for settings in grid(self) if settings not in tried), None)
        return _suggested(self, tried, scores) if self.left(tried) else None


def _automatic_name(fields: Sequence[str], shared: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()
    return "-".join([*sorted(fields)[:3], digest[:8]])


def grid(request: TuneRequest) -> list[Settings]:
    """Return the combinations that are tried.

    All of them in order, or, where there are more than `trials`, the first of an order that
    the seed shuffles; with more trials it goes on.
    """
    every = itertools.product(*(varied.values for varied in request.varied))
    combinations = [dict(zip(request.fields, values, strict=True)) for values in every]
    if not request.trials or request.trials >= len(combinations):
        return combinations
    order = np.random.default_rng(request.config.seed).permutation(len(combinations))
    return [combinations[index] for index in order[: request.trials]]


def _suggested(request: TuneRequest, tried: Sequence[Settings], scores: Sequence[float | None]) -> Settings | None:
    """Ask optuna for what was not tried yet.

    A fresh study is told of all trials each time, so that an interrupted tuning goes on as if
    it had not been.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it has a handler of its own
    space = {varied.field: _distribution(varied) for varied in request.varied}
    first = max(2, min(10, (request.trials or _SUGGESTIONS) // 3))
    sampler = optuna.samplers.TPESampler(seed=request.config.seed + len(tried), n_startup_trials=first)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for settings, score in zip(tried, scores, strict=True):
        if score is not None:
            with contextlib.suppress(ValueError):  # a value that is no longer among those to choose from
                study.add_trial(optuna.create_trial(params=settings, distributions=space, value=score))
    for _ in range(_ASKED):
        asked = study.ask(space).params
        suggested = {varied.field: _tidy(varied, asked[varied.field]) for varied in request.varied}
        if suggested not in tried:
            return suggested
    return None


def _distribution(varied: Varied) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not varied.is_range:
        return CategoricalDistribution(varied.values)
    low, high = (float(end) for end in varied.values)
    by_logarithm = low > 0 and high / low >= _WIDE
    if isinstance(varied.values[0], float):
        return FloatDistribution(low, high, log=by_logarithm)
    multiple = {field.name: limits.multiple for field, limits in TrainConfig.described()}[varied.field]
    return IntDistribution(int(low), int(high), log=by_logarithm and not multiple, step=multiple or 1)


def _tidy(varied: Varied, value: Any) -> Value:
    """Return three digits of a number from a range, for tables that can be read."""
    if not varied.is_range or not isinstance(value, float):
        return value  # type: ignore[no-any-return]
    low, high = (float(end) for end in varied.values)
    return min(max(float(f"{value:.3g}"), low), high)


def _value(kind: type, name: str, text: str) -> Value:
    """Return a setting's value as it is written on a command line."""
    if kind is bool:
        if text.lower() not in _YES + _NO:
            raise ConfigError(f"{name} is {text!r}; it must be true or false.")
        return text.lower() in _YES
    try:
        value: Value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name} is {text!r}; it must be {what}.") from None
    return value
