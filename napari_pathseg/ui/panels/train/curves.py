"""Live training curves: loss in training and on the held-out slides, and Dice and accuracy on these."""

from collections.abc import Mapping, Sequence

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_pathseg.ui.panels.train.plots import PlotsView, dotted_curve, paint_curve, plot_widget
from napari_pathseg.ui.session.formatting import LOSS_COLOR, dice_legend, format_learning_rate
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, row
from napari_pathseg.ui.widgets.theme import SecondaryLabel, secondary_color, text_color

_HEIGHT = 126
_ENTRIES_PER_LINE, _OTHER_ENTRIES = 2, 4  # of the legend; those that are not classes: mean, accuracy, loss, tiles
_LEGEND_LINES = 3


class CurvesView(PlotsView):
    """Plots of loss and Dice over the training time, with the latest Dice and the learning rate below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss, self.dice = plot_widget("Error", _HEIGHT), plot_widget("Scores, held out", _HEIGHT)
        self.plots = (self.loss, self.dice)
        self.dice.setYRange(0, 1, padding=0.02)
        self.legend, self.rate = QLabel(), SecondaryLabel()
        self._legend_lines = FixedLines(self.legend, _LEGEND_LINES)
        FixedLines(self.rate)
        self.legend.setToolTip(
            "On what is held out. Dice: 1 if outlines and prediction agree, 0 if they never overlap, – if the class "
            "does not occur there; the mean is of those that do. Accuracy: the "
            "fraction of labelled pixels that are classified correctly. The dashed error is theirs, the solid one "
            "that of the training tiles."
        )
        self.loss.setToolTip("Error on the training patches, against the seconds of training: lower is better.")
        self.dice.setToolTip(
            "Dice and accuracy on what is held out, against the seconds of training: 1 if outline and model agree."
        )
        self._loss_curve = self.loss.plot(pen=pg.mkPen(LOSS_COLOR, width=2))
        self._validation_loss_curve = dotted_curve(self.loss)
        paint_curve(self._validation_loss_curve, LOSS_COLOR, Qt.PenStyle.DashLine)
        self._accuracy_curve, self._mean_curve = dotted_curve(self.dice), dotted_curve(self.dice)
        self._class_curves: dict[str, pg.PlotDataItem] = {}
        self._mean_curve.setZValue(1)
        column(self, row(self.loss, self.dice), self.legend, self.rate)

    @property
    def has_data(self) -> bool:
        """True if there is a curve to show."""
        return any(_length(curve) > 0 for curve in (self._loss_curve, self._mean_curve))

    def show_run(self, run: JobState, colors: Mapping[str, str]) -> None:
        """Draw the curves of a run; `colors` maps class names to colours."""
        _set(self._loss_curve, run.losses)
        _set(self._validation_loss_curve, run.validation_losses)
        _set(self._accuracy_curve, run.accuracies)
        _set(self._mean_curve, run.dices)
        self._mean_curve.setVisible(sum(map(bool, run.dices_by_class.values())) > 1)
        for name in self._class_curves.keys() - run.dices_by_class.keys():
            self.dice.removeItem(self._class_curves.pop(name))
        for name, points in run.dices_by_class.items():
            if name not in self._class_curves:
                self._class_curves[name] = dotted_curve(self.dice)
            paint_curve(self._class_curves[name], colors.get(name, "gray"))
            self._class_curves[name].setData(*_columns(points))
        end = max([seconds for points in (run.losses, run.dices) for seconds, _ in points[-1:]], default=1)
        for plot in self.plots:
            plot.setXRange(0, end, padding=0.04)  # so that the last symbol is not cut off
        self._legend_lines.set_lines(-(-(len(colors) + _OTHER_ENTRIES) // _ENTRIES_PER_LINE))
        self.legend.setText(dice_legend(run, colors))
        self.rate.setText(run.stage if run.active else "")
        if run.active and run.rate is not None:
            self.rate.setToolTip(f"{run.stage}, learning rate {format_learning_rate(run.rate)}")

    def clear(self) -> None:
        """Remove all curves."""
        self.show_run(JobState(JobKind.TRAIN, active=False), {})

    def paint_curves(self) -> None:
        """Give the curves that are no class's the colours of the theme."""
        paint_curve(self._mean_curve, text_color(self), Qt.PenStyle.DashLine)
        paint_curve(self._accuracy_curve, secondary_color(self), Qt.PenStyle.DotLine)


def _set(curve: pg.PlotDataItem, points: Sequence[tuple[float, float]]) -> None:
    curve.setData(*_columns(points))


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [seconds for seconds, _ in points], [value for _, value in points]


def _length(curve: pg.PlotDataItem) -> int:
    seconds, _ = curve.getData()
    return 0 if seconds is None else len(seconds)
