"""Live curves of a training: loss, and Dice on the held-out slides."""

import pyqtgraph as pg
from qtpy.QtCore import QEvent
from qtpy.QtGui import QPalette, QShowEvent
from qtpy.QtWidgets import QWidget

from napari_pathseg.ui.look import dim_color, mixed
from napari_pathseg.ui.panels.layout import column, row
from napari_pathseg.ui.run import Run

_HEIGHT = 126
_LOSS, _DICE = "#d9822b", "#3f9fd8"


class CurvesView(QWidget):
    """Two small plots over the seconds of a training."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.loss, self.dice = _plot("Loss"), _plot("Dice, held out")
        self.dice.setYRange(0, 1, padding=0.02)
        self._loss_curve = self.loss.plot(pen=pg.mkPen(_LOSS, width=2))
        self._dice_curve = self.dice.plot(
            pen=pg.mkPen(_DICE, width=2), symbol="o", symbolSize=5, symbolBrush=_DICE, symbolPen=None
        )
        column(self, row(self.loss, self.dice))
        self.setFixedHeight(_HEIGHT)

    @property
    def has_data(self) -> bool:
        """Whether there is a curve to see."""
        seconds, _ = self._loss_curve.getData()
        return seconds is not None and len(seconds) > 0

    def show_run(self, run: Run) -> None:
        """Draw the curves of a run as far as they are."""
        for curve, points in ((self._loss_curve, run.losses), (self._dice_curve, run.dices)):
            curve.setData([seconds for seconds, _ in points], [value for _, value in points])

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Follow the theme."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.StyleChange:
            self._follow()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Take the theme's colours, which are known once the plots are in a window."""
        super().showEvent(event)
        self._follow()

    def _follow(self) -> None:
        ground = self.palette().color(QPalette.ColorRole.Window)
        text = dim_color(self)
        for plot in (self.loss, self.dice):
            plot.setBackground(ground)
            plot.getPlotItem().titleLabel.setText(plot.title, color=text.name(), size="9pt")
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(mixed(text, ground, 0.5))
                axis.setTextPen(text)


def _plot(title: str) -> pg.PlotWidget:
    plot = pg.PlotWidget(title=title)
    plot.title = title
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.getAxis("left").setWidth(34)
    plot.getAxis("bottom").setHeight(22)
    return plot
