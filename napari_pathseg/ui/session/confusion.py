"""The confusion matrix of a model that was scored, or whose training scored it, as the window shows it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.engine.bundle import Bundle, find_bundle, load_bundle
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.protocol import ScoringFinished
from napari_pathseg.projects.held_out_parts import join_names
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.working_grid import working_factor
from napari_pathseg.ui.session.formatting import format_area
from napari_pathseg.ui.session.session import Session


@dataclass(frozen=True)
class ConfusionCell:
    """What is labelled as one class and was predicted as another one, or the same.

    Attributes
    ----------
    pair
        The numbers of both classes.
    share
        Its share of what is labelled as that class, 0 to 1.
    percent, area
        That share, and the area, as text; both empty if there is nothing.
    help
        The cell in words.
    """

    pair: tuple[int, int]
    share: float
    percent: str
    area: str
    help: str

    @property
    def wrong(self) -> bool:
        """Whether the two classes differ, and something is there."""
        return self.pair[0] != self.pair[1] and bool(self.area)


@dataclass(frozen=True)
class ConfusionTable:
    """A confusion matrix: the classes that occur, their cells by true class, its slides, and the unit of its areas.

    Attributes
    ----------
    scores
        The main scores of the model in words, and what limits them.
    from_training
        Whether it is what the training found.  That stores no prediction, so where the errors lie is not known.
    """

    model: str
    names: list[str]
    rows: list[list[ConfusionCell]]
    slides: tuple[str, ...]
    unit: str
    scores: tuple[str, ...] = ()
    from_training: bool = False

    @property
    def sentence(self) -> str:
        """What it shows."""
        shown = f"Rows: your labels. Columns: {self.model}, on {join_names(self.slides)}."
        return f"{shown} {'Score shows where the errors are.' if self.from_training else 'Click an error to see it.'}"


def confusion_table(session: Session, model: str | None) -> ConfusionTable | None:
    """Return the confusion matrix of a model, or else of the last one that was scored; None without one.

    Until it is scored, that of its training is returned.
    """
    project, scores = session.project, session.training.scores
    if project is None:
        return None
    counted = scores.get(model or "")
    trained = None if counted is not None or model is None else _from_training(project, model)
    scored = counted or trained or next(reversed(scores.values()), None)
    if scored is None or not scored.confusion:
        return None
    pixels = np.array(scored.confusion)
    areas = np.array(scored.confusion_mm2) if scored.confusion_mm2 else None
    unit = "Mpx" if areas is None else "mm²"
    used = np.flatnonzero(pixels.sum(axis=0) + pixels.sum(axis=1))
    classes = [spec for spec in project.classes if spec.index - 1 in used]
    rows = []
    for truth in classes:
        total, cells = max(1, int(pixels[truth.index - 1].sum())), []
        for found in classes:
            at = truth.index - 1, found.index - 1
            share = float(pixels[at]) / total
            area = f"{pixels[at] / 1e6:.2f} Mpx" if areas is None else format_area(1e6 * float(areas[at]), 1.0)
            area = area if pixels[at] else ""
            percent = _percent(share) if area else ""
            what = f"Labelled {truth.name}, predicted {found.name}: {area or 'nothing'}"
            what += f", {percent} of {truth.name}" if area else ""
            cells.append(ConfusionCell((truth.index, found.index), share, percent, area, f"{what}."))
        rows.append(cells)
    names, words = [spec.name for spec in classes], (*scored.text, *scored.notes)
    slides, is_from_training = tuple(scored.slides), scored is trained
    return ConfusionTable(scored.model, names, rows, slides, unit, words, is_from_training)


def _from_training(project: Project, model: str) -> ScoringFinished | None:
    """Return what a model's training found on held-out slides, as if it had been scored; None if that is not known."""
    try:
        bundle = load_bundle(find_bundle(project, model))
    except PathsegError:  # reported where the model is used
        return None
    found = {slide: np.array(score.confusion) for slide, score in bundle.slide_scores.items() if score.confusion}
    size = project.classes.highest
    if not found or any(matrix.shape != next(iter(found.values())).shape for matrix in found.values()):
        return None
    pixels = _fitted(sum(found.values()), size)
    areas = [_working_pixel_mm2(project, bundle, slide) for slide in found]
    mm2: list[list[float]] = []
    if all(areas):
        each = zip(found.values(), areas, strict=True)
        mm2 = _fitted(sum(matrix * (area or 0.0) for matrix, area in each), size).tolist()
    return ScoringFinished(model, {}, list(found), confusion=pixels.tolist(), confusion_mm2=mm2)


def _fitted(matrix: npt.NDArray[Any] | int, size: int) -> npt.NDArray[Any]:
    """Return a confusion matrix for `size` classes: a project may have got or lost classes since a training."""
    known = np.asarray(matrix)
    fitted = np.zeros((size, size), known.dtype)
    common = min(size, len(known))
    fitted[:common, :common] = known[:common, :common]
    return fitted


def _working_pixel_mm2(project: Project, bundle: Bundle, slide: str) -> float | None:
    """Return the area of a pixel on which a model was scored; None if the pixel size is not known."""
    record = project.slides.get(slide)
    if record is None or record.mask_mpp is None:
        return None
    return float((record.mask_mpp * working_factor(bundle.mpp, record) / 1000) ** 2)


def _percent(share: float) -> str:
    """Return a share in percent; one that is not 0 is not shown as 0, and one that is not all not as 100.

    >>> _percent(0.123), _percent(0.0001), _percent(0.9999), _percent(1.0)
    ('12.3 %', '< 0.1 %', '> 99.9 %', '100 %')
    """
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if share > 0.999 else f"{100 * share:.1f} %"
