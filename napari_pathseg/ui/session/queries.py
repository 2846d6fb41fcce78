"""Queries of the panels: the rows of the slides list, the versions of the model, how they compare."""

import contextlib
from dataclasses import dataclass

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.config import LINEAR
from napari_pathseg.engine.bundle import Bundle, find_bundle, keeps_live_model, load_bundle, load_bundles
from napari_pathseg.engine.evaluation.verdict import ABSENT
from napari_pathseg.engine.model_tree import model_tree
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import ScoringFinished
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.comparison import count_undecided
from napari_pathseg.projects import roles
from napari_pathseg.projects.areas import sampling_level
from napari_pathseg.projects.held_out_parts import WEAKER, join_names
from napari_pathseg.projects.model_weights import LIVE_MODEL
from napari_pathseg.projects.review_progress import ReviewProgress, review_progress
from napari_pathseg.projects.review_progress import slide_state as state
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes
from napari_pathseg.ui.session.formatting import format_area
from napari_pathseg.ui.session.natural_order import natural_key
from napari_pathseg.ui.session.session import Session


@dataclass(frozen=True)
class SlideRow:
    """A row of the slides list."""

    id: str
    patient: str
    role: str
    state: str
    area: str
    progress: ReviewProgress


def project_models(session: Session) -> list[Bundle]:
    """Return the project's models, oldest first; empty if no project is open."""
    return [] if session.project is None else load_bundles(session.project)


def project_tree(session: Session) -> list[tuple[int, Bundle]]:
    """Return the project's models as a tree of versions, oldest first; empty if no project is open."""
    return [] if session.project is None else model_tree(session.project)


def kept_live_model(session: Session) -> Bundle | None:
    """Return the live model that the project keeps; None if there is no readable one."""
    if session.project is None or not keeps_live_model(session.project):
        return None
    with contextlib.suppress(PathsegError):
        return load_bundle(find_bundle(session.project, LIVE_MODEL))
    return None


def trained_further(session: Session) -> list[Bundle]:
    """Return the models that a training can start from, oldest first: linear ones are fitted from all labels."""
    return [bundle for bundle in project_models(session) if bundle.network.architecture != LINEAR]


def slide_rows(session: Session, *, by_name: bool = False) -> list[SlideRow]:
    """Return the rows of the slides list, by name or most urgent first: most to review, then least reviewed."""
    if session.project is None:
        return []
    rows = [slide_row(session, record) for record in session.project.slides.values()]
    rows.sort(key=lambda row: natural_key(row.id))
    return rows if by_name else sorted(rows, key=lambda row: (-_urgent_area(row.progress), row.progress.share))


def slide_row(session: Session, record: SlideRecord) -> SlideRow:
    """Return a slide's row of the slides list."""
    counts = session.counts(record.id)
    area = format_area(int(counts[BACKGROUND + 1 :].sum()), record.mask_mpp)
    progress = slide_progress(session, record)
    return SlideRow(record.id, record.patient, record.role, state(record, counts, progress), area, progress)


def slide_progress(session: Session, record: SlideRecord) -> ReviewProgress:
    """Return how far a slide has been reviewed."""
    return review_progress(record, session.counts(record.id), session.workspace.tissue_pixels(record))


def undecided(session: Session) -> int:
    """Return the pixels of the slide in view, if it is complete, at which the model differs and nobody has decided.

    They are counted on a coarser level, so that painting does not lag.
    """
    opinion, mask, record = session.workspace.opinion, session.mask, session.slide
    if opinion is None or mask is None or record is None or not record.complete:
        return 0
    level, stride = sampling_level(record.mask_shape)
    region = Region(0, 0, *mask.shapes[level])
    pixels, found = mask.preview(region, level)[:, ::stride, ::stride], opinion.read(region, level)[::stride, ::stride]
    return int(count_undecided(pixels, found) * (2**level * stride) ** 2)


def all_progress(session: Session) -> dict[str, ReviewProgress]:
    """Return how far each slide has been reviewed."""
    if session.project is None:
        return {}
    return {record.id: slide_progress(session, record) for record in session.project.slides.values()}


def _urgent_area(progress: ReviewProgress) -> float:
    """Return the area that waits for review; slides without a pixel size come after those with one."""
    return progress.unreviewed_mm2 or progress.unreviewed / 1e15


def labelled_slides(session: Session) -> dict[str, set[int]]:
    """Return the classes labelled on each slide, without test slides and unlabelled slides."""
    if session.project is None:
        return {}
    candidates = [record for record in session.project.slides.values() if record.role != roles.TEST]
    labelled = {record.id: labelled_classes(record, session.counts(record.id)) for record in candidates}
    return {slide: classes for slide, classes in labelled.items() if classes}


def slide_state(session: Session, record: SlideRecord) -> str:
    """Return "new", "annotated", "predicted" or "corrected"."""
    return state(record, session.counts(record.id), slide_progress(session, record))


def unreviewed(session: Session, slide_id: str) -> int:
    """Return the number of unreviewed model pixels of a slide."""
    return int(session.counts(slide_id)[1:, Provenance.MODEL].sum())


def compare_scores(session: Session) -> tuple[list[str], list[tuple[str, str, str, str]]]:
    """Return the two models scored on the same slides, and a row for each class: name, Dice of each, difference.

    A class that does not occur on these slides has a dash.
    """
    scores = session.training.scores
    names = [bundle.id for bundle in project_models(session) if bundle.id in scores][-2:]
    if len(names) < 2:
        return [], []
    before, after = (scores[name].dice for name in names)
    return names, [
        (name, _three_digits(before[name]), _three_digits(after[name]), _difference(before[name], after[name]))
        for name in before
        if name in after
    ]


def compared_on(session: Session) -> str:
    """Return on what the models of `compare_scores` were scored, or are being scored; "" if on nothing."""
    scored, run = next(iter(session.training.scores.values()), None), session.training.run
    slides = scored.slides if scored is not None else [] if run is None else run.slides
    if not slides:
        return ""
    where = join_names(slides)
    on = f"On held-out parts of {where}: {WEAKER}." if scored is not None and scored.parts else f"Both on {where}."
    return " ".join(filter(None, [on, *map(_adapted_sentence, session.training.scores.values())]))


def _adapted_sentence(scored: ScoringFinished) -> str:
    """Return the Dice of a model adapted to each slide's scanner beside its plain one; "" if it was not asked for."""
    both = [
        f"{name} {adapted:.2f} (plain {scored.dice[name]:.2f})"
        for name, adapted in scored.adapted.items()
        if adapted is not None
    ]
    return f"{scored.model} adapted to scanner: {', '.join(both)}." if both else ""


def _three_digits(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def _difference(before: float | None, after: float | None) -> str:
    return ABSENT if before is None or after is None else f"{after - before:+.3f}"


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
