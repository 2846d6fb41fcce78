"""Live training curves: loss, and Dice on the held-out slides."""

from collections.abc import Mapping, Sequence

import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QPalette, QShowEvent
from qtpy.QtWidgets import QLabel, QWidget

from napari_pathseg.ui.session.formatting import dice_legend, format_learning_rate
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.widgets.layout import column, row
from napari_pathseg.ui.widgets.theme import SecondaryLabel, mixed, secondary_color, text_color

_HEIGHT = 126
_LOSS = "#d9822b"
_TWO = 2
_CLASS_WIDTH, _MEAN_WIDTH = 2, 2


class CurvesView(QWidget):
    """Plots of loss and Dice over the training time, with the latest Dice and the learning rate below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss, self.dice = _plot("Loss"), _plot("Dice, held out")
        self.dice.setYRange(0, 1, padding=0.02)
        self.legend, self.rate = QLabel(), SecondaryLabel()
        self.legend.setWordWrap(True)
        self.legend.setToolTip(
            "Dice on the held-out slides: 1 if outlines and prediction agree, 0 if they never overlap."
        )
        self.rate.setToolTip("The current stage, and the learning rate: how far each step changes the network.")
        self._loss_curve = self.loss.plot(pen=pg.mkPen(_LOSS, width=2))
        self._class_curves: dict[str, pg.PlotDataItem] = {}
        self._mean_curve = self.dice.plot()
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
        _set(self._mean_curve, run.dices)
        self._mean_curve.setVisible(len(run.dices_by_class) > _TWO)  # of two classes it equals that of the foreground
        for name in self._class_curves.keys() - run.dices_by_class.keys():
            self.dice.removeItem(self._class_curves.pop(name))
        for name, points in run.dices_by_class.items():
            if name not in self._class_curves:
                self._class_curves[name] = self.dice.plot(symbolSize=4, symbolPen=None)
            color = colors.get(name, "gray")
            self._class_curves[name].setPen(pg.mkPen(color, width=_CLASS_WIDTH))
            self._class_curves[name].setData(*_columns(points), symbol="o", symbolBrush=color)
        end = max([seconds for points in (run.losses, run.dices) for seconds, _ in points[-1:]], default=1)
        for plot in (self.loss, self.dice):
            plot.setXRange(0, end, padding=0.02)
        self.legend.setText(dice_legend(run, colors))
        self.legend.setVisible(bool(run.dice_by_class))
        rate = "" if run.rate is None else f" · learning rate {format_learning_rate(run.rate)}"
        self.rate.setText(f"{run.stage}{rate}" if run.active else "")
        self.rate.setVisible(run.active)

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
        background = self.palette().color(QPalette.ColorRole.Window)
        text = secondary_color(self)
        self._mean_curve.setPen(pg.mkPen(text_color(self), width=_MEAN_WIDTH, style=Qt.PenStyle.DashLine))
        for plot in (self.loss, self.dice):
            plot.setBackground(background)
            plot.getPlotItem().titleLabel.setText(plot.title, color=text.name(), size="9pt")
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(mixed(text, background, 0.5))
                axis.setTextPen(text)


def _set(curve: pg.PlotDataItem, points: Sequence[tuple[float, float]]) -> None:
    curve.setData(*_columns(points))


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [seconds for seconds, _ in points], [value for _, value in points]


def _length(curve: pg.PlotDataItem) -> int:
    seconds, _ = curve.getData()
    return 0 if seconds is None else len(seconds)


def _plot(title: str) -> pg.PlotWidget:
    plot = pg.PlotWidget(title=title)
    plot.title = title
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.getAxis("left").setWidth(34)
    plot.getAxis("bottom").setHeight(22)
    return plot
