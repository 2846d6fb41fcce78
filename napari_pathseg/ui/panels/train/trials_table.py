"""The table of what was tried for settings, the best first."""

import math
from collections.abc import Sequence

from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem, QWidget

from napari_pathseg.engine.events import Trial
from napari_pathseg.ui.session.formatting import format_setting
from napari_pathseg.ui.widgets.form import name_text

_ROWS_SEEN = 6
_FRAME = 4


class TrialsTable(QTableWidget):
    """Scores, the settings that made them, and the models; one row can be chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.trials: list[Trial] = []
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setToolTip("What was tried, the best first. Double-click a row to train with its settings.")
        numbers = self.verticalHeader()
        assert numbers is not None
        numbers.hide()

    @property
    def chosen(self) -> Trial | None:
        """The trial of the chosen row."""
        row = next((item.row() for item in self.selectedItems()), -1)
        return self.trials[row] if 0 <= row < len(self.trials) else None  # while rows change both may be told

    def show_trials(self, trials: Sequence[Trial]) -> None:
        """Show trials that are over, the best first."""
        over = sorted((trial for trial in trials if trial.ended), key=_rank)
        if over == self.trials:
            return
        self.trials = over
        names = list(over[0].settings) if over else []
        self.setColumnCount(2 + len(names))
        self.setHorizontalHeaderLabels(["Dice", *map(name_text, names), "Model"])
        self.setRowCount(len(over))
        for number, trial in enumerate(over):
            values = [format_setting(trial.settings.get(name, "")) for name in names]
            score = trial.score
            for place, text in enumerate(["failed" if score is None else f"{score:.3f}", *values, trial.model]):
                item = QTableWidgetItem(text)
                item.setToolTip(trial.problem)
                self.setItem(number, place, item)
        self.resizeColumnsToContents()
        self._fit()
        if over:
            self.selectRow(0)

    def _fit(self) -> None:
        """Be as high as some rows, so that the panel is what scrolls."""
        titles, bar = self.horizontalHeader(), self.horizontalScrollBar()
        assert titles is not None
        assert bar is not None
        rows = sum(self.rowHeight(number) for number in range(min(len(self.trials), _ROWS_SEEN)))
        self.setFixedHeight(titles.sizeHint().height() + bar.sizeHint().height() + rows + _FRAME)


def _rank(trial: Trial) -> float:
    return math.inf if trial.score is None else -trial.score
