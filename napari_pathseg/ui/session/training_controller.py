"""Runs jobs in the worker (training, tuning, prediction, scoring) and handles their results.

Predictions are merged into the masks, where nothing is annotated.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from psygnal import Signal

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Command, Event, Note, PreviewReady, RequestPreview, SlideDone, Stop
from napari_pathseg.engine.search_space import TuneRequest
from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.jobs.protocol import (
    AugmentationSampled,
    JobFailed,
    JobFinished,
    Predict,
    SampleAugmentation,
    Score,
    ScoringFinished,
    StartJob,
    Train,
    TrainingFinished,
    Tune,
    TuningFinished,
)
from napari_pathseg.masks.edits import fill_from_model, merge_prediction
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.checks.trainability import assign_train_val_split
from napari_pathseg.projects.project_state import TrainedLabels
from napari_pathseg.projects.versions import TRAINING
from napari_pathseg.storage.atomic import load_json
from napari_pathseg.storage.portable import remove
from napari_pathseg.ui.session.job_state import JobKind, JobState, latest_training_run, load_run
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.workspace import Workspace


class Worker(Protocol):
    """The worker process as the controller uses it."""

    event: Any
    died: Any

    def start(self) -> None:
        """Start the process unless it is running."""

    def send(self, command: Command) -> None:
        """Send a command to the process."""


class TrainingController:
    """Runs one job at a time; `run_changed` is emitted when `run` changes."""

    run_changed = Signal()

    def __init__(self, workspace: Workspace, editor: MaskEditor, worker: Worker) -> None:
        self._workspace, self._editor, self._worker = workspace, editor, worker
        self._run: JobState | None = None
        self.last_training: JobState | None = None
        self._stopping_detached = False  # the job of a closed project is still stopping; its events are ignored
        self._labels_at_start: dict[str, list[int]] = {}  # labelled pixels when the training started
        self.scores: dict[str, dict[str, float]] = {}  # Dice by class, by model, on the same held-out slides
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

    def train(self, config: TrainConfig, parent: str | None = "latest") -> None:
        """Fine-tune a model; meanwhile the slide shows its predictions of the view."""
        self._start_training(JobState(JobKind.TRAIN, minutes=config.longest_minutes))
        self._send(Train(project=self._folder, config=config, parent=parent))
        self.request_preview()

    def resume(self, run: str) -> None:
        """Resume an interrupted training with its own settings."""
        stored = load_json(self._workspace.require_project().folder / "runs" / run / "config.json").get("config", {})
        config = TrainConfig.from_json(stored)
        before = load_run(self._workspace.require_project().folder / "runs" / run) or JobState(JobKind.TRAIN)
        self._start_training(
            replace(before, minutes=config.longest_minutes, active=True, stage="Starting", fraction=0.0)
        )
        self._send(Train(project=self._folder, config=config, resume=run))
        self.request_preview()

    def tune(self, vary: Sequence[str], config: TrainConfig, trials: int, search: str) -> None:
        """Compare trainings with different settings."""
        TuneRequest.read(vary, config, trials=trials, search=search)
        self._start_training(JobState(JobKind.TUNE, minutes=config.longest_minutes))
        self._send(Tune(project=self._folder, config=config, vary=list(vary), trials=trials, search=search))

    def preview_augmentation(self, config: TrainConfig, seed: int) -> None:
        """Have augmented samples drawn into the file `run.samples_path`."""
        self._require_idle()
        self._editor.save_mask()
        self.run = JobState(JobKind.PREVIEW)
        self._send(SampleAugmentation(project=self._folder, config=config, seed=seed))

    def predict(self, slides: Sequence[str], *, view: bool = False, model: str | None = None) -> None:
        """Predict slides with a model, the newest by default; with `view`, only what is on screen."""
        self._require_idle()
        self._editor.save_mask()
        names = self._workspace.require_project().model_ids()
        if not names:
            raise ProjectError(f"{self._workspace.require_project().folder.name} has no model yet. Train one first.")
        region = (
            self._workspace.layers.visible_region().finer(self._workspace.require_slide().downsample) if view else None
        )
        self.run = JobState(JobKind.PREDICT, model=model or names[-1])
        self._send(Predict(project=self._folder, model=self.run.model, slides=list(slides), region=region))

    def compare(self) -> None:
        """Score the two newest models on the same held-out slides."""
        self._require_idle(writes=False)
        self._editor.save_mask()
        models = self._workspace.require_project().model_ids()[-2:]
        self.run = JobState(JobKind.SCORE, waiting=models[1:])
        self._send(Score(project=self._folder, role="val", model=models[0]))

    def stop(self) -> None:
        """Stop the running job; a training keeps its best model."""
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
            self._worker.send(Stop())
            if self.run.has_best:
                self._workspace.message.emit(
                    f"{self.run.title} was stopped because its project was closed. Its best model is kept.", "", "info"
                )
        self.run, self.scores = None, {}
        self.run_changed.emit()

    def request_preview(self) -> None:
        """Ask a running training to predict what is on screen, now and as it progresses."""
        if self.run is None or not self.run.active or self.run.kind != JobKind.TRAIN:
            return
        if self._workspace.slide is not None:
            region = self._workspace.layers.visible_region()
            self._worker.send(RequestPreview(self._workspace.slide.id, region))

    # -- events of the worker

    def _on_event(self, event: Event) -> None:
        if self._stopping_detached:
            self._stopping_detached = not isinstance(event, JobFinished | JobFailed)
            return
        if self.run is None or self._workspace.project is None:
            return
        self.run = self.run.after(event)
        match event:
            case PreviewReady():
                _apply_preview(self._workspace, event)
            case SlideDone(slide=slide, region=region):
                _apply_prediction(self._workspace, self._editor, self.run.model, slide, region)
            case Note(text=text, warning=warning):
                self._workspace.message.emit(text, "", "warning" if warning else "info")
            case JobFinished():
                self._on_finished(event)
            case JobFailed(text=text, details=details) if self.run.kind != JobKind.PREVIEW:  # its panel shows it
                self._workspace.message.emit(text, details, "error")
        self.run_changed.emit()

    def _on_finished(self, event: JobFinished) -> None:
        match event:
            case AugmentationSampled():
                return
            case ScoringFinished(model=model, dice=dice):
                self.scores[model] = dice
                if not self._score_next():
                    self._workspace.project_changed.emit()
            case TuningFinished(best=best):
                self._workspace.project_changed.emit()
                if best is not None:
                    self._workspace.message.emit(
                        f"{best.model} scored best: Dice {best.score:.2f}. Its settings are shown under Find settings.",
                        "",
                        "info",
                    )
            case TrainingFinished(model=model, mean_dice=mean_dice):
                with self._workspace.require_project().edit_state() as state:
                    state.trained_labels = TrainedLabels(model, self._labels_at_start)
                self._workspace.project_changed.emit()
                self._workspace.message.emit(f"{model} is ready: Dice {mean_dice:.2f} on held-out slides.", "", "info")
                if self._workspace.slide is not None:
                    self.predict([self._workspace.slide.id], model=model)
            case _:
                self._workspace.project_changed.emit()

    def _score_next(self) -> bool:
        """Score the next waiting model; return whether there was one."""
        assert self.run is not None
        if not self.run.waiting:
            return False
        model, *rest = self.run.waiting
        self.run = JobState(JobKind.SCORE, waiting=rest)
        self._send(Score(project=self._folder, role="val", model=model))
        return True

    def _on_worker_died(self, errors: str) -> None:
        self._stopping_detached = False
        if self.run is None or not self.run.active:
            return
        kept = f" The best of model {self.run.model} so far is kept." if self.run.has_best else ""
        self.run = replace(self.run, active=False, broken=True)
        self._workspace.message.emit(
            f"{self.run.kind_label} stopped because its process ended.{kept} Press the button again to continue.",
            errors,
            "warning",
        )
        self._workspace.project_changed.emit()
        self.run_changed.emit()

    def _start_training(self, run: JobState) -> None:
        """Save the masks, assign roles and create versions, then set the job that trains on them."""
        self._require_idle()
        self._editor.save_mask()
        assign_train_val_split(self._workspace.require_project())  # raises if there is nothing to learn from
        self._editor.create_versions(TRAINING)
        self._workspace.project_changed.emit()  # roles may have been assigned
        self._labels_at_start, self.run = self._workspace.labelled_pixels(), run

    def _require_idle(self, *, writes: bool = True) -> None:
        """Raise if a job is still running or, for a job that `writes`, if the project is read-only."""
        if writes:
            self._workspace.require_writable()
        if self._stopping_detached:
            raise PathsegError("The job of the closed project is still stopping. Press the button again in a moment.")
        if self.run is not None and self.run.active:
            raise PathsegError(f"{self.run.title} is still running. Wait for it, or stop it first.")

    @property
    def _folder(self) -> str:
        return str(self._workspace.require_project().folder)

    def _send(self, command: StartJob) -> None:
        self._worker.send(command)
        self.run_changed.emit()


def _apply_preview(workspace: Workspace, preview: PreviewReady) -> None:
    """Merge a training's prediction of the view into the mask in view, where nothing is annotated."""
    region = preview.region
    if workspace.mask is None or workspace.slide is None or workspace.slide.id != preview.slide:
        return
    path = Path(preview.path)
    try:
        classes = np.load(path, allow_pickle=False)
        remove(path)
    except FileNotFoundError:
        return  # a later preview reused the file name and was shown already
    if workspace.mask.operations.running is not None:
        return  # the running operation has priority; another preview follows
    if classes.shape != (region.height, region.width):
        return  # a later preview overwrote the file; its event follows
    if workspace.slide.complete:
        found = np.where(classes > BACKGROUND, 255, 0).astype(np.uint8)
        workspace.layers.show_probability(region, partial(_crop, found, region), visible=True)
    else:
        complete = workspace.slide.complete_in(region)
        locked = workspace.locked_classes
        workspace.refresh_mask(fill_from_model(workspace.mask, region, classes, complete, locked))


