"""Numbers and sentences about a project, as the panels show them; no Qt."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle, load_bundles
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.errors import ProjectError
from napari_pathseg.masks import Provenance
from napari_pathseg.projects import roles
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes, state
from napari_pathseg.ui.session.box_rest import rest_of_boxes
from napari_pathseg.ui.session.job_state import Run
from napari_pathseg.ui.session.session import Session

_URGENCY = ("predicted", "new", "annotated", "corrected")  # what needs a person most, first
_SUGGESTIONS = 20  # trials within ranges where no number is given, as `engine.search` has it
_SMALL_AREA = 10_000  # in µm² or pixels; from here on it is told in millions of them


@dataclass(frozen=True)
class SlideRow:
    """A slide as the list shows it."""

    id: str
    patient: str
    role: str
    state: str
    area: str


@dataclass(frozen=True)
class TrainingSummary:
    """What a training would learn from."""

    slides: int
    corrected: int
    held_out: int
    area: str

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        if not self.slides:
            return "Nothing to learn from yet: no slide has a contour."
        corrected = f", {self.corrected} of them corrected" if self.corrected else ""
        held_out = f"{self.held_out} held out to score it" if self.held_out else "none is held out yet"
        return f"Learns from {plural(self.slides, 'slide')} ({self.area}){corrected}; {held_out}."


def project_models(session: Session) -> list[Bundle]:
    """Return the project's models, oldest first; none where no project is open."""
    return [] if session.project is None else load_bundles(session.project)


