"""What the next training would learn from, in words that follow each stroke.

What is known of a slide is kept: a stroke changes one slide, and there may be thousands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.masks import Counts, Provenance
from napari_pathseg.projects import roles
from napari_pathseg.projects.areas import unlabelled_in_boxes
from napari_pathseg.projects.checks.trainability import describe_training
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.review_progress import ReviewProgress, review_progress, unreviewed_sentence
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes
from napari_pathseg.ui.session.formatting import format_area, plural
from napari_pathseg.ui.session.session import Session


@dataclass(frozen=True)
class TrainingSummary:
    """The data that a training would use.

    Attributes
    ----------
    slides, held_out, area, parts, corrected
        As in `describe_training`.
    news
        What came since the current model was trained, how much of all was accepted, and what waits for review, as a
        sentence.
    """

    slides: list[str]
    corrected: list[str]
    held_out: list[str]
    area: str
    parts: str = "parts"
    news: str = ""

    @property
    def sentence(self) -> str:
        """The summary as a sentence."""
        return describe_training(self.slides, self.held_out, self.area, self.corrected, self.parts)


@dataclass(frozen=True)
class _Facts:
    """What a training needs to know of a slide; `pixels` is how many it learns from, were the slide learnt."""

    record: SlideRecord
    classes: frozenset[int]
    pixels: int
    accepted: int
    corrected: bool
    progress: ReviewProgress


class LearnsFrom:
    """Says what the next training of a session would learn from."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._project: Project | None = None
        self._shown = ""  # the slide in view at the last call; its last strokes are applied when it is left
        self._facts: dict[str, _Facts] = {}
        self._roles: dict[str, str] = {}

    def summary(self, *, only_view_changed: bool = False) -> TrainingSummary:
        """Return what a training would use now, with roles assigned as it would assign them.

        Parameters
        ----------
        only_view_changed
            Whether nothing but the mask in view has changed since the last call.
        """
        project, shown = self._session.project, self._session.slide
        if project is None:
            self._project, self._facts = None, {}
            return TrainingSummary([], [], [], "")
        same_view = project is self._project and shown is not None and shown.id == self._shown
        self._shown = "" if shown is None else shown.id
        if only_view_changed and same_view and shown is not None:
            before = self._facts[shown.id].classes
            self._facts[shown.id] = self._look_at(shown)
            if self._facts[shown.id].classes != before:
                self._roles = self._assign()
        else:
            self._project, self._facts = project, {each.id: self._look_at(each) for each in project.slides.values()}
            self._roles = self._assign()
        return self._sum_up()

    def _look_at(self, record: SlideRecord) -> _Facts:
        counts = self._session.counts(record.id)
        accepted = int(counts[:, Provenance.ACCEPTED].sum())
        corrected = accepted > 0 or bool(counts[:, Provenance.CORRECTED].any())
        classes = frozenset(labelled_classes(record, counts))
        pixels = _training_pixels(self._session, record, counts)
        return _Facts(record, classes, pixels, accepted, corrected, review_progress(record, counts))

    def _assign(self) -> dict[str, str]:
        """Return the role of each slide in the next training."""
        facts = self._facts.items()
        candidates = [roles.Candidate(n, f.record.patient, f.record.role, f.classes) for n, f in facts]
        assigned = roles.assign_roles(candidates)
        return {name: assigned.get(name, fact.record.role) for name, fact in facts}

    def _sum_up(self) -> TrainingSummary:
        labelled = {name: fact for name, fact in self._facts.items() if fact.classes}
        training = [fact for name, fact in labelled.items() if self._roles[name] == roles.TRAIN]
        corrected = [fact.record.id for fact in training if fact.corrected]
        area = _format_area(training, [fact.pixels for fact in training])
        held_out = [name for name in labelled if self._roles[name] == roles.VAL]
        parts = "the parts outlined in orange," if self._session.held_out.parts else "parts"
        summary = TrainingSummary([fact.record.id for fact in training], corrected, held_out, area, parts)
        return replace(summary, news=self._news(training)) if training else summary

    def _news(self, training: Sequence[_Facts]) -> str:
        """Return what the next training learns that the current model does not know, and what it does not learn."""
        model, learnt = self._session.require_project().current_model, {fact.record.id for fact in training}
        work = self._session.work_log.work_since(model)
        strokes = [done.strokes for slide, done in work.items() if slide in learnt and done.strokes]
        noun = "correction" if model else "stroke"
        where = f" on {plural(len(strokes), 'slide')}" if strokes else ""
        since = f" since {model}" if model else ""
        news = f"{plural(sum(strokes), noun) if strokes else f'No {noun}s'}{where}{since}"
        accepted = [fact.accepted for fact in training]
        area = f"{_format_area(training, accepted)} accepted, " if any(accepted) else ""
        waiting = unreviewed_sentence(fact.progress for fact in self._facts.values())
        return f"{news}, {area}{waiting[:1].lower()}{waiting[1:]}."


def training_summary(session: Session) -> TrainingSummary:
    """Return the data a training would use now."""
    return LearnsFrom(session).summary()


def _training_pixels(session: Session, record: SlideRecord, counts: Counts) -> int:
    """Return the number of pixels a training learns from on a slide; approximate for large complete boxes."""
    by_person = counts[:, Provenance.ACCEPTED :].sum(axis=1)
    labelled, erased = int(by_person[1:].sum()), int(by_person[UNLABELLED])
    if record.complete:
        rows, columns = record.mask_shape
        return rows * columns - erased
    if not record.boxes:
        return labelled
    mask = session.mask if session.slide is not None and session.slide.id == record.id else None
    return labelled + unlabelled_in_boxes(record, mask or session.require_project().open_mask_readonly(record.id))


def _format_area(facts: Sequence[_Facts], pixels: Sequence[int]) -> str:
    """Return the area of so many mask pixels of each slide as text; in pixels if one of them has no pixel size."""
    sizes = [fact.record.mask_mpp for fact in facts]
    known = [size**2 for size in sizes if size is not None]
    in_um = len(known) == len(sizes)
    return format_area(float(np.dot(pixels, known if in_um else np.ones(len(sizes)))), 1.0 if in_um else None)
