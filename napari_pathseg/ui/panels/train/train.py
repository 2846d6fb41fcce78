"""The Train section: training data, time, initial model, and the progress of the run."""

from pathlib import Path

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QWidget
from superqt.utils import qthrottled

from napari_pathseg.config import LIVE, TrainConfig
from napari_pathseg.engine.cost_model import DatasetSize, dataset_size, estimate
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project_state import TrainingChoices
from napari_pathseg.ui.panels.train.curves import CurvesView
from napari_pathseg.ui.panels.train.keep_training import KeepTrainingBox
from napari_pathseg.ui.panels.train.live_offer import LiveOffer
from napari_pathseg.ui.panels.train.presets import PresetChoice
from napari_pathseg.ui.panels.train.rounds import RoundsView
from napari_pathseg.ui.panels.train.run_button import RunButtonTexts, show_run_button
from napari_pathseg.ui.panels.train.samples import ValidationSamplesView
from napari_pathseg.ui.panels.train.settings import TrainSettings
from napari_pathseg.ui.panels.train.tuning import TuningPanel
from napari_pathseg.ui.panels.train.version_choice import VersionChoice
from napari_pathseg.ui.session.formatting import format_model
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.session.learns_from import LearnsFrom
from napari_pathseg.ui.session.queries import interrupted_run, trained_further
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.form import ChoiceBox, field_rows
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.section import CollapsibleSection
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_LATEST, _NONE = "latest", "none"
_BUTTON = RunButtonTexts(
    "Train", "Train on the outlines; the current slide shows the progress.", "Stop now and keep the best model so far."
)
_SENTENCE_LINES, _NEWS_LINES, _ESTIMATE_LINES = 3, 2, 2
_RUN = "r"  # first letter of the names of runs; those of models begin with m


