"""The table of the trials of a hyperparameter search, best first."""

import math
from collections.abc import Sequence

from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem, QWidget

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Trial
from napari_pathseg.ui.session.formatting import format_setting
from napari_pathseg.ui.widgets.plain_text import plain

_MAX_ROWS = 6
_FRAME = 4


class TrialsTable(QTableWidget):
    """Score, model and settings of each trial; one row can be selected."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.trials: list[Trial] = []
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setToolTip("The trials, best first. Double-click a row to train with its settings.")
        numbers = self.verticalHeader()
        assert numbers is not None
        numbers.hide()

    @property
    def chosen(self) -> Trial | None:
        """The trial in the selected row."""
        row = next((item.row() for item in self.selectedItems()), -1)
        # the selection may lie outside while rows change
        return self.trials[row] if 0 <= row < len(self.trials) else None

    def show_trials(self, trials: Sequence[Trial]) -> None:
        """Show the finished trials, best first."""
        finished = sorted((trial for trial in trials if trial.ended), key=_rank)
        if finished == self.trials:
            return
        self.trials = finished
        names = list(finished[0].settings) if finished else []
        self.setColumnCount(2 + len(names))
        self.setHorizontalHeaderLabels(["Dice", "Model", *map(TrainConfig.label_of, names)])
        self.setRowCount(len(finished))
        for number, trial in enumerate(finished):
            values = [format_setting(trial.settings.get(name, "")) for name in names]
            score = trial.score
            for column, text in enumerate(["failed" if score is None else f"{score:.3f}", trial.model, *values]):
                item = QTableWidgetItem(text)
                item.setToolTip(plain(trial.problem))
                self.setItem(number, column, item)
        self.resizeColumnsToContents()
        self._fit()
        if finished:
            self.selectRow(0)

    def _fit(self) -> None:
        """Show up to six rows without scrolling, so that the panel scrolls instead."""
        titles, bar = self.horizontalHeader(), self.horizontalScrollBar()
        assert titles is not None
        assert bar is not None
        rows = sum(self.rowHeight(number) for number in range(min(len(self.trials), _MAX_ROWS)))
        self.setFixedHeight(titles.sizeHint().height() + bar.sizeHint().height() + rows + _FRAME)


def _rank(trial: Trial) -> float:
    return math.inf if trial.score is None else -trial.score