def plural(number: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def format_area(pixels: float, mpp: float | None) -> str:
    """Return an area in words: mm² where the pixel size is known, else megapixels; small ones in µm² or pixels.

    >>> format_area(2_500_000, 1.0), format_area(2_500_000, None), format_area(2_120, 1.0), format_area(0, 1.0)
    ('2.50 mm²', '2.50 Mpx', '2120 µm²', '')
    """
    if not pixels:
        return ""
    value, units = (pixels, ("px", "Mpx")) if mpp is None else (pixels * mpp * mpp, ("µm²", "mm²"))
    if value < _SMALL_AREA:
        return f"{value:.0f} {units[0]}"
    return f"{value / 1e6:.{0 if value >= 1e8 else 2}f} {units[1]}"


def format_duration(seconds: float) -> str:
    """Return a time in minutes and seconds.

    >>> format_duration(130.4)
    '2:10'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def slide_rows(session: Session, *, by_name: bool = False) -> list[SlideRow]:
    """Return the project's slides, those that need a person most first, or by name."""
    if session.project is None:
        return []
    rows = [slide_row(session, entry) for entry in session.project.slides.values()]
    rows.sort(key=lambda row: row.id)
    return rows if by_name else sorted(rows, key=lambda row: _URGENCY.index(row.state))


def slide_row(session: Session, entry: SlideRecord) -> SlideRow:
    """Return a slide as the list shows it."""
    counts = session.counts(entry.id)
    found = int(counts[BACKGROUND + 1 :].sum())
    return SlideRow(
        entry.id, entry.patient, entry.role, slide_state(session, entry), format_area(found, entry.mask_mpp)
    )


def labelled_slides(session: Session) -> dict[str, set[int]]:
    """Return the slides on which a person labelled something, with the classes; slides kept for testing aside."""
    if session.project is None:
        return {}
    entries = [entry for entry in session.project.slides.values() if entry.role != roles.TEST]
    found = {entry.id: labelled_classes(entry, session.counts(entry.id)) for entry in entries}
    return {slide: classes for slide, classes in found.items() if classes}


def training_summary(session: Session) -> TrainingSummary:
    """Return what a training would learn from now, roles settled as it would settle them."""
    if session.project is None:
        return TrainingSummary(0, 0, 0, "")
    slides = session.project.slides
    labelled = labelled_slides(session)
    candidates = [
        roles.Candidate(entry.id, entry.patient, entry.role, frozenset(labelled.get(entry.id, ())))
        for entry in slides.values()
    ]
    settled = roles.assign_roles(candidates)
    role = {name: settled.get(name, slides[name].role) for name in labelled}
    teaching = [slides[name] for name in labelled if role[name] == roles.TRAIN]
    corrected = [entry for entry in teaching if slide_state(session, entry) == "corrected"]
    known = [entry for entry in teaching if entry.mask_mpp is not None]
    if len(known) == len(teaching):
        area = format_area(sum(_taught(session, entry) * (entry.mask_mpp or 1) ** 2 for entry in known), 1.0)
    else:
        area = format_area(sum(_taught(session, entry) for entry in teaching), None)
    held_out = sum(role[name] == roles.VAL for name in labelled)
    return TrainingSummary(len(teaching), len(corrected), held_out, area)


def _taught(session: Session, entry: SlideRecord) -> int:
    """Return the pixels of a slide that a training learns from, of large complete boxes about."""
    by_person = session.counts(entry.id)[:, Provenance.ACCEPTED :].sum(axis=1)
    labelled, declared_none = int(by_person[1:].sum()), int(by_person[UNLABELLED])
    if entry.complete:
        rows, columns = entry.mask_shape
        return rows * columns - declared_none
    if not entry.boxes:
        return labelled
    mask = session.mask if session.slide is not None and session.slide.id == entry.id else None
    return labelled + rest_of_boxes(entry, mask or session.require_project().open_mask_readonly(entry.id))


def slide_state(session: Session, entry: SlideRecord) -> str:
    """Return "new", "annotated", "predicted" or "corrected"."""
    return state(entry, session.counts(entry.id))


def unreviewed(session: Session, slide_id: str) -> int:
    """Return the pixels of a slide that a model set and nobody reviewed."""
    return int(session.counts(slide_id)[1:, Provenance.MODEL].sum())


def format_model(bundle: Bundle) -> str:
    """Return a model in words: its name, its score, where it came from."""
    parent = f"from {bundle.parent}" if bundle.parent else "new"
    unfinished = "" if bundle.finished else " · not finished"
    return f"{bundle.id} · Dice {bundle.mean_dice:.2f} · {parent}{unfinished}"


def compare_scores(session: Session) -> tuple[list[str], list[tuple[str, str, str, str]]]:
    """Return the two newest scored models, and by class the Dice before, after, and the difference."""
    scores = session.training.scores
    names = [bundle.id for bundle in project_models(session) if bundle.id in scores][-2:]
    if len(names) < 2:
        return [], []
    before, after = (scores[name] for name in names)
    rows = [
        (name, f"{before[name]:.3f}", f"{after[name]:.3f}", f"{after[name] - before[name]:+.3f}")
        for name in before
        if name in after
    ]
    return names, rows


def dice_legend(run: Run, colors: Mapping[str, str]) -> str:
    """Return the last Dice of each class beside a square of its colour, and their mean, as rich text."""
    parts = [
        f'<span style="color: {colors.get(name, "gray")}">■</span>&nbsp;{escape(name)}&nbsp;{value:.2f}'
        for name, value in run.dice_by_class.items()
    ]
    if len(parts) > 2:
        parts.append(f"╌&nbsp;mean&nbsp;{run.dices[-1][1]:.2f}")
    return " &nbsp; ".join(parts)


def format_learning_rate(rate: float) -> str:
    """Return a step size as short as it can be told.

    >>> format_learning_rate(0.00032), format_learning_rate(0.00001), format_learning_rate(0.5)
    ('3.2e-4', '1e-5', '0.5')
    """
    return f"{rate:.2g}" if rate >= 0.01 else f"{rate:.1e}".replace("e-0", "e-").replace(".0e", "e")


def format_setting(value: object) -> str:
    """Return the value of a setting as short as it can be told.

    >>> format_setting(0.0001), format_setting(4), format_setting("adamw")
    ('1e-4', '4', 'adamw')
    """
    if isinstance(value, float):
        return f"{value:.4g}".replace("e-0", "e-") if value == 0 or abs(value) >= 0.001 else format_learning_rate(value)
    return str(value)


def has_range(vary: Mapping[str, str]) -> bool:
    """Return whether a setting is varied within a range, as in 1e-4..1e-2, and not by a list of values."""
    return any(".." in text for text in vary.values())


def format_trials(vary: Mapping[str, str], most: int, minutes: float) -> str:
    """Return how many combinations there are to try and how long that takes, in words.

    >>> format_trials({"batch": "4, 8", "tile": "128,256"}, 0, 1.5)
    '4 trials, about 6 min'
    """
    number = math.prod(sum(bool(value.strip()) for value in text.split(",")) for text in vary.values()) if vary else 0
    if has_range(vary):
        number = most or _SUGGESTIONS
    tried = min(number, most) if most else number
    of = f" of {number} combinations" if tried < number else ""
    total = tried * minutes
    time = f"{total:.0f} min" if total < 120 else f"{total / 60:.0f} h"
    return f"{plural(tried, 'trial')}{of}, about {time}" if tried else "Name values to try."


def format_preset_minutes(preset: str) -> str:
    """Return how long a preset takes, in words.

    >>> format_preset_minutes("quick"), format_preset_minutes("normal")
    ('10 s', '2 min')
    """
    if preset == "thorough":
        return "until it stops improving"
    minutes = TrainConfig(preset=preset).longest_minutes
    return f"{60 * minutes:.0f} s" if minutes < 1 else f"{minutes:g} min"


def interrupted_run(session: Session) -> str:
    """Return the newest run where that was interrupted and no process is at it any more, else nothing."""
    if session.project is None:
        return ""
    try:
        run = find_resumable_run(session.project).name
    except ProjectError:
        return ""
    models = session.project.model_ids()
    return run if not models or run[1:] >= models[-1][1:] else ""


def format_job(run: Run) -> str:
    """Return what runs and how long it still takes, in words."""
    if not run.active:
        return f"{run.title}: {'broke off' if run.broken else 'done'}"
    if run.stopping:
        return f"{run.title}: stopping…"
    if not run.fraction:
        return f"{run.title}: starting…"
    trial = f" · {run.trials[-1]['number']} of {run.trials[-1]['of']}" if run.kind == "tune" and run.trials else ""
    left = (
        f"{format_duration(run.seconds_left)} left" if run.seconds_left >= 1 else f"{run.fraction:.0%}"
    )  # time unknown
    return f"{run.title}{trial} · {left}"
