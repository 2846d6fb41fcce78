"""What a run leaves on disk: its curves, its best model, and at the end the model's story."""

from typing import Any

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from napari_pathseg.engine.bundle import Bundle, load_bundle
from napari_pathseg.engine.bundle_io import save_bundle
from napari_pathseg.engine.evaluation.metrics import Confusion, mean_dice
from napari_pathseg.engine.events import Validated
from napari_pathseg.engine.training.plan import TrainingPlan
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.projects.project import Project


class RunHistory:
    """The curves of a run and the best of it.

    Attributes
    ----------
    best, best_step
        Scores of the best weights so far on the held-out tiles, and their step.
    stale
        Validations since then.
    curves
        A row for each validation.
    """

    def __init__(self, project: Project, plan: TrainingPlan) -> None:
        self._project, self._plan = project, plan
        self.best: Confusion | None = None
        self.best_step = 0
        self.stale = 0
        self.curves: list[dict[str, Any]] = []

    def validated(self, state: TrainState, confusion: Confusion, seconds: float, rate: float) -> Validated:
        """Take note of a validation; weights that are the best so far are on disk when it returns."""
        dice = mean_dice(confusion)
        best = self.best is None or dice > mean_dice(self.best)
        self.stale = 0 if best else self.stale + 1
        scores = confusion.scores(self._plan.class_names)
        by_class = {name: values["dice"] for name, values in scores.items()}
        self.curves.append(
            {
                "step": state.step,
                "seconds": round(seconds, 2),
                "loss": state.loss,
                "rate": rate,
                "training_dice": state.training_dice,
                "dice": dice,
                **by_class,
            }
        )
        if best:
            self.best, self.best_step = confusion, state.step
            self._save(state.ema_model.state_dict(), state.step, seconds)
        return Validated(state.step, seconds, state.loss, by_class, dice, best, rate)

    def load_best_weights(self) -> dict[str, Tensor]:
        """Return the best weights so far, from the disk."""
        return load_file(self._project.folder / "models" / self._plan.model_id / "weights.safetensors")

    def load_newer_weights(self) -> dict[str, Tensor] | None:
        """Return weights that were written after the state from which a run goes on, None if there are none."""
        folder = self._project.folder / "models" / self._plan.model_id
        if not (folder / "bundle.json").exists() or load_bundle(folder).steps <= self.best_step:
            return None
        self.best_step = load_bundle(folder).steps
        return self.load_best_weights()

    def finish(self, steps: int, seconds: float, scores: Confusion) -> Bundle:
        """Write the model's last word and return it; `scores` are of its weights on all that is held out."""
        self.best = scores
        return self._save(None, steps, seconds, finished=True)

    def numbers(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it, as plain values."""
        assert self.best is not None
        return {
            "best": self.best.matrix.tolist(),
            "best_step": self.best_step,
            "stale": self.stale,
            "curves": self.curves,
        }

    def load_numbers(self, kept: dict[str, Any]) -> None:
        """Go on from :meth:`numbers`."""
        self.best = Confusion(np.array(kept["best"], np.int64))
        self.best_step, self.stale, self.curves = kept["best_step"], kept["stale"], kept["curves"]

    def _save(self, weights: dict[str, Tensor] | None, steps: int, seconds: float, *, finished: bool = False) -> Bundle:
        assert self.best is not None
        plan = self._plan
        bundle = Bundle(
            id=plan.model_id,
            parent=plan.parent_id,
            run=plan.run.name,
            network=plan.spec,
            classes=[{"name": spec.name, "color": spec.color} for spec in self._project.classes],
            mpp=self._project.mpp,
            config=plan.config.to_json(),
            scores=self.best.scores(plan.class_names),
            mean_dice=mean_dice(self.best),
            train=[entry.id for entry in plan.train],
            val=[entry.id for entry in plan.val],
            steps=steps,
            seconds=seconds,
            finished=finished,
        )
        save_bundle(self._project.folder / "models" / bundle.id, bundle, weights, self.curves)
        return bundle