class TrainPanel(QWidget):
    """Settings, a button to train or stop, and the curves."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._learns_from = session, LearnsFrom(session)
        self._folder: Path | None = None
        self._from_scratch = False  # the user's choice; without a model there is no choice
        self._interrupted: JobState | None = None  # the last interrupted run, already offered for resuming
        self._dataset_size: DatasetSize | None = None
        self.sentence, self.news, self.estimate = SecondaryLabel(), SecondaryLabel(), SecondaryLabel()
        labels = (self.sentence, _SENTENCE_LINES), (self.news, _NEWS_LINES), (self.estimate, _ESTIMATE_LINES)
        for label, lines in labels:
            FixedLines(label, lines)
        self.presets = PresetChoice()
        self.parent_model = ChoiceBox(label="Start from")
        self.button = push_button("Train", "")
        self.live_offer, self.version_choice = LiveOffer(session), VersionChoice(session)
        self.keep_training = KeepTrainingBox(session, self.config)
        self.curves, self.samples = CurvesView(), ValidationSamplesView()
        self.settings = TrainSettings(session)
        self.tuning = TuningPanel(session, self.config)
        self.samples_section = CollapsibleSection("Held-out patches", self.samples, minor=True)
        self.samples_section.set_open(True)
        self.rounds = RoundsView(session)
        self.rounds_section = CollapsibleSection("Rounds", self.rounds, minor=True)
        self.expert_section = CollapsibleSection("Expert", self.settings, minor=True)
        self.tuning_section = CollapsibleSection("Find settings", self.tuning, minor=True)
        choices = field_rows(self.presets.minutes, self.parent_model)
        start = row()
        start.addWidget(self.estimate, 1)
        start.addWidget(self.button)
        top = (self.sentence, self.news, self.presets, choices, start, self.keep_training)
        shown = (self.live_offer, self.version_choice, self.curves, self.samples_section, self.rounds_section)
        column(self, *top, *shown, self.expert_section, self.tuning_section)
        self._connect()
        self._show_project()
        self._show_run()

    def _connect(self) -> None:
        session = self._session
        self.parent_model.native.activated.connect(self._choose_parent)
        self.button.clicked.connect(self.train_or_stop)
        self.tuning.settings_chosen.connect(self.settings.show_config)
        self._show_masks_later = qthrottled(self._show_masks, timeout=300, leading=False, parent=self)
        self._show_run_later = qthrottled(self._show_run, timeout=100, leading=False, parent=self)
        self._show_estimate_later = qthrottled(self._show_estimate, timeout=200, leading=False, parent=self)
        self.presets.changed.connect(self._show_start)
        self.settings.changed.connect(self._show_estimate_later.throttle)
        session.project_changed.connect(self._show_project)
        session.mask_changed.connect(self._show_masks_later.throttle)
        session.training.run_changed.connect(self._show_run_later.throttle)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Update the estimate, which is not computed while the panel is hidden."""
        super().showEvent(event)
        self._show_estimate_later.throttle()

    def config(self) -> TrainConfig:
        """Return the configuration that the panel shows.

        Raises
        ------
        ConfigError
            If a value lies outside its limits.
        """
        return self.settings.config(**self.presets.values())

    # -- actions

    def train_or_stop(self) -> None:
        """Start a training, resume an interrupted one, or stop the running one."""
        with show_errors():
            if self._session.training.busy:
                self._session.training.stop()
                return
            start = str(self.parent_model.value)
            if start.startswith(_RUN):
                self._session.training.resume(start)
            else:
                config = self.config()
                with self._session.require_project().edit_state() as state:
                    state.training_choices = TrainingChoices(config.to_json(), self._from_scratch)
                    state.prediction_choices = self._session.training.predict_config.to_json()  # the view, afterwards
                self._session.training.train(config, None if start == _NONE else start)
        self._show_run()

    def _choose_parent(self) -> None:
        self._from_scratch = self.parent_model.value == _NONE
        self._show_start()

    # -- display

    def _show_project(self) -> None:
        self._show_summary()
        project = self._session.project
        folder = None if project is None else project.folder
        if folder != self._folder:
            self._folder = folder
            self._show_remembered()
        self._show_parents()
        self._show_button()
        self.version_choice.refresh()
        self.keep_training.refresh()
        self.rounds.refresh()
        self.rounds_section.setVisible(self.rounds.has_data)
        self._dataset_size = None
        self._show_estimate_later.throttle()

    def _show_masks(self) -> None:
        """Update the summary after changes of a mask."""
        self._show_summary(only_view_changed=True)
        if self._dataset_size is None:  # there may be enough training data now
            self._show_estimate_later.throttle()

    def _show_summary(self, *, only_view_changed: bool = False) -> None:
        summary = self._learns_from.summary(only_view_changed=only_view_changed)
        self.sentence.setText(summary.sentence)
        self.news.setText(summary.news)

    def _show_remembered(self) -> None:
        """Show the settings of the project's last training; remove the curves of another project."""
        project = self._session.project
        stored = TrainingChoices() if project is None else project.state.training_choices
        config = TrainConfig.known(dict(stored.config))
        self.settings.show_config(config)
        self.presets.show_choice(config)
        self._from_scratch, self._interrupted = stored.from_scratch, None
        self.curves.clear()
        self.samples.clear()
        self._show_run()

    def _show_parents(self) -> None:
        """Fill the choice of initial weights: current model, interrupted run, from scratch, older models."""
        with show_errors():
            models, run = trained_further(self._session), interrupted_run(self._session)
            chosen = _NONE if self._from_scratch else self.parent_model.value
            current = self._session.project.current_model if self._session.project is not None else None
            latest = next((bundle for bundle in models if bundle.id == current), models[-1] if models else None)
            others = [bundle for bundle in reversed(models) if bundle is not latest]
            first = (
                [(f"{'Newest' if latest is models[-1] else 'Current'} model ({latest.id})", _LATEST)] if latest else []
            )
            resumed = [(f"Resume m{run[1:]} (interrupted)", run)] if run else []
            older = [(format_model(bundle, latest), bundle.id) for bundle in others]
            self.parent_model.show_choices([*first, *resumed, ("From scratch", _NONE), *older])
            keeps_choice = chosen in self.parent_model.choices and (chosen != _NONE or self._from_scratch)
            self.parent_model.value = chosen if keeps_choice else _LATEST if models else _NONE
        self._show_start()

    def _show_start(self) -> None:
        """Describe the chosen initial weights in the tool-tip."""
        self._show_estimate_later.throttle()
        resumes, quick = str(self.parent_model.value).startswith(_RUN), self.presets.preset == LIVE
        self.parent_model.enabled = len(self.parent_model.choices) > 1 and (resumes or not quick)
        if resumes:
            tooltip = "Resumes where it was interrupted, with its own settings."
        elif quick:
            tooltip = "A quick look learns from all outlines, each time."
        else:
            tooltip = "Training on from the current model is fast; from scratch discards what earlier models learnt."
        self.parent_model.tooltip = tooltip

    def _show_estimate(self) -> None:
        """Estimate time and memory of a training; empty if none can start, which the sentence above explains."""
        project, text = self._session.project, ""
        if not self.isVisible() or self._session.training.active:  # a running job would distort the estimate
            return
        if str(self.parent_model.value).startswith(_RUN):
            text = "Resumes where it was interrupted, with its own settings."
        elif project is not None and project.slides:
            try:
                self._dataset_size = self._dataset_size or dataset_size(project)
                text = estimate(self._dataset_size, self.config()).text
            except PathsegError:
                text = ""
        self.estimate.setText(f"{text[:1].upper()}{text[1:]}")

    def _show_run(self) -> None:
        run, active = self._session.training.last_training, self._session.training.active
        self._show_button()
        self.live_offer.refresh()
        self.version_choice.refresh()
        if run is not None:
            project = self._session.project
            colors = {} if project is None else {spec.name: spec.color for spec in project.classes}
            self.curves.show_run(run, colors)
            self.samples.show_run(run)
            self._offer_to_resume(run)
        self.curves.setVisible(self.curves.has_data or (run is not None and run.active))
        self.samples.set_awaited(run is not None and run.active and run.kind == JobKind.TRAIN)
        if active:
            self.estimate.setText("")
        elif not self.estimate.text():
            self._show_estimate_later.throttle()
        self.samples_section.setVisible(self.samples.has_data or self.samples.awaited)

    def _offer_to_resume(self, run: JobState) -> None:
        """Select resuming an interrupted training, once for each."""
        if not run.broken or run is self._interrupted:
            return
        self._interrupted = run
        self._show_parents()
        start = f"{_RUN}{run.model[1:]}"
        if run.kind == JobKind.TRAIN and run.model and start in self.parent_model.choices:
            self.parent_model.value = start
            self._show_start()

    def _show_button(self) -> None:
        project = self._session.project
        has_slides = project is not None and bool(project.slides)
        show_run_button(self.button, self._session, JobKind.TRAIN, _BUTTON, ready=has_slides)
