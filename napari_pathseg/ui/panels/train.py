"""Training: what it learns from, for how long, from which model, and how it goes."""

from collections.abc import Iterable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QComboBox, QDoubleSpinBox, QLabel, QPushButton, QWidget

from napari_pathseg.config import TrainConfig
from napari_pathseg.settings import Limits
from napari_pathseg.ui.form import read_form, settings_form
from napari_pathseg.ui.look import DimLabel
from napari_pathseg.ui.messages import errors_shown
from napari_pathseg.ui.panels.curves import CurvesView
from napari_pathseg.ui.panels.layout import column, push_button, row
from napari_pathseg.ui.panels.section import Section
from napari_pathseg.ui.session import Session
from napari_pathseg.ui.soon import Soon
from napari_pathseg.ui.summary import dice_text, learning, model_text, project_models

_CHOICES = (1, 2, 5, 10)
_LATEST, _NONE = "latest", "none"


class TrainPanel(QWidget):
    """Settings, a button to train or stop, and the curves."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._folder: Path | None = None
        self._anew = False  # what the user chose; without a model there is no choice
        self.sentence = DimLabel()
        self.minutes = _minutes_box()
        self._group = QButtonGroup(self)
        self._group.idClicked.connect(self.minutes.setValue)
        self.parent_model = QComboBox()
        self.parent_model.setToolTip("Going on from the newest model is quick; anew forgets what was learnt before.")
        self.button = push_button("Train", "")
        self.curves = CurvesView()
        self.dice = QLabel()
        self.dice.setWordWrap(True)
        self.form = settings_form(TrainConfig(), expert_only=True)
        self.expert = Section("Expert", self.form.native)
        column(
            self,
            self.sentence,
            row(QLabel("Time"), *self._choices(), self.minutes),
            row(QLabel("Start from"), self.parent_model, self.button),
            self.curves,
            self.dice,
            self.expert,
        )
        self.parent_model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.parent_model.setMinimumContentsLength(14)
        self.parent_model.activated.connect(self._choose_parent)
        self.button.clicked.connect(self.train_or_stop)
        self._project_soon = Soon(self._show_project, 300, self)
        self._run_soon = Soon(self._show_run, 100, self)
        session.project_changed.connect(self._show_project)
        session.mask_changed.connect(self._project_soon.ask)
        session.learning.run_changed.connect(self._run_soon.ask)
        self._show_project()
        self._show_run()

    # -- what the user may do

    def train_or_stop(self) -> None:
        """Begin a training, or end the one that runs."""
        with errors_shown():
            if self._session.learning.active:
                self._session.learning.stop()
                return
            config = read_form(self.form, TrainConfig, {"minutes": round(self.minutes.value(), 2)})
            parent = self.parent_model.currentData()
            self._session.opened.remember("train", {"config": config.to_json(), "anew": self._anew})
            self._session.learning.train(config, None if parent == _NONE else parent)
        self._show_run()

    # -- what the user sees

    def _show_project(self) -> None:
        self.sentence.setText(learning(self._session).sentence)
        project = self._session.project
        folder = None if project is None else project.folder
        if folder != self._folder:
            self._folder = folder
            self._show_remembered()
        self._show_parents()
        self.button.setEnabled(project is not None and bool(project.slides))

    def _show_remembered(self) -> None:
        """Show the settings that the project was trained with last."""
        project = self._session.project
        kept = {} if project is None else project.settings.get("train", {})
        with errors_shown():
            config = TrainConfig.from_json(kept.get("config", {}))
            self.form.show_settings(config)
            self.minutes.setValue(config.minutes)
        self._anew = bool(kept.get("anew", False))

    def _choose_parent(self) -> None:
        self._anew = self.parent_model.currentData() == _NONE

    def _show_parents(self) -> None:
        """Offer the newest model, each of the others, and none; what was chosen stays so."""
        with errors_shown():
            models = project_models(self._session)
            chosen = _NONE if self._anew else self.parent_model.currentData()
            self.parent_model.clear()
            if models:
                self.parent_model.addItem(f"Newest model ({models[-1].id})", _LATEST)
            self.parent_model.addItem("Anew", _NONE)
            for bundle in reversed(models[:-1]):
                self.parent_model.addItem(model_text(bundle), bundle.id)
            kept = chosen != _NONE or self._anew
            self.parent_model.setCurrentIndex(max(0, self.parent_model.findData(chosen)) if kept else 0)
            self.parent_model.setEnabled(bool(models))

    def _show_run(self) -> None:
        run = self._session.learning.run
        active = self._session.learning.active
        training = active and run is not None and run.kind == "train"
        self.button.setText("Stop" if training else "Train")
        self.button.setToolTip(
            "End now and keep the best so far." if training else "Learn from the outlines; the slide shows how it goes."
        )
        self.button.setEnabled(training or (not active and self._session.project is not None))
        trained = run is not None and run.kind == "train"
        if trained and run is not None:
            self.curves.show_run(run)
            self.dice.setText(dice_text(run.dice_by_class))
        if training or not active:
            has_curves = trained or self.curves.has_data
            self.curves.setVisible(has_curves)
            self.dice.setVisible(has_curves and bool(self.dice.text()))

    def _choices(self) -> Iterable[QPushButton]:
        for minutes in _CHOICES:
            button = push_button(str(minutes), f"Train for at most {minutes} min.")
            button.setFixedWidth(30)
            self._group.addButton(button, minutes)
            yield button


def _minutes_box() -> QDoubleSpinBox:
    """Return the box for the longest training time, with the setting's limits."""
    limits: Limits = next(limits for field, limits in TrainConfig.described() if field.name == "minutes")
    box = QDoubleSpinBox()
    box.setRange(limits.minimum or 0, limits.maximum or 0)
    box.setDecimals(2)
    box.setSingleStep(1)
    box.setSuffix(f" {limits.unit}")
    box.setValue(TrainConfig().minutes)
    box.setToolTip(limits.help)
    box.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    return box
