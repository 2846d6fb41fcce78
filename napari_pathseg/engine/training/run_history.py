"""Results of validations: the curves of a run, its best model, and warnings.

`RunHistory` writes the bundle of the best weights after each validation; `TrainingDiagnostics`
reports problems of the training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from napari_pathseg.engine.bundle import Bundle, load_bundle
from napari_pathseg.engine.bundle_io import save_bundle, save_weights
from napari_pathseg.engine.evaluation.metrics import Confusion, collapsed_class, mean_dice
from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.engine.evaluation.validation import Coverage, Validation
from napari_pathseg.engine.events import Validated
from napari_pathseg.engine.training.curves_figure import save_curves_figure
from napari_pathseg.engine.training.plan import TrainingPlan
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.projects.held_out_parts import parts_to_json
from napari_pathseg.projects.model_weights import WEIGHTS
from napari_pathseg.projects.patients import count_patients
from napari_pathseg.projects.project import Project
from napari_pathseg.slides.look import Look
from napari_pathseg.storage.portable import remove_tree

_OVERFIT_GAP = 0.14  # largest accepted difference of mean Dice, Background included, between training and validation
_EARLY_STEPS = 60  # before this step, a network often predicts a single class
_COLLAPSE_REMEDY = (
    "Train longer, outline more of the other classes, set class_weights to balanced, or lower learning_rate."
)


class _CurveRow(NamedTuple):
    """The columns of ``curves.csv`` before those of the classes; `rate` is the learning rate."""

    step: int
    seconds: float
    loss: float | None
    rate: float
    training_dice: float | None
    dice: float
    validation_loss: float | None
    training_accuracy: float | None
    accuracy: float


class RunHistory:
    """The curves of a run, and its best weights on disk.

    Attributes
    ----------
    best, best_step
        Validation scores of the best weights so far, and their step.
    coverage
        The part of the held-out tiles that they cover.
    slides
        The best weights' scores on each slide.
    stale
        Validations since the best one.
    curves
        One row for each validation.
    folder
        The folder of the model.
    looks
        How the training slides look, once that was measured.
    labels
        A hash of the labels that are learnt and scored.
    """

    def __init__(self, project: Project, plan: TrainingPlan) -> None:
        self._project, self._plan = project, plan
        self.folder = project.folder / "models" / plan.model_id
        self.best: Confusion | None = None
        self.best_step, self.labels = 0, ""
        self.coverage = Coverage(0, 0)
        self.slides: Mapping[str, SlideScore] = {}
        self._base_slides: Mapping[str, SlideScore] = {}
        self.stale = 0
        self.looks: dict[str, Look] = {}
        self._last_pass = False
        self.curves: list[dict[str, Any]] = []
        self._dice_columns = dice_columns(plan.class_names)

    @property
    def is_copy(self) -> bool:
        """Whether nothing that was learnt is better than the parent's weights, which are the best then."""
        return self._plan.parent_id is not None and self.best_step == 0

    def record(self, state: TrainState, found: Validation, seconds: float, learning_rate: float) -> Validated:
        """Record what a validation of `state` found; if its weights are the best so far, they are on disk on return.

        They are a model of the project once a step was made.
        """
        confusion, dice = found.confusion, mean_dice(found.confusion)
        best = self.best is None or dice > mean_dice(self.best)
        self.stale = 0 if best else self.stale + 1
        scores = confusion.scores(self._plan.class_names)
        by_class = {name: values["dice"] for name, values in scores.items()}
        row = _CurveRow(
            step=state.step,
            seconds=round(seconds, 2),
            loss=state.loss,
            rate=learning_rate,
            training_dice=state.training_dice,
            dice=dice,
            validation_loss=found.loss,
            training_accuracy=state.training_accuracy,
            accuracy=confusion.pixel_accuracy,
        )
        dice_by_column = {self._dice_columns[name]: value for name, value in by_class.items()}
        self.curves.append(row._asdict() | dice_by_column)
        if best:
            self.best, self.best_step, self.coverage = confusion, state.step, found.coverage
            self.slides = found.slides
            save_weights(self.folder, state.ema_model.state_dict())
            if state.step > 0:  # before, it is no new model: the parent's weights, or untrained ones
                self._save(state.step, seconds)
        more = {"accuracy": confusion.pixel_accuracy, "validation_loss": found.loss}
        tiles = found.coverage.tiles
        return Validated(state.step, seconds, state.loss, by_class, dice, best, learning_rate, tiles, **more)

    def load_best_weights(self) -> dict[str, Tensor]:
        """Read the best weights so far."""
        return load_file(self.folder / WEIGHTS)

    def load_newer_weights(self) -> dict[str, Tensor] | None:
        """Read the best weights if they are newer than the resumed checkpoint; otherwise return None."""
        if not (self.folder / "bundle.json").exists() or load_bundle(self.folder).steps <= self.best_step:
            return None
        self.best_step = load_bundle(self.folder).steps
        return self.load_best_weights()

    def finish(self, steps: int, seconds: float, found: Validation, *, last_pass: bool = False) -> Bundle:
        """Write the final bundle of the best weights, with what their last validation found."""
        self.best, self.coverage, self._last_pass = found.confusion, found.coverage, last_pass
        self.slides, self._base_slides = found.slides, found.base_slides
        return self._save(steps, seconds, finished=True)

    def discard(self) -> None:
        """Delete the run and its weights: it made no step, so there is nothing to resume."""
        for folder in (self.folder, self._plan.run):
            remove_tree(folder)

    def numbers(self) -> dict[str, Any]:
        """Return the history as JSON values for a checkpoint."""
        assert self.best is not None
        return {
            "best": self.best.matrix.tolist(),
            "best_step": self.best_step,
            "coverage": list(self.coverage),
            "slides": {slide: asdict(score) for slide, score in self.slides.items()},
            "stale": self.stale,
            "curves": self.curves,
        }

    def load_numbers(self, numbers: dict[str, Any]) -> None:
        """Continue from :meth:`numbers`."""
        self.best = Confusion(np.array(numbers["best"], np.int64))
        self.coverage = Coverage(*numbers.get("coverage", (0, 0)))
        self.slides = {slide: SlideScore(**score) for slide, score in numbers.get("slides", {}).items()}
        self.best_step, self.stale = numbers["best_step"], numbers["stale"]
        self.curves = [self._repaired(row) for row in numbers["curves"]]

    def _repaired(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row of the curves; older versions wrote the Dice of a class "loss" into the column of the loss."""
        columns = {
            name: column
            for name, column in self._dice_columns.items()
            if name != column and name in row and column not in row
        }
        return {columns.get(key, key): value for key, value in row.items()}

    def _save(self, steps: int, seconds: float, *, finished: bool = False) -> Bundle:
        assert self.best is not None
        plan = self._plan
        bundle = Bundle(
            id=plan.model_id,
            parent=plan.parent_id,
            run=plan.run.name,
            network=plan.spec,
            classes=self._project.classes.slots,
            mpp=None if all(record.mpp is None for record in plan.train) else self._project.mpp,
            config=plan.config.to_json(),
            scores=self.best.scores(plan.class_names),
            mean_dice=mean_dice(self.best),
            scored_tiles=self.coverage.tiles,
            held_out_tiles=self.coverage.of,
            collapsed=collapsed_class(self.best, plan.class_names) if finished else "",
            train=[record.id for record in plan.train],
            val=[record.id for record in plan.val],
            steps=steps,
            seconds=seconds,
            finished=finished,
            origin=plan.origin,
            held_out=parts_to_json(plan.held_out),
            learnt_before=list(plan.learnt_before),
            last_pass=self._last_pass,
            is_copy=finished and self.is_copy,
            looks=self.looks,
            slide_scores=dict(self.slides),
            base=plan.base if self._base_slides else "",
            base_scores=dict(self._base_slides),
            labels=self.labels,
            train_patients=count_patients(plan.train),
            val_patients=count_patients(plan.val),
        )
        save_bundle(self.folder, bundle, self.curves)
        save_curves_figure(self.folder, self.curves)
        return bundle


def dice_columns(class_names: Sequence[str]) -> dict[str, str]:
    """Return the column of ``curves.csv`` for the Dice of each class: its name, unless another column has that name.

    >>> dice_columns(["Tumour", "Loss"])
    {'Tumour': 'Tumour', 'Loss': 'dice of Loss'}
    """
    taken, columns = {name.casefold() for name in (*_CurveRow._fields, *class_names)}, {}
    for name in class_names:
        column = name
        if name.casefold() in _CurveRow._fields:
            while column.casefold() in taken:
                column = f"dice of {column}"
            taken.add(column.casefold())
        columns[name] = column
    return columns


class TrainingDiagnostics:
    """Warnings about a training; each kind of problem is reported once, with advice."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = class_names
        self._reported: set[str] = set()

    def check(self, confusion: Confusion, training_dice: float | None, step: int) -> str | None:
        """Return a warning after a validation, or None.

        Parameters
        ----------
        confusion
            Confusion matrix of the validation tiles.
        training_dice
            Mean Dice of recent training tiles; None if not known yet.
        step
            Number of steps so far.
        """
        if step >= _EARLY_STEPS and (name := collapsed_class(confusion, self._names)):
            return self._once("one class", f"The network finds one class only, {name}. {_COLLAPSE_REMEDY}")
        dice = mean_dice(confusion)
        if training_dice is not None and step >= _EARLY_STEPS and training_dice - dice > _OVERFIT_GAP:
            return self._once(
                "overfitting",
                f"The network overfits: Dice {training_dice:.2f} on the training slides, {dice:.2f} on the validation "
                "slides. Annotate slides of more patients, or raise stain_jitter and weight_decay.",
            )
        return None

    def check_final(self, confusion: Confusion) -> str | None:
        """Return a warning about the final model, or None; it is given even if it was given before."""
        name = collapsed_class(confusion, self._names)
        return f"The model finds one class only: everything is {name}. {_COLLAPSE_REMEDY}" if name else None

    def _once(self, kind: str, text: str) -> str | None:
        if kind in self._reported:
            return None
        self._reported.add(kind)
        return text
