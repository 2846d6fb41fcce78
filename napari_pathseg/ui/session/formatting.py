"""Numbers of a project as text: areas, durations, scores, settings."""

import math
from collections.abc import Mapping
from html import escape

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.evaluation.before_after import BeforeAfter
from napari_pathseg.engine.evaluation.verdict import ABSENT, same_evidence, scored_on
from napari_pathseg.engine.events import KEEPING
from napari_pathseg.engine.search_space import DEFAULT_TRIALS
from napari_pathseg.projects.annotation_log import Round
from napari_pathseg.projects.model_weights import LIVE_MODEL
from napari_pathseg.projects.review_progress import format_mm2
from napari_pathseg.ui.session.job_state import JobKind, JobState

LOSS_COLOR = "#d9822b"  # of its curves, and of their sign in the legend
_MAX_LETTERS = 24  # of a slide's name
_MANY_PIXELS = 10_000  # from here on the unit is a million of them


def plural(number: int, word: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def format_area(pixels: float, mpp: float | None) -> str:
    """Return an area as text: always in mm² if the pixel size is known, else in pixels, many in megapixels.

    >>> format_area(2_500_000, 1.0), format_area(2_500_000, None), format_area(2_120, 1.0), format_area(0, 1.0)
    ('2.50 mm²', '2.50 Mpx', '0.0021 mm²', '')
    """
    if not pixels:
        return ""
    if mpp is not None:
        return f"{_format_mm2(pixels * mpp * mpp / 1e6)} mm²"
    return f"{pixels:.0f} px" if pixels < _MANY_PIXELS else f"{pixels / 1e6:.{0 if pixels >= 1e8 else 2}f} Mpx"


def _format_mm2(mm2: float) -> str:
    """Return a number of square millimetres with at least two significant digits."""
    if mm2 >= 100:
        return f"{mm2:.0f}"
    return f"{mm2:.{max(2, 1 - math.floor(math.log10(mm2)))}f}"


def format_duration(seconds: float) -> str:
    """Return a time in minutes and seconds.

    >>> format_duration(130.4)
    '2:10'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def format_model(bundle: Bundle, newest: Bundle | None = None, name: str = "") -> str:
    """Return a model as text: its names, score and parent, and what it was scored on if not on the same as `newest`."""
    score = f"Dice {bundle.mean_dice:.2f}"
    if newest is not None and not same_evidence(bundle, newest):
        score += f" on {scored_on(bundle)}"
    elif bundle.held_out:
        score += " on held-out parts"
    if bundle.id == LIVE_MODEL:
        return f"Live model · {score}"
    parent = f"{'copy of' if bundle.is_copy else 'from'} {bundle.parent}" if bundle.parent else "new"
    if bundle.collapsed:
        score = f"collapsed, all {bundle.collapsed} · {score}"
    caveat = "" if bundle.collapsed else bundle.caveat
    ident = f"{bundle.id} “{name}”" if name else bundle.id
    return " · ".join(part for part in (ident, score, parent, caveat if bundle.finished else "not finished") if part)


def format_before_after(compared: BeforeAfter, current: str, *, discarded: bool = False) -> str:
    """Return how a new model compares with the one before it, and which of them is used, in two or three short lines.

    >>> from napari_pathseg.engine.evaluation.before_after import SlidePair
    >>> pair = SlidePair("a", "P1", 0.8, 0.75)
    >>> format_before_after(BeforeAfter("m002", "m001", (pair,)), "m001")
    'm002 against m001: Dice -0.050 on 1 slide. m001 stays current.'
    """
    if discarded:
        return f"{compared.model} is discarded; {current or 'no model'} is current."
    low, high = compared.bounds
    text = f"{compared.model} against {compared.base}: Dice {compared.mean:+.3f}"
    if len(compared.pairs) > 1:
        text += f" ({low:+.3f} to {high:+.3f}) on {len(compared.pairs)} slides"
        text += f"; worst {shorten(compared.worst.slide)} {compared.worst.difference:+.3f}"
    else:
        text += " on 1 slide"
    if current == compared.model:
        return f"{text}."
    return f"{text}. {current} stays current."


def format_round(number: int, learnt: Round) -> str:
    """Return a round of work and what it brought in words."""
    work, parts = learnt.total, list[str]()
    if learnt.work:
        area = "" if work.mm2 is None else f" and {format_mm2(work.mm2)}"
        slides, each = plural(len(learnt.work), "slide"), learnt.seconds_per_slide or 0.0
        effort = f"{plural(work.strokes, 'stroke')}, {format_duration(work.seconds)} min{area}"
        parts.append(f"{effort} on {slides}, {each:.0f} s a slide")
    if learnt.dice is not None:
        parts.append(f"before that, Dice {learnt.dice:.2f} where you labelled")
    if learnt.gain is not None:
        parts.append(f"gain {learnt.gain:+.3f}")
    return f"Round {number}, learnt by {learnt.model}: {'; '.join(parts) or 'no work was recorded'}."


def shorten(name: str) -> str:
    """Return a name, or its beginning and end if it would fill a line.

    >>> shorten("TCGA-A6-2671-01Z-00-DX1.13ec1deb")
    'TCGA-A6-2671…DX1.13ec1deb'
    """
    return name if len(name) <= _MAX_LETTERS else f"{name[: _MAX_LETTERS // 2]}…{name[-_MAX_LETTERS // 2 :]}"


def dice_legend(run: JobState, colors: Mapping[str, str]) -> str:
    """Return scores as rich text: Dice of each class, with a square of its colour, the mean and others.

    They are the latest ones while a model is trained, then those of the model that is kept.
    """
    parts = [
        f'<span style="color: {colors.get(name, "gray")}">■</span>&nbsp;{escape(name)}&nbsp;'
        + format_score(None if latest is None else run.shown_score(run.dices_by_class.get(name, ())))
        for name, latest in run.dice_by_class.items()
    ]
    dashes = f'<span style="color: {LOSS_COLOR}">╌</span>'
    others = [
        ("╌", "mean", run.dices if len(parts) > 1 else ()),
        ("┈", "accuracy", run.accuracies),
        (dashes, "error", run.validation_losses),
    ]
    for sign, name, points in others:
        if (value := run.shown_score(points)) is not None:
            parts.append(f"{sign}&nbsp;{name}&nbsp;{value:.2f}")
    if run.scored_tiles:
        own = " of slides that it learns from: weaker evidence" if run.parts else ""
        kept = "" if run.active or run.best_seconds is None else f"{run.model}&nbsp;"
        tiles = plural(run.scored_tiles, "held-out tile").replace(" ", "&nbsp;")
        parts.append(f"{kept}on&nbsp;{tiles}{own}")
    return " &nbsp; ".join(parts)


def format_score(value: float | None) -> str:
    """Return a score in two digits, or a dash for that of a class that does not occur.

    >>> format_score(0.5), format_score(None)
    ('0.50', '–')
    """
    return ABSENT if value is None else f"{value:.2f}"


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
    return f"{plural(tried, 'trial')}{of}, about {time}" if tried else "Enter values to try."


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
    if run.stopped:
        return f"Stopped: {_predicted_part(run) or 'nothing'} predicted"
    if not run.active:
        return f"{run.title}: {'failed' if run.broken else 'done'}"
    if run.stopping:
        return f"{run.title}: stopping…"
    if run.stage == KEEPING:
        return f"{run.title}: keeping the live model…"
    if not run.fraction:
        return f"{run.title}: starting…"
    trial = f" · {run.trials[-1].number} of {run.trials[-1].of}" if run.kind == JobKind.TUNE and run.trials else ""
    time_known = run.seconds_left >= 1
    left = f"{format_duration(run.seconds_left)} left" if time_known else f"{run.fraction:.0%}"
    return f"{run.title}{trial} · {left}"


def format_live_comparison(run: JobState) -> str:
    """Return how a training compares with the live model, as a sentence; empty if the two do not compare.

    >>> format_live_comparison(JobState(JobKind.TRAIN, model="m002", active=False, live_dice=0.88, network_dice=0.81))
    'm002 finds less of the held-out slides than the live model (Dice 0.81, live 0.88).'
    """
    live, dice = run.live_dice, run.network_dice
    if run.broken or (not run.live_leads and (live is None or dice is None)):
        return ""
    if live is None:
        return "The live model is kept first, to compare the training with it."
    where = "held-out parts" if run.parts else "held-out slides"
    if dice is None:
        return f"The live model (Dice {live:.2f}) stays in view until the network finds more of the {where}."
    digits = 3 if f"{dice:.2f}" == f"{live:.2f}" else 2
    scores = f"(Dice {dice:.{digits}f}, live {live:.{digits}f})"
    if run.active:
        return f"The network now finds more of the {where} than the live model {scores}; its answer is shown."
    compared = "less of" if dice < live else "more of" if dice > live else "as much of"
    than = "as" if dice == live else "than"
    return f"{run.model} finds {compared} the {where} {than} the live model {scores}."


def format_kept(run: JobState) -> str:
    """Return what a stopped prediction has reached, as a sentence.

    >>> format_kept(JobState(JobKind.PREDICT, slides=["a"], slide="a", share=0.376))
    'Stopped: 37 % of the slide predicted; what is done is kept.'
    >>> format_kept(JobState(JobKind.PREDICT, slides=["a", "b", "c"], slide="b", share=0.004, slides_done=1))
    'Stopped: 1 of 3 slides and less than 1 % of b predicted; what is done is kept.'
    """
    part = _predicted_part(run)
    return f"Stopped: {part} predicted; what is done is kept." if part else "Stopped before anything was predicted."


def _predicted_part(run: JobState) -> str:
    """Return how much of its slides, or of the view, a job has predicted; empty if nothing."""
    several = len(run.slides) > 1
    what = "the view" if run.view else run.slide if several else "the slide"
    share = f"{int(100 * run.share) or 'less than 1'} % of {what}" if run.share else ""
    done = f"{run.slides_done} of {len(run.slides)} slides" if several and run.slides_done else ""
    return " and ".join(part for part in (done, share) if part)
