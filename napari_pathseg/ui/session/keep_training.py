"""A training that goes on by itself: rounds that begin with new strokes, each from the model of the round before.

A round takes the same time however many there were.  It is kept if it is better than the one before on what is held
out; only the newest two stay in the list of models.  It ends by itself without new strokes, or without gain.
"""

import time
from collections.abc import Callable

from psygnal import Signal

from napari_pathseg.config import LINEAR, TrainConfig
from napari_pathseg.engine.bundle import find_bundle, load_bundle
from napari_pathseg.engine.events import Event
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.protocol import JobFailed, TrainingFinished
from napari_pathseg.projects.annotation_log import FEW_ROUNDS, LEAST_GAIN
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.session.label_changes import changed_since
from napari_pathseg.ui.session.training_controller import TrainingController
from napari_pathseg.ui.session.work_log import WorkLog
from napari_pathseg.ui.session.workspace import Workspace

ROUND_MINUTES = 0.5  # the time that training takes in a round; scoring and predicting come on top
_PAUSE_S = 2.0  # without a stroke until a round begins
_OTHERS_S = 8.0  # that a search for places may go on once there are new strokes
_IDLE_S = 600.0  # without a stroke until it ends
_ENDS_IDLE = "Ended: no new strokes for 10 minutes."
_ENDS_WITHOUT_GAIN = "Ended: the last three rounds brought less than half a Dice point."
_FOR_NETWORKS = "Ended: a quick look has no rounds, since Live follows each stroke. Train a network first."


class KeepTraining:
    """Begins rounds while it is on; `changed` is emitted when it is switched, or what it says changes.

    Attributes
    ----------
    on
        Whether it begins rounds.
    sentence
        What it does, or why it has ended; "" if it was not used.
    """

    changed = Signal()

    def __init__(
        self,
        workspace: Workspace,
        training: TrainingController,
        work_log: WorkLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace, self._training, self._work_log, self._clock = workspace, training, work_log, clock
        self._config = TrainConfig()
        self._project: Project | None = workspace.project
        self._reset()
        workspace.mask_changed.connect(self._on_mask)
        workspace.project_changed.connect(self._on_project)
        training.run_changed.connect(self._on_run)
        training.ended.connect(self._on_ended)

    def _reset(self) -> None:
        self.on, self.sentence = False, ""
        self._rounds, self._gains = 0, list[float]()
        self._may_have_changed, self._strokes = True, 0
        self._last_work, self._pixels = self._clock(), 0

    def switch(self, on: bool, config: TrainConfig) -> None:
        """Begin or end; `config` holds the settings of rounds, but for their time."""
        self._reset()
        self.on, self._config = on, config
        self._say(self._waits() if on else "")

    def tick(self) -> None:
        """Begin a round if there are new strokes; the window calls this about once a second."""
        if not self.on or self._training.busy or self._workspace.project is None or self._workspace.read_only:
            return
        waited = self._clock() - self._last_work
        mask = self._workspace.mask
        drawing = mask is not None and (mask.has_pending or mask.stroke_queue.has_open_group)
        if drawing or waited < _PAUSE_S or (self._training.active and waited < _OTHERS_S):
            return
        if not self._may_have_changed:
            if waited > _IDLE_S:
                self._end(_ENDS_IDLE)
            return
        self._may_have_changed = False
        if self._workspace.project.current_model is not None and self._has_new_labels():
            self._begin_round(self._workspace.project.current_model)

    # -- rounds

    def _has_new_labels(self) -> bool:
        """Return whether labels that are learnt have changed since the last training began."""
        trained = self._workspace.require_project().state.trained_labels
        before = self._training.labels_at_start or (trained.pixels if trained is not None else {})
        return bool(changed_since(self._workspace, before) if before else self._work_log.work())

    def _begin_round(self, parent: str) -> None:
        try:
            if load_bundle(find_bundle(self._workspace.require_project(), parent)).network.architecture == LINEAR:
                self._end(_FOR_NETWORKS)
                return
            self._strokes = sum(work.strokes for work in self._work_log.work().values())
            minutes = min(ROUND_MINUTES, self._config.longest_minutes)
            number = self._rounds + 1
            config = self._config.replace(preset="normal", minutes=minutes, decoder_seconds=0.0)
            config = config.replace(seed=config.seed + number)  # other tiles than those of a round that was not kept
            self._training.train(config, parent, number)
        except PathsegError as error:
            self._end(f"Ended: {error}")
            return
        self._rounds += 1
        new = plural(self._strokes, "new stroke") if self._strokes else "new labels"
        self._say(f"Round {self._rounds}: {parent} learns {new}.")

    def _on_ended(self, event: Event) -> None:
        run = self._training.last_training
        if not self.on or run is None:
            return
        self._may_have_changed = True  # strokes may have come during the training
        if isinstance(event, TrainingFinished):
            if run.number and run.gain is not None:
                self._gains.append(run.gain)
            last = self._gains[-FEW_ROUNDS:]
            if len(last) == FEW_ROUNDS and sum(last) < LEAST_GAIN:
                self._end(_ENDS_WITHOUT_GAIN)
            else:
                self._say(self._waits(run))
        elif isinstance(event, JobFailed) and run.broken and run.number:
            self._end("Ended: the round failed.")

    def _on_run(self) -> None:
        """End if the user stops a round, or its process has died."""
        run = self._training.run
        if self.on and run is not None and run.kind is JobKind.TRAIN and run.number:
            if run.stopping:
                self._end("Ended: you stopped the round.")
            elif run.broken and not run.active:
                self._end("Ended: the round failed.")

    def _waits(self, run: JobState | None = None) -> str:
        project = self._workspace.project
        if project is None or project.current_model is None:
            return "Goes on after the first training, with your next strokes."
        if run is None or not run.number:
            return "Waits for your next strokes."
        dice = "" if run.gain is None else f", Dice {run.gain:+.3f}"
        made = f"{run.model} is kept{dice}" if run.kept else "no gain, so it is not kept"
        return f"Round {run.number}: {made}. Waits for your next strokes."

    # -- what happens meanwhile

    def _on_mask(self) -> None:
        mask = self._workspace.mask
        pixels = 0 if mask is None else mask.edited.pixels
        if mask is not None and (pixels != self._pixels or mask.stroke_queue.has_open_group):
            self._pixels, self._last_work, self._may_have_changed = pixels, self._clock(), True

    def _on_project(self) -> None:
        if self._workspace.project is not self._project:
            self._project = self._workspace.project
            self._reset()
            self.changed.emit()

    def _end(self, why: str) -> None:
        self.on = False
        self._say(why)

    def _say(self, sentence: str) -> None:
        self.sentence = sentence
        self.changed.emit()
