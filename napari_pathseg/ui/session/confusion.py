"""The confusion matrix of a model that was scored, as the window shows it."""

from dataclasses import dataclass

import numpy as np

from napari_pathseg.projects.held_out_parts import join_names
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

    `scores` are the main scores of the model in words, and what limits them.
    """

    model: str
    names: list[str]
    rows: list[list[ConfusionCell]]
    slides: tuple[str, ...]
    unit: str
    scores: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What it shows."""
        return f"Rows: your labels. Columns: {self.model}, on {join_names(self.slides)}. Click an error to see it."


def confusion_table(session: Session, model: str | None) -> ConfusionTable | None:
    """Return the confusion matrix of a model, or else of the last one that was scored; None without one."""
    project, scores = session.project, session.training.scores
    scored = scores.get(model or "") or next(reversed(scores.values()), None)
    if project is None or scored is None or not scored.confusion:
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
    return ConfusionTable(scored.model, names, rows, tuple(scored.slides), unit, words)


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