def _apply_prediction(workspace: Workspace, editor: MaskEditor, model: str, slide_id: str, region: Region) -> None:
    """Merge a model's prediction of a region into a slide's mask, where nothing is annotated."""
    project = workspace.require_project()
    record = project.slide(slide_id)
    prediction = project.find_prediction(model, slide_id)
    if prediction is None:
        return
    if workspace.mask is not None and workspace.slide is not None and workspace.slide.id == slide_id:
        workspace.layers.show_probability(
            region.clip(record.mask_shape), partial(_foreground_probability, prediction), visible=record.complete
        )
        if not record.complete:
            editor.run(merge_prediction(prediction, region, record.complete_in, workspace.locked_classes))
    elif not record.complete:
        with project.open_mask(slide_id) as mask:
            mask.run(merge_prediction(prediction, region, record.complete_in, workspace.locked_classes))


def _crop(pixels: UInt8Array, region: Region, part: Region) -> UInt8Array:
    """Return the pixels of a part of `region`."""
    return pixels[part.shift(-region.top, -region.left).slices]


def _foreground_probability(prediction: Prediction, region: Region) -> UInt8Array:
    """Return the probability of anything but Background in a region; 0 where nothing was predicted."""
    background = np.asarray(prediction.probabilities[(0, *region.slices)])
    return np.where(prediction.read(region) == UNLABELLED, np.uint8(0), 255 - background).astype(np.uint8)
