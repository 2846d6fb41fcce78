"""Runs jobs in the worker (training, tuning, prediction, scoring, a search for places) and handles their results."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from psygnal import Signal

from napari_pathseg.config import LIVE, PredictConfig, TrainConfig
from napari_pathseg.engine.bundle import comparable_slides, find_bundle, load_bundle, make_newest
from napari_pathseg.engine.events import (
    Event,
    LiveCompared,
    LiveFilled,
    LiveKept,
    LiveStatus,
    LiveTile,
    Note,
    PreviewReady,
    RequestPreview,
    SlideDone,
    Stop,
    TileDone,
)
from napari_pathseg.engine.search_space import TuneRequest
from napari_pathseg.engine.training.kept_model import load_kept_live
from napari_pathseg.engine.training.stored_run import load_stored_run
from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import (
    AugmentationSampled,
    ExportModel,
    FilesWritten,
    FindDisagreements,
    FindPlaces,
    JobFailed,
    JobFinished,
    PlacesFound,
    Predict,
    PredictionFinished,
    Report,
    SampleAugmentation,
    Score,
    ScoringFinished,
    StartJob,
    Train,
    TrainingFinished,
    Tune,
    TuningFinished,
)
from napari_pathseg.projects.checks.trainability import assign_train_val_split
from napari_pathseg.projects.model_weights import LIVE_MODEL
from napari_pathseg.projects.project_state import TrainedLabels
from napari_pathseg.projects.roles import VAL
from napari_pathseg.projects.versions import ROUND, TRAINING
from napari_pathseg.ui.session.background import Steps, Work
from napari_pathseg.ui.session.formatting import format_kept, format_live_comparison
from napari_pathseg.ui.session.job_state import JobKind, JobState, latest_training_run, load_run
from napari_pathseg.ui.session.live_controller import LiveController
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.model_versions import ModelVersions
from napari_pathseg.ui.session.predicted_tiles import PredictedTiles
from napari_pathseg.ui.session.worker import Worker
from napari_pathseg.ui.session.workspace import Workspace

_SHOWN_IN_PANEL = (JobKind.PREVIEW, JobKind.PLACES)  # why such a job has failed
_MAX_UNASKED_SIDE = 4096  # mask pixels of the view that are predicted after a training: some seconds


class TrainingController:
    """Runs one job at a time.

    Signals: `run_changed` (`run` has changed), `began` (a training is about to learn what is on disk), `ended` (the
    last event of a job).

    Attributes
    ----------
    labels_at_start
        The labels of each slide when the last training began, see `Workspace.labelled_pixels`.
    """

    run_changed = Signal()
    began = Signal()
    ended = Signal(Event)

    def __init__(
        self, workspace: Workspace, editor: MaskEditor, worker: Worker, live: LiveController, models: ModelVersions
    ) -> None:
        self._workspace, self._editor, self._worker, self._live, self._models = workspace, editor, worker, live, models
        self._run: JobState | None = None
        self.last_training: JobState | None = None
        self._ignored_jobs = 0  # stopped, and not ended yet; their events are ignored
        self._stopping_detached = False  # the last of them is that of a closed project
        self._tiles = PredictedTiles(workspace, editor)
        self.labels_at_start: dict[str, list[int]] = {}
        self.predict_config = PredictConfig()  # of the next prediction
        self._said: set[str] = set()  # the notes of the jobs of this project
        self.compared_models: list[str] = []
        self.scores: dict[str, ScoringFinished] = {}  # of these, by model, all on the same held-out slides
        worker.event.connect(self._on_event)
        worker.died.connect(self._on_worker_died)

    def warm_up(self) -> None:
        """Start the worker in advance so that the first training does not wait for it."""
        self._worker.start()

    @property
    def run(self) -> JobState | None:
        """The running or last job; `last_training` is the last one that trained models."""
        return self._run

    @run.setter
    def run(self, run: JobState | None) -> None:
        self._run = run
        if run is None or run.trains:
            self.last_training = run

    @property
    def active(self) -> bool:
        """True if a job is running."""
        return self.run is not None and self.run.active

    @property
    def busy(self) -> bool:
        """True if a job is running that others have to wait for."""
        return self.run is not None and self.run.active and not self.run.gives_way

    def train(self, config: TrainConfig, parent: str | None = "latest", number: int = 0) -> None:
        """Fine-tune a model; meanwhile the slide shows its predictions of the view, once the live model's are worse.

        With a `number` it is a round of a training that goes on by itself.
        """
        beside_live = self._is_beside_live(config)
        run = JobState(JobKind.TRAIN, minutes=config.longest_minutes, live_leads=beside_live, number=number)
        self._start_training(run)
        self._send(Train(project=self._folder, config=config, parent=parent, beside_live=beside_live))
        self.request_preview()

    def resume(self, run: str) -> None:
        """Resume an interrupted training with its own settings."""
        folder = self._workspace.require_project().folder / "runs" / run
        config = TrainConfig.from_json(load_stored_run(folder)["config"])
        before, beside_live = load_run(folder) or JobState(JobKind.TRAIN), self._is_beside_live(config)
        state = replace(before, minutes=config.longest_minutes, active=True, stage="Starting", fraction=0.0)
        self._start_training(replace(state, live_leads=beside_live))
        self._send(Train(project=self._folder, config=config, resume=run, beside_live=beside_live))
        self.request_preview()

    def _is_beside_live(self, config: TrainConfig) -> bool:
        """Return whether a training is compared with the live model; a quick look is the same model."""
        return self._live.ready and config.preset != LIVE

    def tune(self, vary: Sequence[str], config: TrainConfig, trials: int, search: str) -> None:
        """Compare trainings with different settings."""
        TuneRequest.read(vary, config, trials=trials, search=search)
        self._start_training(JobState(JobKind.TUNE, minutes=config.longest_minutes))
        self._send(Tune(project=self._folder, config=config, vary=list(vary), trials=trials, search=search))

    def preview_augmentation(self, config: TrainConfig, seed: int) -> None:
        """Request augmented samples, drawn into the file `run.samples_path`."""
        self._begin(JobState(JobKind.PREVIEW), SampleAugmentation(project=self._folder, config=config, seed=seed))

    def predict(self, slides: Sequence[str], *, view: bool = False, model: str | None = None) -> None:
        """Predict slides as in `predict_config`, with the current model by default; with `view`, what is on screen.

        The slide in view comes first, and of it what is on screen.
        """
        self._require_idle()
        model = find_bundle(self._workspace.require_project(), model).name
        shown = "" if self._workspace.slide is None else self._workspace.slide.id
        run = JobState(JobKind.PREDICT, model=model, slides=sorted(slides, key=lambda name: name != shown))
        self._predict(run, self._workspace.layers.visible_region() if view else None)

    def _predict(self, run: JobState, view: Region | None) -> None:
        """Predict the slides of a job, or only a box of the mask in view; no other job may be running."""
        self._editor.save_mask()
        self.run = replace(run, view=view is not None)
        region = None if view is None else view.finer(self._workspace.require_slide().downsample)
        command = Predict(project=self._folder, model=run.model, slides=run.slides, region=region)
        self._send(replace(command, config=self.predict_config))
        self.request_preview()

    def compare(self, models: Sequence[str] = ()) -> None:
        """Score two models, by default the newest ones, on the same held-out slides, of which neither has learnt.

        Raises
        ------
        PathsegError
            If there are no such slides.
        """
        self._require_idle(writes=False)
        self._editor.save_mask()
        project = self._workspace.require_project()
        models = sorted(models) or project.model_ids()[-2:]
        slides, self.scores = comparable_slides(project, models), {}
        self.compared_models = models
        self.run = JobState(JobKind.SCORE, waiting=models[1:], slides=slides)
        self._score(models[0], slides)

    def write_report(self, model: str, folder: Path) -> None:
        """Write the report of a model into a folder; what it has not predicted of the held-out slides is predicted."""
        command = Report(project=self._folder, model=model, folder=str(folder))
        self._begin(JobState(JobKind.REPORT, model=model), command)

    def export_model(self, model: str, format_name: str, folder: Path) -> None:
        """Write a model into a folder for other programs, in one of `EXPORT_FORMATS`."""
        command = ExportModel(project=self._folder, model=model, format=format_name, folder=str(folder))
        self._begin(JobState(JobKind.EXPORT, model=model), command)

    def find_places(self, command: FindPlaces | FindDisagreements) -> None:
        """Look for places, until another job is started."""
        self._begin(JobState(JobKind.PLACES, gives_way=True), command)

    def _begin(self, run: JobState, command: StartJob) -> None:
        """Start a job that reads what is saved."""
        self._require_idle()
        self._editor.save_mask()
        self.run = run
        self._send(command)

    def end_search(self) -> None:
        """End a running search for places, which is in the way; what it has found is lost."""
        if self.run is not None and self.run.active and self.run.kind == JobKind.PLACES:
            self._stop_ignored()
            self.run = replace(self.run, active=False)
            self.run_changed.emit()

    def using_live_model(self) -> Steps[str]:
        """Return the flow that makes a numbered copy of the live model that the project keeps, the newest model then.

        Its result says what was done.  The live model may have followed other labels since the training that it was
        compared with: if it finds no more than that one now, nothing is copied.
        """
        self._require_idle()
        project, run, title = self._workspace.require_project(), self.last_training, "Copying the live model"
        kept = load_kept_live(project)
        trained = run.model if run is not None and run.model in project.model_ids() else ""
        now = kept.dice_beside(load_bundle(find_bundle(project, trained))) if kept and trained else None
        if run is not None and now is not None and run.network_dice is not None and now <= run.network_dice:
            self.last_training = replace(run, live_dice=now)
            self.run_changed.emit()
            return (
                f"The live model has followed your labels since: its Dice is {now:.2f} now, and that of {run.model} is "
                f"{run.network_dice:.2f}, so nothing was copied. Train again to use these labels."
            )
        model = yield Work(lambda _: make_newest(project, LIVE_MODEL), title, writes=True)
        with project.edit_state() as state:
            state.trained_labels = TrainedLabels(model, kept.pixels if kept and kept.pixels else self.labels_at_start)
        self._models.use_newest()
        if self.last_training is not None and self.last_training is run:
            self.last_training = replace(run, live_dice=None, live_leads=False)
        self._workspace.project_changed.emit()
        self.run_changed.emit()
        dice = load_bundle(project.folder / "models" / model).mean_dice
        return f"{model} is a copy of the live model, Dice {dice:.2f}, and the newest model now. No mask was changed."

    def stop(self) -> None:
        """Stop the running job; a training keeps its best model and scores it, unless this is called again."""
        if self.run is not None and self.run.active:
            self.run = replace(self.run, stopping=True)
            self._worker.send(Stop())
            self.run_changed.emit()

    def restore_last_run(self) -> None:
        """Restore the training curves of the newest model of the opened project."""
        self.last_training = latest_training_run(self._workspace.require_project())
        self.run_changed.emit()

    def detach(self) -> None:
        """Stop the running job and drop the scores of a closing project; a training keeps its best model."""
        if self.run is not None and self.run.active:
            self._stopping_detached = True
            self._stop_ignored()
            if self.run.has_best:
                self._workspace.message.emit(
                    f"{self.run.title} was stopped because its project was closed. Its best model is kept.", "", "info"
                )
        self._tiles.drop()
        self._models.forget()
        self._models.rounds = []
        self.run, self.scores, self.compared_models, self._said = None, {}, [], set()
        self.labels_at_start = {}
        self.run_changed.emit()

    def follow_view(self) -> None:
        """Let a running prediction go on with what is on screen now."""
        if self.run is not None and self.run.kind == JobKind.PREDICT and not self.run.stopping:
            self.request_preview()

    def request_preview(self) -> None:
        """Ask a training to predict what is on screen, now and as it progresses, and a prediction to begin with it."""
        if self.run is None or not self.run.active or self.run.kind not in (JobKind.TRAIN, JobKind.PREDICT):
            return
        if self._workspace.slide is not None:
            region = self._workspace.layers.visible_region()
            self._worker.send(RequestPreview(self._workspace.slide.id, region))

    # -- events of the worker

    def _on_event(self, event: Event) -> None:
        if isinstance(event, LiveTile | LiveFilled | LiveKept | LiveStatus):  # of no job
            return
        if self._ignored_jobs:
            self._ignored_jobs -= isinstance(event, JobFinished | JobFailed)
            self._stopping_detached &= self._ignored_jobs > 0
            return
        if self.run is None or self._workspace.project is None:
            return
        self.run = self.run.after(event)
        try:
            self._merge(self.run, event)
        except ProjectError as error:  # the disk refuses
            self.stop()
            self._workspace.message.emit(str(error), "", "error")
        match event:
            case Note(text=text, warning=warning) if self._is_new(text):
                self._workspace.message.emit(text, "", "warning" if warning else "info")
            case LiveCompared(leads=False, dice=dice) if dice is not None:
                self._workspace.message.emit(format_live_comparison(self.run), "", "info")
            case JobFinished():
                self._on_finished(event)
            case JobFailed(text=text, details=details) if self.run.kind not in _SHOWN_IN_PANEL:
                self._workspace.message.emit(text, details, "info" if self.run.stopping and not details else "error")
        self.run_changed.emit()
        if isinstance(event, JobFinished | JobFailed):
            self.ended.emit(event)

    def _is_new(self, text: str) -> bool:
        """Return whether to show a note: one view or round after another says the same of a slide each time."""
        assert self.run is not None
        if self.run.kind == JobKind.PLACES:  # the live model says it
            return False
        known = (self.run.view or self.run.number > 0) and text in self._said
        self._said.add(text)
        return not known

    def _merge(self, run: JobState, event: Event) -> None:
        """Bring what a job predicts into the masks."""
        match event:
            case PreviewReady():
                self._tiles.show_preview(event)
            case TileDone(slide=slide, region=region) if run.kind == JobKind.PREDICT:
                self._tiles.add(run.model, slide, region)
            case SlideDone() | JobFinished() | JobFailed():
                self._tiles.finish()

    def _on_finished(self, event: JobFinished) -> None:
        match event:
            case AugmentationSampled() | PlacesFound():
                return
            case ScoringFinished(model=model):
                self.scores[model] = event
                if not self._score_next():
                    self._workspace.project_changed.emit()
            case FilesWritten(files=files):
                self._workspace.message.emit(f"Written: {files[0]}", "", "info")
            case TuningFinished(best=best):
                self._models.use_newest()
                self._workspace.project_changed.emit()
                if best is not None:
                    text = (
                        f"{best.model} scored best: Dice {best.score:.2f}. Its settings are shown under Find settings."
                    )
                    self._workspace.message.emit(text, "", "info")
            case TrainingFinished():
                self._on_trained(event)
            case PredictionFinished(stopped=True):
                assert self.run is not None
                self._workspace.project_changed.emit()
                self._workspace.message.emit(format_kept(self.run), "", "info")
            case _:
                self._workspace.project_changed.emit()

    def _on_trained(self, event: TrainingFinished) -> None:
        """Choose which model is current, say so, and predict the view with the new one."""
        assert self.run is not None
        project, model, gain, worse = self._workspace.require_project(), event.model, None, False
        if self.run.number:
            try:
                gain = self._models.settle_round(model)
            except PathsegError as error:  # the new model stays
                self._workspace.message.emit(str(error), "", "warning")
        else:
            worse = self._models.settle(model)
        kept = not self.run.number or model in project.model_ids()
        if kept:
            with project.edit_state() as state:
                state.trained_labels = TrainedLabels(model, self.labels_at_start)
        self.run = replace(self.run, gain=gain, kept=kept)
        self._workspace.project_changed.emit()
        if not self.run.number:
            self._workspace.message.emit(*_announcement(event))
        if worse and self._models.compared is not None:
            text = f"{self._models.compared.warning} Keep, under Train, makes {model} current."
            self._workspace.message.emit(text, "", "warning")
        elif self._workspace.slide is not None and not self.run.live_leads:
            self._predict_view(model if kept else project.current_model or "")

    def _predict_view(self, model: str) -> None:
        """Predict what is on screen after a training, until another job is started."""
        self._require_idle()
        slide = self._workspace.require_slide()
        view = _centre(self._workspace.layers.visible_region(), _MAX_UNASKED_SIDE)
        self._predict(JobState(JobKind.PREDICT, model=model, slides=[slide.id], gives_way=True), view)

    def _score_next(self) -> bool:
        """Score the next waiting model; return whether there was one."""
        assert self.run is not None
        if not self.run.waiting:
            return False
        (model, *rest), slides = self.run.waiting, self.run.slides
        self.run = JobState(JobKind.SCORE, waiting=rest, slides=slides)
        self._score(model, slides)
        return True

    def _score(self, model: str, slides: list[str]) -> None:
        self._send(Score(project=self._folder, role=VAL, model=model, slides=slides, adapt=self.predict_config.adapt))

    def _on_worker_died(self, errors: str) -> None:
        self._ignored_jobs, self._stopping_detached = 0, False
        if self.run is None or not self.run.active:
            return
        self._tiles.finish()
        kept = f" The best of model {self.run.model} so far is kept." if self.run.has_best else ""
        self.run = replace(self.run, active=False, broken=True)
        text = f"{self.run.kind_label} stopped because its process ended.{kept} Press the button again to continue. "
        text += "If it happens again, Doctor (under ?) looks for the reason."
        self._workspace.message.emit(text, errors, "warning")
        self._workspace.project_changed.emit()
        self.run_changed.emit()

    def _start_training(self, run: JobState) -> None:
        """Save the masks, assign roles and create versions, then set the job that trains on them."""
        self._require_idle()
        self._editor.save_mask()
        assign_train_val_split(self._workspace.require_project())  # raises if there is nothing to learn from
        self._editor.create_versions(ROUND if run.number else TRAINING)
        self._workspace.project_changed.emit()  # roles may have been assigned
        self.labels_at_start, self.run = self._workspace.labelled_pixels(), run
        self._models.forget()
        self.began.emit()

    def _require_idle(self, *, writes: bool = True) -> None:
        """Raise if a job is still running or, for a job that `writes`, if the project is read-only.

        A job that gives way is stopped; what it has done is kept.
        """
        if writes:
            self._workspace.require_writable()
        if self._stopping_detached:
            raise PathsegError("The job of the closed project is still stopping. Press the button again in a moment.")
        if self.busy and self.run is not None:
            raise PathsegError(f"{self.run.title} is still running. Wait for it, or stop it first.")
        if self.run is not None and self.run.active:
            self._tiles.finish()
            self._stop_ignored()
            self.run = replace(self.run, active=False)

    def _stop_ignored(self) -> None:
        """Stop the running job, and ignore what it still reports."""
        self._ignored_jobs += 1
        self._worker.send(Stop(now=True))

    @property
    def _folder(self) -> str:
        return str(self._workspace.require_project().folder)

    def _send(self, command: StartJob) -> None:
        self._worker.send(command)
        self.run_changed.emit()


def _announcement(finished: TrainingFinished) -> tuple[str, str, str]:
    """Return the message about a new model: its text, no details, and its severity."""
    text = finished.text or f"{finished.model} is ready: Dice {finished.mean_dice:.2f} on the held-out slides."
    return text, "", "info" if finished.reliable and not finished.caveat else "warning"


def _centre(region: Region, side: int) -> Region:
    """Return the middle of a box, at most `side` pixels high and wide."""
    height, width = min(side, region.height), min(side, region.width)
    return Region(region.top + (region.height - height) // 2, region.left + (region.width - width) // 2, height, width)
