"""The outcome of validations: the curves of a run, its best model, and warnings.

`RunHistory` writes the bundle of the best weights after each validation; `TrainingDiagnostics`
explains what goes wrong.
"""

from collections.abc import Sequence
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

_OVERFIT_GAP = 0.25  # Dice by which validation may fall behind training
_EARLY_STEPS = 60  # a younger network often predicts a single class


class RunHistory:
    """The curves of a run, and its best weights on disk.

    Attributes
    ----------
    best, best_step
        Validation scores of the best weights so far, and their step.
    stale
        Validations since the best one.
    curves
        One row for each validation.
    """

    def __init__(self, project: Project, plan: TrainingPlan) -> None:
        self._project, self._plan = project, plan
        self._folder = project.folder / "models" / plan.model_id
        self.best: Confusion | None = None
        self.best_step = 0
        self.stale = 0
        self.curves: list[dict[str, Any]] = []

    def record(self, state: TrainState, confusion: Confusion, seconds: float, learning_rate: float) -> Validated:
        """Record a validation; if its weights are the best so far, they are on disk on return."""
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
                "rate": learning_rate,
                "training_dice": state.training_dice,
                "dice": dice,
                **by_class,
            }
        )
        if best:
            self.best, self.best_step = confusion, state.step
            self._save(state.ema_model.state_dict(), state.step, seconds)
        return Validated(state.step, seconds, state.loss, by_class, dice, best, learning_rate)

    def load_best_weights(self) -> dict[str, Tensor]:
        """Read the best weights so far."""
        return load_file(self._folder / "weights.safetensors")

    def load_newer_weights(self) -> dict[str, Tensor] | None:
        """Read the best weights if they were written after the checkpoint that is resumed; else return None."""
        if not (self._folder / "bundle.json").exists() or load_bundle(self._folder).steps <= self.best_step:
            return None
        self.best_step = load_bundle(self._folder).steps
        return self.load_best_weights()

    def finish(self, steps: int, seconds: float, scores: Confusion) -> Bundle:
        """Write the final bundle of the best weights, with their `scores` on all validation tiles."""
        self.best = scores
        return self._save(None, steps, seconds, finished=True)

    def numbers(self) -> dict[str, Any]:
        """Return the history for a checkpoint, as plain values."""
        assert self.best is not None
        return {
            "best": self.best.matrix.tolist(),
            "best_step": self.best_step,
            "stale": self.stale,
            "curves": self.curves,
        }

    def load_numbers(self, kept: dict[str, Any]) -> None:
        """Continue from :meth:`numbers`."""
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
        save_bundle(self._folder, bundle, weights, self.curves)
        return bundle


class TrainingDiagnostics:
    """Warnings about a training: each kind of problem is reported once, with a remedy."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = class_names
        self._reported: set[str] = set()

    def check(self, confusion: Confusion, training_dice: float | None, step: int) -> str | None:
        """Return a warning after a validation, or None.

        Parameters
        ----------
        confusion
            Of the validation tiles.
        training_dice
            Mean Dice of recent training tiles; None if not known yet.
        step
            Steps made so far.
        """
        predicted = np.flatnonzero(confusion.matrix.sum(axis=0))
        if step >= _EARLY_STEPS and len(predicted) == 1 and sum(confusion.present) > 1:
            name = self._names[int(predicted[0])]
            return self._once(
                "one class",
                f"The network predicts only {name}. Outline more of the other classes, set class_weights to "
                "balanced, or lower learning_rate.",
            )
        dice = mean_dice(confusion)
        if training_dice is not None and step >= _EARLY_STEPS and training_dice - dice > _OVERFIT_GAP:
            return self._once(
                "overfitting",
                f"The network overfits: Dice {training_dice:.2f} on the training slides, {dice:.2f} on the validation "
                "slides. Annotate slides of more patients, or raise stain_jitter and weight_decay.",
            )
        return None

    def _once(self, kind: str, text: str) -> str | None:
        if kind in self._reported:
            return None
        self._reported.add(kind)
        return text
