"""What the worker does for a session: train, find settings, predict, score; and what comes back of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from psygnal import Signal

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.search_space import TuneRequest
from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.checks.trainability import assign_train_val_split
from napari_pathseg.projects.project_state import TrainedLabels
from napari_pathseg.projects.versions import TRAINING
from napari_pathseg.storage.atomic import load_json
from napari_pathseg.ui.session.apply_predictions import apply_prediction, apply_preview
from napari_pathseg.ui.session.job_state import Run
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.run_history import newest_lesson, past_run
from napari_pathseg.ui.session.workspace import Workspace


class Worker(Protocol):
    """What a session needs of the worker process."""

    event: Any
    died: Any

    def start(self) -> None:
        """Start it unless it runs."""

    def send(self, message: dict[str, Any]) -> None:
        """Say something to it."""


class TrainingController:
    """The jobs of a session, one at a time; `run_changed` tells that `run` did."""

    run_changed = Signal()

    def __init__(self, workspace: Workspace, editor: MaskEditor, worker: Worker) -> None:
        self._workspace, self._editor, self._worker = workspace, editor, worker
        self._run: Run | None = None
        self.last_training: Run | None = None
        self._ending = False  # whether the worker still ends, and tells of, a job of a project that was closed
        self._learnt: dict[str, list[int]] = {}  # what a person had labelled when the training began
        self.scores: dict[str, dict[str, float]] = {}  # Dice by class, by model, on the same held-out slides
        worker.event.connect(self._hear)
        worker.died.connect(self._worker_died)

    def warm_up(self) -> None:
        """Start the worker, so that the first training need not wait for it."""
        self._worker.start()

    @property
    def run(self) -> Run | None:
        """What runs, or ran last; `last_training` is the last in which a model learnt."""
        return self._run

    @run.setter
    def run(self, run: Run | None) -> None:
        self._run = run
        if run is None or run.learns:
            self.last_training = run

    @property
    def active(self) -> bool:
        """Whether something runs."""
        return self.run is not None and self.run.active

    def train(self, config: TrainConfig, parent: str | None = "latest") -> None:
        """Fine-tune a model in the worker; the view's overlay follows."""
        self._begin_learning(Run("train", minutes=config.longest_minutes))
        self._send("train", config=config.to_json(), parent=parent)
        self.request_preview()

    def resume(self, run: str) -> None:
        """Go on with an interrupted training, with its own settings."""
        kept = load_json(self._workspace.require_project().folder / "runs" / run / "config.json").get("config", {})
        minutes = TrainConfig.from_json(kept).longest_minutes
        before = past_run(self._workspace.require_project().folder / "runs" / run) or Run("train")
        self._begin_learning(replace(before, minutes=minutes, active=True, stage="Starting", fraction=0.0))
        self._send("train", config=kept, parent=None, resume=run)
        self.request_preview()

    def tune(self, vary: Sequence[str], config: TrainConfig, trials: int, search: str) -> None:
        """Train with each of many settings and compare; see `TuneRequest.read`, which checks them."""
        TuneRequest.read(vary, config, trials=trials, search=search)
        self._begin_learning(Run("tune", minutes=config.longest_minutes))
        self._send("tune", config=config.to_json(), vary=list(vary), trials=trials, search=search)

    def preview_augmentation(self, config: TrainConfig, seed: int) -> None:
        """Have samples of the variation drawn; the run's `picture` is where they lie."""
        self._ready()
        self._editor.save_mask()
        self.run = Run("preview")
        self._send("preview", config=config.to_json(), seed=seed)

    def predict(self, slides: Sequence[str], *, view: bool = False, model: str | None = None) -> None:
        """Predict slides in the worker with the newest model; of one slide maybe only the view."""
        self._ready()
        self._editor.save_mask()
        names = self._workspace.require_project().model_ids()
        if not names:
            raise ProjectError(f"{self._workspace.require_project().folder.name} has no model yet. Train one first.")
        region = (
            self._workspace.layers.visible_region().finer(self._workspace.require_slide().downsample) if view else None
        )
        self.run = Run("predict", model=model or names[-1])
        self._send("predict", model=self.run.model, slides=list(slides), region=region)

    def compare(self) -> None:
        """Score the two newest models on the same held-out slides."""
        self._ready(writes=False)
        self._editor.save_mask()
        models = self._workspace.require_project().model_ids()[-2:]
        self.run = Run("score", waiting=models[1:])
        self._send("score", role="val", model=models[0])

    def stop(self) -> None:
        """End what runs; a training keeps its best."""
        if self.run is not None and self.run.active:
            self.run = replace(self.run, stopping=True)
            self._worker.send({"command": "stop"})
            self.run_changed.emit()

    def restore_last_run(self) -> None:
        """Show again how the newest model of the project that was opened learnt."""
        self.last_training = newest_lesson(self._workspace.require_project())
        self.run_changed.emit()

    def detach(self) -> None:
        """Let go of what runs and of what was scored, for the project is closed; a training keeps its best."""
        if self.run is not None and self.run.active:
            self._ending = True
            self._worker.send({"command": "stop"})
            if self.run.has_best:
                self._workspace.message.emit(
                    f"{self.run.title} was stopped with its project; its best is kept.", "", "info"
                )
        self.run, self.scores = None, {}
        self.run_changed.emit()

    def request_preview(self) -> None:
        """Ask a training to predict what is on screen, now and as it learns."""
        if self.run is None or not self.run.active or self.run.kind != "train":
            return
        if self._workspace.slide is not None:
            region = self._workspace.layers.visible_region()
            self._worker.send({"command": "show", "slide": self._workspace.slide.id, "region": list(region)})

    # -- what the worker says

    def _hear(self, message: dict[str, Any]) -> None:
        if self._ending:
            self._ending = message["event"] not in ("finished", "failed")
            return
        if self.run is None or self._workspace.project is None:
            return
        self.run = self.run.hear(message)
        match message["event"]:
            case "view":
                apply_preview(self._workspace, message)
            case "slidedone":
                apply_prediction(
                    self._workspace, self._editor, self.run.model, message["slide"], Region(*message["region"])
                )
            case "note":
                self._workspace.message.emit(message["text"], "", "warning" if message.get("warning") else "info")
            case "finished":
                self._finished(message)
            case "failed" if self.run.kind != "preview":  # who asked for that shows it
                self._workspace.message.emit(message["text"], message["details"], "error")
        self.run_changed.emit()

    def _finished(self, message: dict[str, Any]) -> None:
        result = message["result"]
        match message["command"]:
            case "preview":
                return
            case "score":
                self.scores[result["model"]] = {name: values["dice"] for name, values in result["scores"].items()}
                if self._score_next():
                    return
            case "train":
                with self._workspace.require_project().edit_state() as state:
                    state.trained_labels = TrainedLabels(result["id"], self._learnt)
        self._workspace.project_changed.emit()
        if message["command"] == "tune" and (best := result["best"]) is not None:
            text = (
                f"{best['model']} scored best, Dice {best['score']:.2f}; Find settings shows what it was trained with."
            )
            self._workspace.message.emit(text, "", "info")
        if message["command"] == "train":
            self._workspace.message.emit(
                f"{result['id']} is ready: Dice {result['mean_dice']:.2f} on held-out slides.", "", "info"
            )
            if self._workspace.slide is not None:
                self.predict([self._workspace.slide.id], model=result["id"])

    def _score_next(self) -> bool:
        """Score the next model that waits for it; return whether there was one."""
        assert self.run is not None
        if not self.run.waiting:
            return False
        model, *rest = self.run.waiting
        self.run = Run("score", waiting=rest)
        self._send("score", role="val", model=model)
        return True

    def _worker_died(self, errors: str) -> None:
        self._ending = False
        if self.run is None or not self.run.active:
            return
        kept = f" The best of model {self.run.model} so far is kept." if self.run.has_best else ""
        self.run = replace(self.run, active=False, broken=True)
        self._workspace.message.emit(
            f"{self.run.deed} was ended from outside.{kept} Press the button again to go on.", errors, "warning"
        )
        self._workspace.project_changed.emit()
        self.run_changed.emit()

    def _begin_learning(self, run: Run) -> None:
        """Get ready for a run that learns from the masks as they are now."""
        self._ready()
        self._editor.save_mask()
        assign_train_val_split(self._workspace.require_project())  # raises where nothing can be learnt
        self._editor.create_versions(TRAINING)
        self._workspace.project_changed.emit()  # roles may have been settled
        self._learnt, self.run = self._workspace.labelled_pixels(), run

    def _ready(self, *, writes: bool = True) -> None:
        if writes:
            self._workspace.require_writable()
        if self._ending:
            raise PathsegError("What ran in the project before is still ending. Press the button again in a moment.")
        if self.run is not None and self.run.active:
            raise PathsegError(f"{self.run.title} still runs. Wait for it, or stop it first.")

    def _send(self, command: str, **values: Any) -> None:
        self._worker.send({"command": command, "project": str(self._workspace.require_project().folder), **values})
        self.run_changed.emit()
