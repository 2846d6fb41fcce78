"""Queries of the panels: the rows of the slides list, the data a training would use, how models compare."""

from dataclasses import dataclass

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.engine.bundle import Bundle, load_bundles
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.errors import ProjectError
from napari_pathseg.masks import Provenance
from napari_pathseg.projects import roles
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes, role_candidates, state
from napari_pathseg.ui.session.complete_boxes import unlabelled_in_boxes
from napari_pathseg.ui.session.formatting import format_area, plural
from napari_pathseg.ui.session.session import Session

_URGENCY = ("predicted", "new", "annotated", "corrected")  # most urgent first


@dataclass(frozen=True)
class SlideRow:
    """A row of the slides list."""

    id: str
    patient: str
    role: str
    state: str
    area: str


@dataclass(frozen=True)
class TrainingSummary:
    """The data that a training would use."""

    slides: int
    corrected: int
    held_out: int
    area: str

    @property
    def sentence(self) -> str:
        """The summary as a sentence."""
        if not self.slides:
            return "Nothing to learn from yet: no slide has contours."
        corrected = f", {self.corrected} of them corrected" if self.corrected else ""
        held_out = f"{self.held_out} held out to score it" if self.held_out else "none is held out yet"
        return f"Learns from {plural(self.slides, 'slide')} ({self.area}){corrected}; {held_out}."


def project_models(session: Session) -> list[Bundle]:
    """Return the project's models, oldest first; empty if no project is open."""
    return [] if session.project is None else load_bundles(session.project)


def slide_rows(session: Session, *, by_name: bool = False) -> list[SlideRow]:
    """Return the rows of the slides list, most urgent first or by name."""
    if session.project is None:
        return []
    rows = [slide_row(session, record) for record in session.project.slides.values()]
    rows.sort(key=lambda row: row.id)
    return rows if by_name else sorted(rows, key=lambda row: _URGENCY.index(row.state))


def slide_row(session: Session, record: SlideRecord) -> SlideRow:
    """Return a slide's row of the slides list."""
    counts = session.counts(record.id)
    pixels = int(counts[BACKGROUND + 1 :].sum())
    return SlideRow(
        record.id, record.patient, record.role, slide_state(session, record), format_area(pixels, record.mask_mpp)
    )


def labelled_slides(session: Session) -> dict[str, set[int]]:
    """Return the classes labelled on each slide, without test slides and unlabelled slides."""
    if session.project is None:
        return {}
    candidates = [record for record in session.project.slides.values() if record.role != roles.TEST]
    labelled = {record.id: labelled_classes(record, session.counts(record.id)) for record in candidates}
    return {slide: classes for slide, classes in labelled.items() if classes}


def training_summary(session: Session) -> TrainingSummary:
    """Return the data a training would use now, with roles assigned as it would assign them."""
    if session.project is None:
        return TrainingSummary(0, 0, 0, "")
    slides = session.project.slides
    labelled = labelled_slides(session)
    counts = {name: session.counts(name) for name in slides}
    assigned = roles.assign_roles(role_candidates(slides.values(), counts))
    role = {name: assigned.get(name, slides[name].role) for name in labelled}
    training = [slides[name] for name in labelled if role[name] == roles.TRAIN]
    corrected = [record for record in training if slide_state(session, record) == "corrected"]
    in_um = all(record.mask_mpp is not None for record in training)
    pixel_areas = [(record.mask_mpp or 1) ** 2 if in_um else 1 for record in training]
    pixels = [_training_pixels(session, record) for record in training]
    area = format_area(float(np.dot(pixels, pixel_areas)), 1.0 if in_um else None)
    held_out = sum(role[name] == roles.VAL for name in labelled)
    return TrainingSummary(len(training), len(corrected), held_out, area)


def _training_pixels(session: Session, record: SlideRecord) -> int:
    """Return the number of pixels a training learns from on a slide; approximate for large complete boxes."""
    by_person = session.counts(record.id)[:, Provenance.ACCEPTED :].sum(axis=1)
    labelled, erased = int(by_person[1:].sum()), int(by_person[UNLABELLED])
    if record.complete:
        rows, columns = record.mask_shape
        return rows * columns - erased
    if not record.boxes:
        return labelled
    mask = session.mask if session.slide is not None and session.slide.id == record.id else None
    return labelled + unlabelled_in_boxes(record, mask or session.require_project().open_mask_readonly(record.id))


def slide_state(session: Session, record: SlideRecord) -> str:
    """Return "new", "annotated", "predicted" or "corrected"."""
    return state(record, session.counts(record.id))


def unreviewed(session: Session, slide_id: str) -> int:
    """Return the number of unreviewed model pixels of a slide."""
    return int(session.counts(slide_id)[1:, Provenance.MODEL].sum())


def compare_scores(session: Session) -> tuple[list[str], list[tuple[str, str, str, str]]]:
    """Return the two newest scored models, and a row for each class: name, Dice of each model, difference."""
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


def interrupted_run(session: Session) -> str:
    """Return the newest run if it was interrupted and can be resumed, else an empty string."""
    if session.project is None:
        return ""
    try:
        run = find_resumable_run(session.project).name
    except ProjectError:
        return ""
    models = session.project.model_ids()
    return run if not models or run[1:] >= models[-1][1:] else ""
