"""What of a prediction is shown on the slide, and sliders for the outline that its class would get."""

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QWidget
from superqt.utils import qdebounced, signals_blocked

from napari_pathseg.ui.layers.mask_layer import can_paint_pyramids
from napari_pathseg.ui.session.formatting import format_area
from napari_pathseg.ui.session.prediction_view import DISAGREEING, NOTHING, UNCERTAINTY, RefinementChoices
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.elided_choice import ElidedChoice
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.sliders import horizontal_slider
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, SecondaryLabel

_SETTLE_MS, _POLL_MS = 60, 15
_VALUE_WIDTH, _SENTENCE_LINES = 84, 2
_MOST_AREA, _MOST_LENGTH = 100_000.0, 25.0  # um² and um; pixels without a pixel size
_STEPS = 100  # of a slider
_DISAGREEMENT = "Disagreement of positions"


class ProbabilityPanel(QWidget):
    """The choice of a class or the uncertainty, and four sliders with a button that applies them to the slide."""

    def __init__(self, session: Session, model: QComboBox, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._model = session, model
        self.choice, self.sentence = QComboBox(), SecondaryLabel()
        ElidedChoice(self.choice)
        FixedLines(self.sentence, _SENTENCE_LINES)
        self.choice.setToolTip("Show what the model stored for this slide, where you look, between slide and mask.")
        helps = {
            "Threshold": "The class is where its probability is at least this.",
            "Smallest area": "Objects of the class that are smaller go.",
            "Largest hole": "Holes in the class up to this are filled.",
            "Smoothing": "A pixel gets the class if most pixels within this have it.",
        }
        self.sliders = {name: horizontal_slider(help, 0, _STEPS) for name, help in helps.items()}
        self.sliders["Threshold"].setRange(1, 99)
        self.sliders["Threshold"].setValue(50)
        self.values = {name: PlainLabel() for name in helps}
        self.apply = push_button(
            "Apply to slide", "Give the class this outline on the slide, in one undo step. Other classes stay."
        )
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        column(self, row(QLabel("Show"), self.choice), self._grid(), row(self.sentence, self.apply))
        self._connect()
        self._show_classes()

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(SPACING)
        grid.setVerticalSpacing(HALF_SPACING)
        grid.setColumnStretch(1, 1)
        for number, (name, slider) in enumerate(self.sliders.items()):
            label, value = QLabel(name), self.values[name]
            label.setBuddy(slider)
            slider.setAccessibleName(name)
            value.setFixedWidth(_VALUE_WIDTH)
            for column_number, widget in enumerate((label, slider, value)):
                grid.addWidget(widget, number, column_number)
        return grid

    def _connect(self) -> None:
        view = self._session.prediction_view
        self.choice.currentIndexChanged.connect(self.follow_choice)
        self._model.currentIndexChanged.connect(self.follow_choice)
        self._refine_later = qdebounced(self._refine, timeout=_SETTLE_MS, parent=self)
        for slider in self.sliders.values():
            slider.valueChanged.connect(self._show_values)
            slider.valueChanged.connect(self._refine_later.throttle)
        self.apply.clicked.connect(self._apply)
        self._timer.timeout.connect(self._advance)
        view.work_wanted.connect(self._start)
        view.changed.connect(self._show)
        self._session.project_changed.connect(self._show_classes)
        self._session.slide_changed.connect(self._show_values)
        self._session.slide_changed.connect(self._offer_disagreement)
        self._was_active = False
        self._session.training.run_changed.connect(self._on_run)

    # -- actions

    def follow_choice(self) -> None:
        """Show the chosen class of the chosen model; nothing is read again if that is shown."""
        self._session.prediction_view.show(self._model.currentData() or "", self.choice.currentData() or NOTHING)
        self._offer_disagreement()

    def _refine(self) -> None:
        self._session.prediction_view.set_refinement(self._choices())

    def _apply(self) -> None:
        self._refine()
        with show_errors():
            self._session.prediction_view.apply()

    def _start(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _advance(self) -> None:
        if not self._session.prediction_view.advance():
            self._timer.stop()

    def _on_run(self) -> None:
        """Read again what a prediction has written."""
        active = self._session.training.active
        if self._was_active and not active:
            self._offer_disagreement()
            if self.choice.currentData():
                self._session.prediction_view.reload()
        self._was_active = active

    def _choices(self) -> RefinementChoices:
        share = {name: slider.value() / _STEPS for name, slider in self.sliders.items()}
        smallest, hole = (_MOST_AREA * share[name] ** 3 for name in ("Smallest area", "Largest hole"))  # fine if small
        return RefinementChoices(share["Threshold"], smallest, hole, _MOST_LENGTH * share["Smoothing"])

    # -- display

    def _show_classes(self) -> None:
        """Offer the classes of the project; the choice stays if it can."""
        project, chosen = self._session.project, self.choice.currentData()
        with signals_blocked(self.choice):
            self.choice.clear()
            self.choice.addItem("Nothing", NOTHING)
            for spec in () if project is None else project.classes:
                self.choice.addItem(f"Probability of {spec.name}", str(spec.index))
            self.choice.addItem("Uncertainty", UNCERTAINTY)
            if chosen == DISAGREEING:
                self.choice.addItem(_DISAGREEMENT, DISAGREEING)
            self.choice.setCurrentIndex(max(0, self.choice.findData(chosen)))
        self.choice.setEnabled(project is not None and can_paint_pyramids())
        self._show()
        self._show_values()

    def _offer_disagreement(self) -> None:
        """Offer how much positions disagree where that is stored; it stays while it is chosen."""
        at = self.choice.findData(DISAGREEING)
        offered = self._session.prediction_view.offers_disagreement or self.choice.currentData() == DISAGREEING
        with signals_blocked(self.choice):
            if offered and at < 0:
                self.choice.addItem(_DISAGREEMENT, DISAGREEING)
            elif not offered and at >= 0:
                self.choice.removeItem(at)

    def _show(self) -> None:
        view = self._session.prediction_view
        self.sentence.setText(view.sentence)
        for slider in self.sliders.values():
            slider.setEnabled(view.has_class)
        self.apply.setEnabled(view.can_apply)

    def _show_values(self) -> None:
        record, choices = self._session.slide, self._choices()
        mpp = None if record is None else record.mask_mpp
        unit_px = 1.0 if mpp is None else mpp**2
        self.values["Threshold"].setText(f"{100 * choices.threshold:.0f} %")
        self.values["Smallest area"].setText(format_area(choices.smallest / unit_px, mpp) or "any")
        self.values["Largest hole"].setText(format_area(choices.largest_hole / unit_px, mpp) or "none")
        unit = "px" if mpp is None else "µm"
        self.values["Smoothing"].setText(f"{choices.smoothing:.1f} {unit}" if choices.smoothing else "none")
