"""Find settings: short trainings with combinations of values, and a table of their scores."""

from collections.abc import Callable, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QWidget
from superqt.utils import qthrottled

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Trial
from napari_pathseg.projects.project_state import TuningChoices
from napari_pathseg.ui.panels.train.run_button import RunButtonTexts, show_run_button
from napari_pathseg.ui.panels.train.search_space_editor import SearchSpaceEditor
from napari_pathseg.ui.panels.train.trials_table import TrialsTable
from napari_pathseg.ui.session.formatting import format_setting, format_trials, has_range
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.form import field_rows
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.spin_box import ScientificFloat, WholeNumber
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_GRID = {"learning_rate": "1e-4, 1e-3", "weight_decay": "0, 1e-4", "batch": "4, 8"}
_BUTTON = RunButtonTexts(
    "Find", "Train briefly with each combination and compare.", "Stop now and keep the trials so far."
)
_MINUTES, _MAX_TRIALS = 1.0, 1000


class TuningPanel(QWidget):
    """The search space, a button to start or stop, and the trials by score.

    `settings_chosen` emits the settings of the trial that the user chose.
    """

    settings_chosen = Signal(object)

    def __init__(self, session: Session, config: Callable[[], TrainConfig], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._config = session, config
        self.rows = SearchSpaceEditor()
        self.trials = WholeNumber(
            label="Trials at most",
            max=_MAX_TRIALS,
            tooltip="Largest number of combinations to try, drawn at random if there are more.",
        )
        self.trials.native.setSpecialValueText("all")
        self.minutes = ScientificFloat(
            label="Each at most", value=_MINUTES, min=0.05, max=10_000, step=0.5, tooltip="Training time of each trial."
        )
        self.minutes.native.setSuffix(" min")
        self.effort = SecondaryLabel()
        self.button = push_button("Find", "")
        self.table = TrialsTable()
        self.use = push_button("Use these", "Copy the settings of the selected row to Expert, for the next training.")
        limits = field_rows(self.trials, self.minutes)
        start = row()
        start.addWidget(self.effort, 1)
        start.addWidget(self.button)
        column(self, self.rows, limits, start, self.table, row(None, self.use))
        self._connect()
        self.rows.show_values(_GRID)
        self._show_run()

    def _connect(self) -> None:
        self._show_run_later = qthrottled(self._show_run, timeout=100, leading=False, parent=self)
        self.rows.changed.connect(self._show_effort)
        self.trials.changed.connect(self._show_effort)
        self.minutes.changed.connect(self._show_effort)
        self.button.clicked.connect(self.find_or_stop)
        self.use.clicked.connect(self.use_settings)
        self.table.cellDoubleClicked.connect(self.use_settings)
        self.table.itemSelectionChanged.connect(self._show_use)
        self._session.training.run_changed.connect(self._show_run_later.throttle)
        self._session.project_changed.connect(self._show_project)
        self._folder: object = None

    # -- actions

    def find_or_stop(self) -> None:
        """Start the search, or stop it and keep its trials."""
        with show_errors():
            if self._session.training.busy:
                self._session.training.stop()
                return
            vary = self.rows.values()
            config = self._config().replace(preset="normal", minutes=self.minutes.value)
            with self._session.require_project().edit_state() as state:
                state.tuning_choices = TuningChoices(vary, self.trials.value, self.minutes.value)
            search = "optuna" if has_range(vary) else "grid"
            texts = [f"{name}={text}" for name, text in vary.items()]
            self._session.training.tune(texts, config, self.trials.value, search)
        self._show_run()

    def use_settings(self, *_: Any) -> None:
        """Use the settings of the selected row for the next training."""
        trial = self.table.chosen
        if trial is None:
            return
        with show_errors():
            settings = TrainConfig.renamed(trial.settings)
            known = {name: settings[name] for name in settings if name in TrainConfig().to_json()}
            self.settings_chosen.emit(self._config().replace(**known))
            named = ", ".join(f"{TrainConfig.label_of(name)} {format_setting(value)}" for name, value in known.items())
            self._session.message.emit(f"The next training uses: {named}.", "", "info")

    # -- display

    def _show_project(self) -> None:
        project = self._session.project
        folder = None if project is None else project.folder
        if folder != self._folder:
            self._folder = folder
            stored = TuningChoices() if project is None else project.state.tuning_choices
            self.rows.show_values(_GRID if stored.vary is None else stored.vary)
            self.trials.value = stored.trials
            self.minutes.value = _MINUTES if stored.minutes is None else stored.minutes
            self._show_trials([])
        self._show_run()

    def _show_effort(self, *_: Any) -> None:
        self.effort.setText(format_trials(self.rows.values(), self.trials.value, self.minutes.value))

    def _show_run(self) -> None:
        show_run_button(self.button, self._session, JobKind.TUNE, _BUTTON, ready=True)
        run = self._session.training.run
        if run is not None and run.kind == JobKind.TUNE:
            self._show_trials(run.trials)
        self._show_effort()
        self._show_use()

    def _show_trials(self, trials: Sequence[Trial]) -> None:
        self.table.show_trials(trials)
        self.table.setVisible(bool(self.table.trials))
        self._show_use()

    def _show_use(self) -> None:
        self.use.setVisible(bool(self.table.trials))
        self.use.setEnabled(self.table.chosen is not None)
