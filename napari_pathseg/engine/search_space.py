"""The search space of a tuning and the settings it tries next: all of a grid, or those that optuna suggests.

It computes settings only: no training, no files, no torch.
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

from napari_pathseg.config import USUAL_BATCH, TrainConfig
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = bool | int | float | str
Settings = dict[str, Value]

SEARCHES = ("grid", "optuna")
DEFAULT_TRIALS = 20  # of optuna, where no number is given
_OF_NEW_NETWORKS = ("architecture", "encoder", "context", "weights", "upsampling_init")  # ignored with a parent
_MAX_COMBINATIONS = 100_000  # of a grid
_MIN_LOG_RATIO = 100  # of the ends of a range; wider ranges are searched on a logarithmic scale
_MAX_REQUESTS = 50  # to optuna, for settings that were not tried yet
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class SearchDimension:
    """A setting to vary: its values, or the two ends of its range."""

    field: str
    values: tuple[Value, ...]
    is_range: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse ``FIELD=A,B,C`` or ``FIELD=LOW..HIGH``.

        Raises
        ------
        ConfigError
            If `text` has neither form, the field is not a setting, or a value lies outside its limits.
        """
        name, _, listed = text.partition("=")
        (name,) = TrainConfig.renamed({name.strip().replace("-", "_"): listed})
        defaults = TrainConfig().to_json()
        if name not in defaults:
            TrainConfig.from_json({name: ""})  # raises and lists the settings
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
    """The settings to vary, how to search them, and the settings that all trials share.

    Attributes
    ----------
    varied
        The settings to vary, at least one.
    config
        The other settings.
    trials
        The largest number of trials; 0 means all of a grid, or 20 with optuna.
    search
        "grid" or "optuna".
    name
        The name of the tuning; if left out, the varied fields and a hash of the shared settings.
    parent
        The model from which each trial starts; None for new weights.
    """

    varied: tuple[SearchDimension, ...]
    config: TrainConfig = field(default_factory=TrainConfig)
    trials: int = 0
    search: str = "grid"
    name: str = ""
    parent: str | None = None

    def __post_init__(self) -> None:
        fields = self.fields
        if not fields:
            raise ConfigError("vary is empty; name a setting and its values, such as learning_rate=1e-4,1e-3.")
        if len(set(fields)) < len(fields):
            raise ConfigError(f"vary names {', '.join(fields)}; give all values of a setting at once.")
        if self.trials < 0:
            raise ConfigError(f"trials is {self.trials}; it must be 0, for all, or more.")
        if self.search not in SEARCHES:
            raise ConfigError(f"search is {self.search!r}; it must be one of {', '.join(SEARCHES)}.")
        if self.parent == "latest":
            raise ConfigError("parent is 'latest', which each trial would change. Name a model, or leave it out.")
        kept = [name for name in fields if name in _OF_NEW_NETWORKS and self.parent is not None]
        if kept:
            raise ConfigError(
                f"vary names {', '.join(kept)}, but each trial keeps the network of {self.parent}. Leave it out, or "
                "train each trial from scratch."
            )
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
        for dimension in self.varied:
            if dimension.is_range:
                raise ConfigError(
                    f"{dimension.field} is a range; a grid takes values. List some, or search with optuna."
                )
        if (combinations := math.prod(len(dimension.values) for dimension in self.varied)) > _MAX_COMBINATIONS:
            raise ConfigError(f"vary has {combinations} combinations; at most {_MAX_COMBINATIONS}. List fewer values.")

    @classmethod
    def read(cls, vary: Sequence[str], config: TrainConfig, **others: Any) -> Self:
        """Return a request from dimensions as text; see `SearchDimension.read`."""
        return cls(varied=tuple(SearchDimension.read(text) for text in vary), config=config, **others)

    @property
    def fields(self) -> list[str]:
        """The names of the varied settings."""
        return [dimension.field for dimension in self.varied]

    @property
    def legacy_name(self) -> str:
        """The name that a version with the old names of settings gave to this tuning."""
        if self.name != _automatic_name(self.fields, self.shared):
            return self.name
        fields = list(TrainConfig.with_first_names(dict.fromkeys(self.fields)))
        return _automatic_name(fields, TrainConfig.with_first_names({**self.shared, "varied": sorted(fields)}))

    @property
    def shared(self) -> dict[str, Any]:
        """The settings that all trials share, as plain values."""
        rest = {name: value for name, value in self.config.to_json().items() if name not in self.fields}
        return {"varied": sorted(self.fields), "parent": self.parent, **rest}

    def remaining(self, tried: Sequence[Settings]) -> int:
        """Return how many trials remain after `tried`."""
        if self.search == "grid":
            return sum(settings not in tried for settings in grid(self))
        return max(0, (self.trials or DEFAULT_TRIALS) - len(tried))

    def next_settings(self, tried: Sequence[Settings], scores: Sequence[float | None]) -> Settings | None:
        """Return the settings to try next, or None if none remain; `scores` belong to `tried`, None for a failure."""
        if self.search == "grid":
            return next((settings for settings in grid(self) if settings not in tried), None)
        return _suggest(self, tried, scores) if self.remaining(tried) else None


