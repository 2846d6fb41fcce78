"""What the worker does for a session: train, predict, score; and what comes back of it.

The worker writes models and predictions; the masks are the window's, so that a prediction
enters them here, where no person has spoken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from psygnal import Signal

from napari_pathseg.config import TrainConfig
from napari_pathseg.data.classes import BACKGROUND, UNLABELLED
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import Provenance
from napari_pathseg.data.mask.edits import fill_from_model, take_prediction
from napari_pathseg.data.readiness import learning_slides
from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.ui.run import Run

if TYPE_CHECKING:
    from napari_pathseg.ui.session import Session


class Worker(Protocol):
    """What a session needs of the worker process."""

    event: Any
    died: Any

    def start(self) -> None:
        """Start it unless it runs."""

    def send(self, message: dict[str, Any]) -> None:
        """Say something to it."""


def labelled_pixels(session: Session) -> dict[str, list[int]]:
    """Return, by slide, whether it is complete and how many pixels of each class a person stands for."""
    classes = len(session.opened.classes)
    return {
        name: [int(entry.complete), *session.counts(name)[1 : classes + 1, Provenance.ACCEPTED :].sum(axis=1).tolist()]
        for name, entry in session.opened.slides.items()
    }


class Learning:
    """The jobs of a session, one at a time; `run_changed` tells that `run` did."""

    run_changed = Signal()

    def __init__(self, session: Session, worker: Worker) -> None:
        self._session, self._worker = session, worker
        self.run: Run | None = None
        self._ending = False  # whether the worker still ends, and tells of, a job of a project that was closed
        self._learnt: dict[str, list[int]] = {}  # what a person had labelled when the training began
        self.scores: dict[str, dict[str, float]] = {}  # Dice by class, by model, on the same held-out slides
        worker.event.connect(self._hear)
        worker.died.connect(self._worker_died)

    def warm_up(self) -> None:
        """Start the worker, so that the first training need not wait for it."""
        self._worker.start()

    @property
    def active(self) -> bool:
        """Whether something runs."""
        return self.run is not None and self.run.active

    def train(self, config: TrainConfig, parent: str | None = "latest") -> None:
        """Fine-tune a model in the worker; the view's overlay follows."""
        self._ready()
        self._session.save_mask()
        learning_slides(self._session.opened)  # raises where nothing can be learnt
        self._session.project_changed.emit()  # roles may have been settled
        self._learnt = labelled_pixels(self._session)
        self.run = Run("train", minutes=config.minutes)
        self._send("train", config=config.to_json(), parent=parent)
        self.show_what_is_on_screen()

    def predict(self, slides: Sequence[str], *, view: bool = False, model: str | None = None) -> None:
        """Predict slides in the worker with the newest model; of one slide maybe only the view."""
        self._ready()
        self._session.save_mask()
        names = self._session.opened.model_ids()
        if not names:
            raise ProjectError(f"{self._session.opened.folder.name} has no model yet. Train one first.")
        region = self._session.layers.view_region().finer(self._session.in_view.downsample) if view else None
        self.run = Run("predict", model=model or names[-1])
        self._send("predict", model=self.run.model, slides=list(slides), region=region)

    def compare(self) -> None:
        """Score the two newest models on the same held-out slides."""
        self._ready()
        self._session.save_mask()
        models = self._session.opened.model_ids()[-2:]
        self.run = Run("score", waiting=models[1:])
        self._send("score", role="val", model=models[0])

    def stop(self) -> None:
        """End what runs; a training keeps its best."""
        if self.run is not None and self.run.active:
            self.run = replace(self.run, stopping=True)
            self._worker.send({"command": "stop"})
            self.run_changed.emit()

    def leave(self) -> None:
        """Let go of what runs and of what was scored, for the project is closed; a training keeps its best."""
        if self.run is not None and self.run.active:
            self._ending = True
            self._worker.send({"command": "stop"})
            if self.run.has_best:
                self._session.said.emit(f"{self.run.title} was stopped with its project; its best is kept.", "", "info")
        self.run, self.scores = None, {}
        self.run_changed.emit()

    def show_what_is_on_screen(self) -> None:
        """Ask a training to predict what is on screen, now and as it learns."""
        if self.run is None or not self.run.active or self.run.kind != "train":
            return
        if self._session.slide is not None:
            region = self._session.layers.view_region()
            self._worker.send({"command": "show", "slide": self._session.slide.id, "region": list(region)})

    # -- what the worker says

    def _hear(self, message: dict[str, Any]) -> None:
        if self._ending:
            self._ending = message["event"] not in ("finished", "failed")
            return
        if self.run is None or self._session.project is None:
            return
        self.run = self.run.hear(message)
        match message["event"]:
            case "view":
                self._take_view(message)
            case "slidedone":
                self._take_slide(message["slide"], Region(*message["region"]))
            case "note":
                self._session.said.emit(message["text"], "", "info")
            case "finished":
                self._finished(message)
            case "failed":
                self._session.said.emit(message["text"], message["details"], "error")
        self.run_changed.emit()

    def _take_view(self, message: dict[str, Any]) -> None:
        """Let the mask in view take in what a model in training sees."""
        session, region = self._session, Region(*message["region"])
        if session.mask is None or session.slide is None or session.slide.id != message["slide"]:
            return
        path = Path(message["path"])
        classes = np.load(path, allow_pickle=False)
        path.unlink()
        if classes.shape != (region.height, region.width):
            return  # a later view has been written meanwhile, its event follows
        if session.slide.complete:
            found = np.where(classes > BACKGROUND, 255, 0).astype(np.uint8)
            session.layers.show_probability(region, found, visible=True)
        else:
            session.mask_edited(fill_from_model(session.mask, region, classes))

    def _take_slide(self, slide_id: str, region: Region) -> None:
        """Let a slide's mask take in what was predicted, as far as no person has spoken."""
        session, project = self._session, self._session.opened
        entry = project.slide(slide_id)
        prediction = project.find_prediction(self.run.model, slide_id) if self.run is not None else None
        if prediction is None:
            return
        whole = Region(0, 0, *entry.mask_shape)
        if session.mask is not None and session.slide is not None and session.slide.id == slide_id:
            likely = 255 - np.asarray(prediction.probabilities[0])
            likely[prediction.read(whole) == UNLABELLED] = 0
            session.layers.show_probability(whole, likely, visible=entry.complete)
            if not entry.complete:
                session.mask_edited(take_prediction(session.mask, prediction, region))
        elif not entry.complete:
            with project.open_mask(slide_id) as mask:
                take_prediction(mask, prediction, region)

    def _finished(self, message: dict[str, Any]) -> None:
        result = message["result"]
        if message["command"] == "score":
            self.scores[result["model"]] = {name: values["dice"] for name, values in result["scores"].items()}
            assert self.run is not None
            if self.run.waiting:
                model, *rest = self.run.waiting
                self.run = Run("score", waiting=rest)
                self._send("score", role="val", model=model)
                return
        if message["command"] == "train":
            self._session.opened.remember("learnt", {"model": result["id"], "pixels": self._learnt})
        self._session.project_changed.emit()
        if message["command"] == "train":
            self._session.said.emit(
                f"{result['id']} is ready: Dice {result['mean_dice']:.2f} on held-out slides.", "", "info"
            )
            if self._session.slide is not None:
                self.predict([self._session.slide.id], model=result["id"])

    def _worker_died(self, errors: str) -> None:
        self._ending = False
        if self.run is None or not self.run.active:
            return
        kept = f" The best of model {self.run.model} so far is kept." if self.run.has_best else ""
        what = {"train": "Training", "predict": "Predicting", "score": "Scoring"}[self.run.kind]
        self.run = replace(self.run, active=False, broken=True)
        self._session.said.emit(
            f"{what} was ended from outside.{kept} Press the button again to go on.", errors, "warning"
        )
        self._session.project_changed.emit()
        self.run_changed.emit()

    def _ready(self) -> None:
        if self._ending:
            raise PathsegError("What ran in the project before is still ending. Press the button again in a moment.")
        if self.run is not None and self.run.active:
            raise PathsegError(f"{self.run.title} still runs. Wait for it, or stop it first.")

    def _send(self, command: str, **values: Any) -> None:
        self._worker.send({"command": command, "project": str(self._session.opened.folder), **values})
        self.run_changed.emit()
