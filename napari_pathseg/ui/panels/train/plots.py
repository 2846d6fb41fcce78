"""Small plots in the colours of the theme: of the curves of a training, and of the rounds."""

from collections.abc import Sequence

import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QPalette, QShowEvent
from qtpy.QtWidgets import QWidget

from napari_pathseg.ui.widgets.theme import mixed, secondary_color

_WIDTH, _SYMBOL_SIDE = 2, 4  # of a curve, and of the only trace of what is known once


class PlotsView(QWidget):
    """A widget whose plots follow the theme.

    Attributes
    ----------
    plots
        The plots; set by the constructor of a view.
    """

    plots: Sequence[pg.PlotWidget] = ()

    def paint_curves(self) -> None:
        """Give what is drawn the colours of the theme."""

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
        self.paint_curves()
        background, text = self.palette().color(QPalette.ColorRole.Window), secondary_color(self)
        for plot in self.plots:
            plot.setBackground(background)
            plot.getPlotItem().titleLabel.setText(plot.title, color=text.name(), size="9pt")
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(mixed(text, background, 0.5))
                axis.setTextPen(text)


def plot_widget(title: str, height: int) -> pg.PlotWidget:
    """Return a small plot that the mouse does not move."""
    plot = pg.PlotWidget(title=title)
    plot.title = title
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setMouseEnabled(x=False, y=False)
    plot.getAxis("left").setWidth(34)
    plot.getAxis("bottom").setHeight(22)
    plot.setFixedHeight(height)
    return plot


def dotted_curve(plot: pg.PlotWidget) -> pg.PlotDataItem:
    """Return a new curve with a dot at each point, for what is known only now and then."""
    curve: pg.PlotDataItem = plot.plot(symbol="o", symbolSize=_SYMBOL_SIDE, symbolPen=None)
    return curve


def paint_curve(curve: pg.PlotDataItem, color: QColor | str, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> None:
    """Give a curve and its dots a colour."""
    curve.setPen(pg.mkPen(color, width=_WIDTH, style=style))
    curve.setSymbolBrush(color)
