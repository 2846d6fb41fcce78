"""The confusion matrix in Review: cells that open the places where labels and a model disagree."""

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QCheckBox, QGridLayout, QPushButton, QScrollArea, QSizePolicy, QWidget

from napari_pathseg.ui.panels.model_choice import ModelChoice
from napari_pathseg.ui.session.confusion import ConfusionCell, ConfusionTable, confusion_table
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.place_search import Wanted
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.theme import SecondaryLabel, mixed

_RIGHT, _WRONG = QColor("#0072b2"), QColor("#d55e00")  # of Okabe and Ito, which colour-blind people can tell apart
_STRONGEST, _WEAKEST = 0.75, 0.12  # share of these colours in a cell
_NAME_WIDTH, _CELL_WIDTH, _GAP = 84, 58, 2
_EMPTY = "Score the model to see which classes it mixes up on held-out slides."
_SCORE_HELP = (
    "Compare the chosen model with your labels as they are now on the held-out slides, which are predicted first if\n"
    "need be. Use it when labels have changed since the training, and to see where the errors are."
)


class ConfusionPanel(QWidget):
    """A button that scores the chosen model, its confusion matrix, and its main scores in words.

    Attributes
    ----------
    chosen
        Emitted with what to look for when a cell is clicked.
    """

    chosen = Signal(Wanted)

    def __init__(self, session: Session, model: ModelChoice, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._model = session, model
        self._shown: ConfusionTable | None = None
        self.cells: dict[tuple[int, int], QPushButton] = {}
        self.score = push_button("Score", _SCORE_HELP)
        self.areas = QCheckBox("Areas")
        self.areas.setToolTip("Show areas instead of percent of what is labelled as the class.")
        self.areas.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.sentence, self.scores = SecondaryLabel(), SecondaryLabel()
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        column(self, row(self.score, None, self.areas), self.area, self.sentence, self.scores)
        self.score.clicked.connect(self._score)
        self.areas.clicked.connect(self._fill)
        model.currentIndexChanged.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the matrix of the chosen model, if it was scored, and enable what can be done now."""
        training, run = self._session.training, self._session.training.run
        self.score.setEnabled(self._model.currentData() is not None and not training.busy)
        scoring = run is not None and run.kind == JobKind.SCORE and run.active
        table = confusion_table(self._session, self._model.currentData())
        self.sentence.setText("Scoring…" if scoring else _EMPTY if table is None else table.sentence)
        self.scores.setText("" if table is None else "\n".join(table.scores))
        self.scores.setVisible(bool(self.scores.text()))
        if table != self._shown:
            self._shown = table
            self._fill()
        for button in self.cells.values():
            button.setEnabled(bool(button.property("located")) and not training.busy)
        self.area.setVisible(table is not None)
        self.areas.setVisible(table is not None)

    def _score(self) -> None:
        with show_errors():
            self._session.training.compare([self._model.currentData()])

    def _fill(self) -> None:
        """Lay out the names of the classes and the cells."""
        inner, self.cells = QWidget(), {}
        grid = QGridLayout(inner)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(_GAP)
        table = self._shown
        if table is not None:
            self.areas.setText(f"Areas in {table.unit}")
        for number, name in enumerate([] if table is None else table.names, 1):
            grid.addWidget(self._name(name, _CELL_WIDTH), 0, number, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(self._name(name, _NAME_WIDTH), number, 0)
        for number, cells in enumerate([] if table is None else table.rows, 1):
            for at, cell in enumerate(cells, 1):
                self.cells[cell.pair] = self._cell(cell)
                grid.addWidget(self.cells[cell.pair], number, at)
        grid.setColumnStretch(grid.columnCount(), 1)
        self.area.setWidget(inner)
        bar = self.area.horizontalScrollBar()
        wide = inner.sizeHint().width() > self.area.contentsRect().width()
        below = bar.sizeHint().height() if bar is not None and wide else 0
        self.area.setFixedHeight(inner.sizeHint().height() + below)

    def _name(self, name: str, width: int) -> PlainLabel:
        label = PlainLabel()
        label.setText(label.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, width))
        label.setToolTip(name)
        return label

    def _cell(self, cell: ConfusionCell) -> QPushButton:
        button = push_button(cell.area.rpartition(" ")[0] if self.areas.isChecked() else cell.percent, "")
        located = cell.wrong and self._shown is not None and not self._shown.from_training
        where = "Click to see where, the surest first." if located else "Press Score, then click here to see where."
        button.setToolTip(f"{cell.help} {where}" if cell.wrong else cell.help)
        button.setAccessibleName(cell.help)
        button.setProperty("located", located)
        button.setEnabled(located)
        button.setFixedWidth(_CELL_WIDTH)
        hue = _RIGHT if cell.pair[0] == cell.pair[1] else _WRONG
        weight = 0.0 if not cell.area else _WEAKEST + (_STRONGEST - _WEAKEST) * cell.share
        ground = mixed(hue, self.palette().color(self.backgroundRole()), weight).name()
        dark = QColor(ground).lightness() < 128
        text = "#ffffff" if dark else "#000000"
        button.setStyleSheet(
            f"QPushButton {{ background-color: {ground}; color: {text}; padding: 2px; border: 1px solid transparent; }}"
            f"QPushButton:focus, QPushButton:hover:enabled {{ border: 1px solid {text}; }}"
        )
        button.clicked.connect(lambda: self._open(cell))
        return button

    def _open(self, cell: ConfusionCell) -> None:
        if self._shown is not None:
            model, slides = self._shown.model, self._shown.slides
            self.chosen.emit(Wanted(disagreements=True, pair=cell.pair, model=model, slides=slides))
