"""Accept by confidence, in Review: from which probability, of which class, where, and what that would take."""

from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_pathseg.ui.session.selection import DRAW_SELECTION, NONE_SELECTED, SELECTION, SLIDE, VIEW
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.elided_choice import ElidedChoice
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.spin_box import ignore_unfocused_wheel
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SecondaryLabel

_POLL_MS = 15
_LOWEST, _HIGHEST, _USUAL = 50, 99, 95  # percent
_LINES, _LETTERS = 4, 8
_SCOPES = {SELECTION: "selection", VIEW: "view", SLIDE: "slide"}
_HELP = (
    "Accept the model's pixels that are at least so sure, in one undo step: a training learns exactly these.\n"
    "On a complete slide: where the model is so sure of another class than yours, its class replaces yours.\n"
    "Look at them first: a model can be sure and wrong, most of all on slides unlike those it learnt."
)


class ConfidentAcceptPanel(QWidget):
    """A probability, a class, a scope, what they would take, and the button that accepts it."""

    def __init__(self, session: Session, model: QComboBox, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._model = session, model
        self.threshold, self.label, self.scope = QSpinBox(), QComboBox(), QComboBox()
        self.threshold.setRange(_LOWEST, _HIGHEST)
        self.threshold.setValue(_USUAL)
        self.threshold.setSuffix(" %")
        self.threshold.setToolTip("The least probability that the model gives to its class.")
        self.label.setToolTip("The class to accept.")
        self.scope.setToolTip("Where to accept.")
        for widget, name in ((self.threshold, "Least probability"), (self.label, "Class"), (self.scope, "Where")):
            widget.setAccessibleName(name)
            ignore_unfocused_wheel(widget)
        ElidedChoice(self.label)
        for scope, name in _SCOPES.items():
            self.scope.addItem(f"in {name}" if scope != SLIDE else "on slide", scope)
        self.scope.setCurrentIndex(self.scope.findData(VIEW))
        self.sentence = SecondaryLabel()
        FixedLines(self.sentence, _LINES)
        self.accept = push_button("Accept", _HELP)
        for choice in (self.label, self.scope):
            choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            choice.setMinimumContentsLength(_LETTERS)
            choice.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        first, second = row(QLabel("From"), self.threshold, self.label), row(self.scope, self.accept)
        column(self, first, second, self.sentence).setSpacing(HALF_SPACING)
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._connect()
        self._show_classes()
        self._show_selection()
        self._show()

    def set_open(self, opened: bool) -> None:
        """Count while the section is open."""
        self._session.confident.set_model(self._model.currentData() or "")
        self._session.confident.set_watched(opened)

    # -- actions

    def _connect(self) -> None:
        confident = self._session.confident
        self.threshold.valueChanged.connect(self._choose)
        self.label.currentIndexChanged.connect(self._choose)
        self.scope.currentIndexChanged.connect(self._choose)
        self.accept.clicked.connect(self._accept)
        self._model.currentIndexChanged.connect(self._on_model)
        self._timer.timeout.connect(self._advance)
        confident.work_wanted.connect(self._start)
        confident.changed.connect(self._show)
        self._session.project_changed.connect(self._show_classes)
        self._session.selection.changed.connect(self._show_selection)
        self._was_active = False
        self._session.training.run_changed.connect(self._on_run)

    def _choose(self) -> None:
        self._session.confident.choose(self.threshold.value() / 100, self.label.currentData(), self.scope.currentData())

    def _accept(self) -> None:
        with show_errors():
            self._session.confident.accept()

    def _start(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _advance(self) -> None:
        if not self.isVisible() or not self._session.confident.advance():
            self._timer.stop()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Go on counting, which waits while Review is closed."""
        super().showEvent(event)
        self._start()

    def _on_model(self) -> None:
        self._session.confident.set_model(self._model.currentData() or "")

    def _on_run(self) -> None:
        """Count again what a prediction has written."""
        active = self._session.training.active
        if self._was_active and not active:
            self._session.confident.measure_again()
        self._was_active = active

    # -- display

    def _show_classes(self) -> None:
        project, chosen = self._session.project, self.label.currentData()
        with signals_blocked(self.label):
            self.label.clear()
            self.label.addItem("any class", None)
            for spec in () if project is None else project.classes:
                self.label.addItem(spec.name, spec.index)
            self.label.setCurrentIndex(max(0, self.label.findData(chosen)))
        self._choose()

    def _show_selection(self) -> None:
        """Enable the selection entry if there is a selection."""
        selected = bool(self._session.selection.mask_shapes())
        model = self.scope.model()
        assert isinstance(model, QStandardItemModel)
        item = model.item(self.scope.findData(SELECTION))
        assert item is not None
        item.setEnabled(selected)
        item.setToolTip("" if selected else f"{NONE_SELECTED} {DRAW_SELECTION}")
        if not selected and self.scope.currentData() == SELECTION:
            self.scope.setCurrentIndex(self.scope.findData(VIEW))

    def _show(self) -> None:
        self.sentence.setText(" ".join(filter(None, self._session.confident.sentences)))
        self.accept.setEnabled(self._session.confident.can_accept)
