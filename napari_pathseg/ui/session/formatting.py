"""Numbers of a project as text: areas, durations, scores, settings."""

import math
from collections.abc import Mapping
from html import escape

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.search_space import DEFAULT_TRIALS
from napari_pathseg.ui.session.job_state import JobKind, JobState

_LARGE_AREA = 10_000  # µm² or pixels; from here on the unit is a million of them


def plural(number: int, word: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def format_area(pixels: float, mpp: float | None) -> str:
    """Return an area as text: mm² if the pixel size is known, else megapixels; small ones in µm² or pixels.

    >>> format_area(2_500_000, 1.0), format_area(2_500_000, None), format_area(2_120, 1.0), format_area(0, 1.0)
    ('2.50 mm²', '2.50 Mpx', '2120 µm²', '')
    """
    if not pixels:
        return ""
    value, units = (pixels, ("px", "Mpx")) if mpp is None else (pixels * mpp * mpp, ("µm²", "mm²"))
    if value < _LARGE_AREA:
        return f"{value:.0f} {units[0]}"
    return f"{value / 1e6:.{0 if value >= 1e8 else 2}f} {units[1]}"


def format_duration(seconds: float) -> str:
    """Return a time in minutes and seconds.

    >>> format_duration(130.4)
    '2:10'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def format_model(bundle: Bundle) -> str:
    """Return a model as text: its name, score and parent."""
    parent = f"from {bundle.parent}" if bundle.parent else "new"
    unfinished = "" if bundle.finished else " · not finished"
    return f"{bundle.id} · Dice {bundle.mean_dice:.2f} · {parent}{unfinished}"


def dice_legend(run: JobState, colors: Mapping[str, str]) -> str:
    """Return the latest Dice of each class, with a square of its colour, and the mean, as rich text."""
    parts = [
        f'<span style="color: {colors.get(name, "gray")}">■</span>&nbsp;{escape(name)}&nbsp;{value:.2f}'
        for name, value in run.dice_by_class.items()
    ]
    if len(parts) > 2:
        parts.append(f"╌&nbsp;mean&nbsp;{run.dices[-1][1]:.2f}")
    return " &nbsp; ".join(parts)


def format_learning_rate(rate: float) -> str:
    """Return a learning rate in its shortest form.

    >>> format_learning_rate(0.00032), format_learning_rate(0.00001), format_learning_rate(0.5)
    ('3.2e-4', '1e-5', '0.5')
    """
    return f"{rate:.2g}" if rate >= 0.01 else f"{rate:.1e}".replace("e-0", "e-").replace(".0e", "e")


def format_setting(value: object) -> str:
    """Return the value of a setting in its shortest form.

    >>> format_setting(0.0001), format_setting(4), format_setting("adamw")
    ('1e-4', '4', 'adamw')
    """
    if isinstance(value, float):
        return f"{value:.4g}".replace("e-0", "e-") if value == 0 or abs(value) >= 0.001 else format_learning_rate(value)
    return str(value)


def has_range(vary: Mapping[str, str]) -> bool:
    """Return whether a setting varies within a range, as in 1e-4..1e-2, rather than over a list of values."""
    return any(".." in text for text in vary.values())


def format_trials(vary: Mapping[str, str], max_trials: int, minutes: float) -> str:
    """Return the number of trials and their total time as text.

    >>> format_trials({"batch": "4, 8", "tile": "128,256"}, 0, 1.5)
    '4 trials, about 6 min'
    """
    number = math.prod(sum(bool(value.strip()) for value in text.split(",")) for text in vary.values()) if vary else 0
    if has_range(vary):
        number = max_trials or DEFAULT_TRIALS
    tried = min(number, max_trials) if max_trials else number
    of = f" of {number} combinations" if tried < number else ""
    total = tried * minutes
    time = f"{total:.0f} min" if total < 120 else f"{total / 60:.0f} h"
    return f"{plural(tried, 'trial')}{of}, about {time}" if tried else "Name values to try."


def format_preset_minutes(preset: str) -> str:
    """Return the duration of a preset as text.

    >>> format_preset_minutes("quick"), format_preset_minutes("normal")
    ('10 s', '2 min')
    """
    if preset == "thorough":
        return "until it stops improving"
    minutes = TrainConfig(preset=preset).longest_minutes
    return f"{60 * minutes:.0f} s" if minutes < 1 else f"{minutes:g} min"


def format_job(run: JobState) -> str:
    """Return a job and its remaining time as text."""
    if not run.active:
        return f"{run.title}: {'failed' if run.broken else 'done'}"
    if run.stopping:
        return f"{run.title}: stopping…"
    if not run.fraction:
        return f"{run.title}: starting…"
    trial = f" · {run.trials[-1].number} of {run.trials[-1].of}" if run.kind == JobKind.TUNE and run.trials else ""
    time_known = run.seconds_left >= 1
    left = f"{format_duration(run.seconds_left)} left" if time_known else f"{run.fraction:.0%}"
    return f"{run.title}{trial} · {left}"
