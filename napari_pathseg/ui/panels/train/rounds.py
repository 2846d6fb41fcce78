"""The rounds of annotating and training: how models did where a person labelled next, the work, and what it brought."""

from collections.abc import Sequence

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_pathseg.projects.annotation_log import Round, read_rounds, stop_sentence
from napari_pathseg.ui.panels.train.plots import PlotsView, dotted_curve, paint_curve, plot_widget
from napari_pathseg.ui.session.formatting import format_round
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, row
from napari_pathseg.ui.widgets.theme import SecondaryLabel, secondary_color, text_color

_HEIGHT = 110
_LINES, _STOP_LINES = 4, 4
_GAIN_COLOR = "#4c8bd6"
_MOST = 60  # rounds that are drawn, the newest ones


class RoundsView(PlotsView):
    """Three plots over the rounds, the last round in words, and a sign to stop."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.rounds: list[Round] = []
        titles = "Dice where you labelled", "Minutes of work", "Gain, held out"
        self.plots = self.scores, self.work, self.gains = [plot_widget(title, _HEIGHT) for title in titles]
        self.scores.setYRange(0, 1, padding=0.02)
        self.scores.setToolTip(
            "How the model before did where you labelled next, before it learnt that: the curve that should rise. "
            "Dashed: the new model's Dice on what is held out."
        )
        self.work.setToolTip(
            "Minutes of drawing and correcting until the training, round by round. "
            "Pauses of more than half a minute are left out."
        )
        self.gains.setToolTip("Dice of the new model less that of the model before, on identical held-out labels.")
        self.sentence, self.stop = SecondaryLabel(), QLabel()
        FixedLines(self.sentence, _LINES)
        FixedLines(self.stop, _STOP_LINES)
        self._dice, self._held_out = dotted_curve(self.scores), dotted_curve(self.scores)
        self._minutes, self._gained = (pg.BarGraphItem(x=[], height=[], width=0.6) for _ in range(2))
        self.work.addItem(self._minutes)
        self.gains.addItem(self._gained)
        column(self, self.scores, row(self.work, self.gains), self.sentence, self.stop)

    @property
    def has_data(self) -> bool:
        """Whether a training has learnt a round."""
        return len(self.rounds) > 1

    def refresh(self) -> None:
        """Read the rounds again, and draw them."""
        project = self._session.project
        self.rounds = [] if project is None else read_rounds(project)
        learnt = self.rounds[:-1]
        first = max(1, len(learnt) - _MOST + 1)
        shown = list(enumerate(learnt, 1))[-_MOST:]
        self._dice.setData(*_points(shown, [one.dice for _, one in shown]))
        self._held_out.setData(*_points(shown, [one.held_out for _, one in shown]))
        numbers = [number for number, _ in shown]
        self._minutes.setOpts(x=numbers, height=[one.total.seconds / 60 for _, one in shown])
        self._gained.setOpts(x=numbers, height=[one.gain or 0.0 for _, one in shown])
        for plot in self.plots:
            plot.setXRange(first - 0.5, max(len(learnt), first + 3) + 0.5, padding=0)
        self.sentence.setText(format_round(len(learnt), learnt[-1]) if learnt else "")
        self.stop.setText(stop_sentence(self.rounds))
        self.stop.setVisible(bool(self.stop.text()))

    def paint_curves(self) -> None:
        """Give curves and bars the colours of the theme."""
        paint_curve(self._dice, text_color(self))
        paint_curve(self._held_out, secondary_color(self), Qt.PenStyle.DashLine)
        self._minutes.setOpts(brush=secondary_color(self), pen=None)
        self._gained.setOpts(brush=_GAIN_COLOR, pen=None)


def _points(shown: Sequence[tuple[int, Round]], values: Sequence[float | None]) -> tuple[list[int], list[float]]:
    """Return the numbers of the rounds whose value is known, and the values."""
    known = [(number, value) for (number, _), value in zip(shown, values, strict=True) if value is not None]
    return [number for number, _ in known], [value for _, value in known]
