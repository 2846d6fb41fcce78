"""Live training curves: loss in training and on the held-out slides, and Dice and accuracy on these."""

from collections.abc import Mapping, Sequence

import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QPalette, QShowEvent
from qtpy.QtWidgets import QLabel, QWidget

from napari_pathseg.ui.session.formatting import LOSS_COLOR, dice_legend, format_learning_rate
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, row
from napari_pathseg.ui.widgets.theme import SecondaryLabel, mixed, secondary_color, text_color

_HEIGHT = 126
_SYMBOL_SIDE = 4  # the only trace of a training that was scored once
_CLASS_WIDTH, _MEAN_WIDTH = 2, 2
_ENTRIES_PER_LINE, _OTHER_ENTRIES = 2, 4  # of the legend; those that are not classes: mean, accuracy, loss, tiles
_LEGEND_LINES = 3


class CurvesView(QWidget):
    """Plots of loss and Dice over the training time, with the latest Dice and the learning rate below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss, self.dice = plot_widget("Error"), plot_widget("Scores, held out")
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
        dashed = pg.mkPen(LOSS_COLOR, width=2, style=Qt.PenStyle.DashLine)
        self._validation_loss_curve = _scored(self.loss, pen=dashed)
        self._validation_loss_curve.setSymbolBrush(LOSS_COLOR)
        self._accuracy_curve, self._mean_curve = _scored(self.dice), _scored(self.dice)
        self._class_curves: dict[str, pg.PlotDataItem] = {}
        self._mean_curve.setZValue(1)
        column(self, row(self.loss, self.dice), self.legend, self.rate)
        for plot in (self.loss, self.dice):
            plot.setFixedHeight(_HEIGHT)

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
                self._class_curves[name] = _scored(self.dice)
            color = colors.get(name, "gray")
            self._class_curves[name].setPen(pg.mkPen(color, width=_CLASS_WIDTH))
            self._class_curves[name].setSymbolBrush(color)
            self._class_curves[name].setData(*_columns(points))
        end = max([seconds for points in (run.losses, run.dices) for seconds, _ in points[-1:]], default=1)
        for plot in (self.loss, self.dice):
            plot.setXRange(0, end, padding=0.04)  # so that the last symbol is not cut off
        self._legend_lines.set_lines(-(-(len(colors) + _OTHER_ENTRIES) // _ENTRIES_PER_LINE))
        self.legend.setText(dice_legend(run, colors))
        self.rate.setText(run.stage if run.active else "")
        if run.active and run.rate is not None:
            self.rate.setToolTip(f"{run.stage}, learning rate {format_learning_rate(run.rate)}")

    def clear(self) -> None:
        """Remove all curves."""
        self.show_run(JobState(JobKind.TRAIN, active=False), {})

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Update the colours when the theme changes."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self._apply_theme()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Apply the theme's colours, which are known once the plots are in a window."""
        super().showEvent(event)
        self._apply_theme()

    def _apply_theme(self) -> None:
        text = secondary_color(self)
        for curve, color, style in (
            (self._mean_curve, text_color(self), Qt.PenStyle.DashLine),
            (self._accuracy_curve, text, Qt.PenStyle.DotLine),
        ):
            curve.setPen(pg.mkPen(color, width=_MEAN_WIDTH, style=style))
            curve.setSymbolBrush(color)
        for plot in (self.loss, self.dice):
            paint_plot(plot, self)


def paint_plot(plot: pg.PlotWidget, widget: QWidget) -> None:
    """Give a plot the colours of the theme of the widget that it is in."""
    background, text = widget.palette().color(QPalette.ColorRole.Window), secondary_color(widget)
    plot.setBackground(background)
    plot.getPlotItem().titleLabel.setText(plot.title, color=text.name(), size="9pt")
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(mixed(text, background, 0.5))
        axis.setTextPen(text)


def _set(curve: pg.PlotDataItem, points: Sequence[tuple[float, float]]) -> None:
    curve.setData(*_columns(points))


def _scored(plot: pg.PlotWidget, **line: object) -> pg.PlotDataItem:
    """Return a new curve with a dot at each point, for what is known only now and then."""
    curve: pg.PlotDataItem = plot.plot(symbol="o", symbolSize=_SYMBOL_SIDE, symbolPen=None, **line)
    return curve


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [seconds for seconds, _ in points], [value for _, value in points]


def _length(curve: pg.PlotDataItem) -> int:
    seconds, _ = curve.getData()
    return 0 if seconds is None else len(seconds)


def plot_widget(title: str) -> pg.PlotWidget:
    """Return a small plot that the mouse does not move."""
    plot = pg.PlotWidget(title=title)
    plot.title = title
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.getAxis("left").setWidth(34)
    plot.getAxis("bottom").setHeight(22)
    return plot