def _automatic_name(fields: Sequence[str], shared: dict[str, Any]) -> str:
    named = TrainConfig.without_newer_defaults(shared)
    if named.get("batch") == 0:
        named["batch"] = USUAL_BATCH  # the default of older versions, so that their tunings go on
    digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
    return "-".join([*sorted(fields)[:3], digest[:8]])


def grid(request: TuneRequest) -> list[Settings]:
    """Return the combinations to try.

    These are all of them in order or, if there are more than `trials`, the first ones of an order
    shuffled by the seed.  A larger number of trials extends the list and keeps its beginning.
    """
    products = itertools.product(*(dimension.values for dimension in request.varied))
    combinations = [dict(zip(request.fields, values, strict=True)) for values in products]
    if not request.trials or request.trials >= len(combinations):
        return combinations
    order = np.random.default_rng(request.config.seed).permutation(len(combinations))
    return [combinations[index] for index in order[: request.trials]]


def _suggest(request: TuneRequest, tried: Sequence[Settings], scores: Sequence[float | None]) -> Settings | None:
    """Ask optuna for settings that were not tried yet.

    Each call fills a new study with all trials, so that a resumed tuning continues exactly as one
    that was never interrupted.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # optuna installs its own handler
    space = {dimension.field: _distribution(dimension) for dimension in request.varied}
    startup = max(2, min(10, (request.trials or DEFAULT_TRIALS) // 3))
    sampler = optuna.samplers.TPESampler(seed=request.config.seed + len(tried), n_startup_trials=startup)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for settings, score in zip(tried, scores, strict=True):
        if score is not None:
            with contextlib.suppress(ValueError):  # a value that is no longer among the choices
                study.add_trial(optuna.create_trial(params=settings, distributions=space, value=score))
    for _ in range(_MAX_REQUESTS):
        asked = study.ask(space).params
        suggested = {dimension.field: _round(dimension, asked[dimension.field]) for dimension in request.varied}
        if suggested not in tried:
            return suggested
    return None


def _distribution(dimension: SearchDimension) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not dimension.is_range:
        return CategoricalDistribution(dimension.values)
    low, high = (float(end) for end in dimension.values)
    log_scale = low > 0 and high / low >= _MIN_LOG_RATIO
    if isinstance(dimension.values[0], float):
        return FloatDistribution(low, high, log=log_scale)
    multiple = {field.name: info.multiple for field, info in TrainConfig.described()}[dimension.field]
    return IntDistribution(int(low), int(high), log=log_scale and not multiple, step=multiple or 1)


def _round(dimension: SearchDimension, value: Any) -> Value:
    """Round a number from a range to three digits, so that tables stay readable."""
    if not dimension.is_range or not isinstance(value, float):
        return value  # type: ignore[no-any-return]
    low, high = (float(end) for end in dimension.values)
    return min(max(float(f"{value:.3g}"), low), high)


def _value(kind: type, name: str, text: str) -> Value:
    """Parse a setting's value from the command line."""
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise ConfigError(f"{name} is {text!r}; it must be true or false.")
        return text.lower() in _TRUE
    try:
        value: Value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name} is {text!r}; it must be {what}.") from None
    return value
