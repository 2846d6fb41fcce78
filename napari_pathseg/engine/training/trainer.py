"""A training in progress: its data, state, budget, history, events and commands.

`training.py` calls the methods of `Trainer` stage by stage.
"""

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import torch

from napari_pathseg.config import SCORED_HALO
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.dataset.patches import PatchDataset, labels_hash
from napari_pathseg.engine.device import choose_device, is_out_of_memory
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.slide_scores import SlideTally
from napari_pathseg.engine.evaluation.validation import Coverage, OnTile, ScoredTile, Validation, Validator
from napari_pathseg.engine.events import (
    LAST_PASS,
    SCORING,
    Command,
    Event,
    Note,
    Progress,
    RequestPreview,
    Stop,
    ValidationSamplesReady,
)
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.training.base_scores import Scores, score_base
from napari_pathseg.engine.training.batch_loader import BatchLoader
from napari_pathseg.engine.training.budget import TrainingBudget, last_pass_share
from napari_pathseg.engine.training.checkpoint import TrainingCheckpoint, delete_checkpoint, save_checkpoint
from napari_pathseg.engine.training.distributed import ProcessGroup, start_process_group
from napari_pathseg.engine.training.learnt_looks import looks_of_learnt
from napari_pathseg.engine.training.live_preview import LivePreview
from napari_pathseg.engine.training.losses import ValidationLoss
from napari_pathseg.engine.training.optimizer import LearningRateSchedule
from napari_pathseg.engine.training.plan import TrainingPlan
from napari_pathseg.engine.training.run_history import RunHistory, TrainingDiagnostics
from napari_pathseg.engine.training.tensorboard import TensorBoardLogger, ValidationSamples
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.errors import NothingToLearnError, PathsegError, ProjectError
from napari_pathseg.projects.project import Project

_logger = logging.getLogger(__name__)
_FIRST_PREVIEW = 10  # steps after which a prediction of the view is worth showing
_VALIDATIONS = 20  # per training
_VALIDATION_INTERVAL_S = 4.0, 60.0  # minimum and maximum if the training is limited by time
_VALIDATION_COST = 12  # the interval is at least so many times as long as a validation
_CHECKPOINT_COST = 50  # the same for checkpoints
_FIRST_VALIDATION_SHARE = 0.04  # of the time limit; if the first validation takes longer, its sample is shortened


class Trainer:
    """A training in progress.

    Attributes
    ----------
    training_set, device
        The labelled slides, and where the network computes.
    loader, state, schedule
        Batches, the network with its optimizer, and the learning rate over time.
    budget, history
        Time and steps spent, and the results of the validations.
    learning_rate
        Peak of the schedule; halved by each restart.
    restarts
        Number of restarts from the best weights.
    stopped
        Whether the user asked to stop.
    learnt_all
        Whether the weights of a last pass are saved; see `last_pass`.
    """

    def __init__(
        self, project: Project, plan: TrainingPlan, training_set: PatchDataset, validation_set: PatchDataset
    ) -> None:
        config = plan.config
        self.project, self.plan, self.config, self.training_set = project, plan, config, training_set
        self._threads = CpuThreadTuner()  # before the process group limits the threads
        self._group: ProcessGroup | None = None
        if config.devices > 1:
            self._group = start_process_group(project.folder, plan.run, config.devices)
        sample = torch.zeros(2, 3, config.tile, config.tile, dtype=torch.uint8)
        timed = config.steps == 0 and self._group is None
        shared = None if self._group is None else self._group.device
        self.device = choose_device(plan.network, sample, config.precision, timed=timed, device=shared)
        self.loader = BatchLoader(training_set, config, self.device, config.devices)
        self.state = TrainState(plan.network, self.device, config, plan.pixels_by_class, self._group)
        self.schedule = LearningRateSchedule(config, self.loader.steps_per_epoch)
        self._validator = Validator(validation_set, plan.spec.classes, config.validation_tiles)
        self._sample_is_final = False  # once its cost was measured, the validation sample stays the same
        self.history, self._diagnostics = RunHistory(project, plan), TrainingDiagnostics(plan.class_names)
        self.history.labels = labels_hash(training_set, validation_set)
        self._samples = ValidationSamples(self._validator, project.classes)
        self._predictor = RegionPredictor(self.state.ema_model, self.device, SCORED_HALO)
        self._preview = LivePreview(project, plan.run, self._predictor.classes, config.stain_norm)
        self.learning_rate = config.learning_rate
        self.restarts = 0
        self.stopped = False
        self._scoring = self._skip_scoring = False  # on all held-out tiles, after training
        self._discarded = False  # the run made no step
        self.learnt_all = False  # by a last pass
        self._notes: list[Note] = []
        self._validation_due = self._checkpoint_due = 0.0, 0  # seconds, and step
        elapsed = 0.0 if plan.checkpoint is None else plan.checkpoint.numbers["elapsed"]
        self.budget = TrainingBudget(config.longest_minutes, config.steps, elapsed, reserve=last_pass_share(config))
        if plan.checkpoint is not None:
            self._resume(plan.checkpoint)
        self._tensorboard: TensorBoardLogger | None = None
        if config.tensorboard:
            resumed = plan.checkpoint is not None
            self._tensorboard = TensorBoardLogger(plan.run / "tensorboard", self.state, resumed=resumed)

    # -- steps

    def training_step(self, learning_rate: float) -> float:
        """Train on the next batches; return the loss, NaN if nothing changed."""
        while True:
            try:
                return self.state.training_step(self.loader.next_batches(self.state.step), learning_rate)
            except (RuntimeError, MemoryError) as error:
                if self._group is not None or not is_out_of_memory(error):
                    raise
            self.loader.halve_batch()
            self._notes.append(Note(f"Memory ran out; the batch size is now {self.loader.batch}.", True))

    def report(self, stage: str, learning_rate: float | None = None) -> Iterator[Event]:
        """Yield the progress after a step, and tiles of the live preview if they are due."""
        step = self.state.step
        # A run limited by steps must be reproducible, and the number of threads changes rounding.
        if not self.budget.counts_steps and self._group is None:
            self._threads.adapt()
        fraction, left = self.budget.progress(step), self.budget.seconds_left(step)
        left += self._validator.seconds_for_all if left else 0.0  # 0 is unknown
        yield Progress(stage, fraction, left, step, self.state.loss, learning_rate, self.budget.elapsed)
        if self._tensorboard is not None:
            self._tensorboard.log_step(learning_rate)
        while self._notes:
            yield self._notes.pop(0)
        if stage != LAST_PASS and (step >= _FIRST_PREVIEW or self.history.best is not None):
            yield from self._preview.events()

    # -- validation

    @property
    def validation_due(self) -> bool:
        """True when the next validation is due."""
        seconds, step = self._validation_due
        return self.state.step >= step if self.budget.counts_steps else self.budget.elapsed >= seconds

    def validate(self, learning_rate: float = 0.0) -> Iterator[Event]:
        """Score the EMA weights on the validation sample; save them if they are the best so far."""
        start = self.budget.elapsed
        loss, tally = ValidationLoss(self.config, self.plan.pixels_by_class), SlideTally(self.plan.spec.classes)

        def add(tile: ScoredTile) -> None:
            loss.add(tile.probabilities, tile.labels)
            self._samples.add(tile)
            tile.count_in(tally)

        confusion = self.score(add)
        found = Validation(confusion, self._validator.coverage, loss.value, tally.scores())
        event = self.history.record(self.state, found, self.budget.elapsed, learning_rate)
        self.schedule.validated(best=event.best)
        yield event
        warning = self._diagnostics.check(confusion, self.state.training_dice, self.state.step)
        if warning is not None:
            yield Note(warning, warning=True)
        path = self.plan.run / "examples.png"
        image = self._samples.write(path, self._predictor)
        if self._tensorboard is not None:
            self._tensorboard.log_validation(event, image, self._samples.tile(self._predictor))
        yield ValidationSamplesReady(str(path))
        yield from self._preview.events()
        self._schedule_validation(self.budget.elapsed - start)

    def score(self, on_tile: OnTile | None = None) -> Confusion:
        """Return the scores of the EMA weights, brought up to date, on the validation sample.

        The first time, if the training is limited by time, the sample is shortened if it costs too much.
        """
        self.state.update_ema()
        return self._score(on_tile)

    def _score(self, on_tile: OnTile | None = None) -> Confusion:
        seconds = None
        if not self._sample_is_final and not self.budget.counts_steps:
            seconds = _FIRST_VALIDATION_SHARE * 60 * self.config.longest_minutes
        self._sample_is_final = True
        return self._validator.score(self.state.ema_model, self.device, seconds, on_tile)

    def _schedule_validation(self, cost: float) -> None:
        minimum, maximum = _VALIDATION_INTERVAL_S
        total = self.budget.elapsed + self.budget.left
        interval = max(min(maximum, max(minimum, total / _VALIDATIONS)), _VALIDATION_COST * cost)
        steps = max(1, min(self.config.steps // _VALIDATIONS, self.schedule.steps_per_epoch * 2))
        self._validation_due = self.budget.elapsed + interval, self.state.step + steps

    # -- the end

    def finish(self) -> Iterator[Event]:
        """Score the best weights on all held-out tiles, however long that takes, and write the final bundle.

        Raises
        ------
        NothingToLearnError
            If training was stopped before its first step.
        """
        self._leave_group()
        self.budget.finish()
        if self.stopped and self.state.step == 0:
            self._discarded = True
            raise NothingToLearnError("Training was stopped before its first step, so there is no new model.")
        assert self.history.best is not None
        tiles, total = self._validator.coverage
        found = Validation(self.history.best, self._validator.coverage, slides=self.history.slides)
        if tiles < total and not self._skip_scoring:
            found = (yield from self._score_all(total)) or found
        found = found._replace(base_slides=(yield from self._score_base(found.slides)))
        if not found.coverage.whole:
            yield Note(
                f"{self.plan.model_id} was scored on {tiles} of {total} held-out tiles, because it was stopped. Score "
                "it again to rely on its numbers.",
                warning=True,
            )
        warning = self._diagnostics.check_final(found.confusion)
        if warning is not None:
            yield Note(warning, warning=True)
        if not self._skip_scoring:
            self.history.looks = yield from looks_of_learnt(self.project, self.training_set.slides, self.plan.parent_id)
        delete_checkpoint(self.plan.run)
        self.bundle: Bundle = self.history.finish(
            self.state.step, self.budget.elapsed, found, last_pass=self.learnt_all
        )

    def _score_all(self, total: int) -> Generator[Event, None, Validation | None]:
        """Return the scores of the best weights on all held-out tiles; None if the user stops that, too."""
        self._scoring, tally = True, SlideTally(self.plan.spec.classes)
        self.state.ema_model.load_state_dict(self.history.load_best_weights())
        start = time.perf_counter()
        scoring = self._validator.scores_on_all(self.state.ema_model, self.device, lambda tile: tile.count_in(tally))
        for number, scores in enumerate(scoring, 1):
            elapsed = time.perf_counter() - start
            yield Progress(SCORING, number / total, elapsed / number * (total - number), self.state.step)
            if number == total:
                return Validation(scores, Coverage(total, total), slides=tally.scores())
            if self._skip_scoring:
                break
        return None

    def _score_base(self, scores: Scores) -> Generator[Event, None, Scores]:
        """Return how the model before does on the same labels; {} for none, or if the user stops that."""
        if self.history.is_copy and self.plan.base == self.plan.parent_id:
            return scores
        self._scoring, scoring = True, score_base(self.project, self.plan, scores, self.device)
        while True:
            try:
                event = next(scoring)
            except StopIteration as end:
                found: Scores = end.value
                return found
            yield event
            if self._skip_scoring:
                scoring.close()
                return {}

    def close(self) -> None:
        """Release files, threads and worker processes; delete a run that was stopped before its first step."""
        with ExitStack() as stack:  # closes each of them even if another fails, the last one first
            if self._discarded:
                stack.callback(self.history.discard)
            if self._tensorboard is not None:
                stack.callback(self._tensorboard.close)
            stack.callback(self._preview.close)
            stack.callback(self._threads.restore)
            stack.callback(self.loader.close)
            stack.callback(self._leave_group)

    def load_from(self, dataset: PatchDataset) -> None:
        """Draw the tiles of further steps from another dataset, with the batch that fits by now."""
        batch, accumulate = self.loader.batch, self.loader.accumulate
        self.loader.close()
        self.loader = BatchLoader(dataset, self.config, self.device, self.config.devices)
        self.loader.batch, self.loader.accumulate = batch, accumulate

    def _leave_group(self) -> None:
        if self._group is not None:
            self._group.close()
            self._group = None

    # -- commands

    def handle_command(self, command: Command | None) -> None:
        """Store a command; the next step acts on it."""
        if isinstance(command, Stop):
            self.stopped = True
            self._skip_scoring |= command.now or self._scoring
        elif isinstance(command, RequestPreview):
            try:
                self._preview.show(command)
            except PathsegError as error:  # the slide was added later or its file is missing; training continues
                _logger.warning("The view is not shown: %s", error)

    # -- checkpoints

    def save_checkpoint_if_due(self) -> None:
        """Write a checkpoint after each epoch, or less often if writing takes long."""
        seconds, step = self._checkpoint_due
        if self.budget.elapsed < seconds or self.state.step < step:
            return
        start = self.budget.elapsed
        save_checkpoint(self.plan.run, self.state.tensors(), self._numbers())
        interval = _CHECKPOINT_COST * (self.budget.elapsed - start)
        self._checkpoint_due = self.budget.elapsed + interval, self.state.step + self.schedule.steps_per_epoch

    def _numbers(self) -> dict[str, Any]:
        """Return the JSON values of a checkpoint, by their names on disk."""
        return {
            "step": self.state.step,
            "ema_step": self.state.ema_step,
            "loss": self.state.loss,
            "training_dice": self.state.training_dice,
            "training_accuracy": self.state.training_accuracy,
            "returns": self.restarts,
            "elapsed": self.budget.elapsed,
            "stage_began": self.budget.stage_began,
            "rate": self.learning_rate,
            "batch": [self.loader.batch, self.loader.accumulate],
            "rng": self.loader.rng_state,
            "schedule": [self.schedule.reductions, self.schedule.stale],
            "due": self._validation_due,
            "validation_tiles": self._validator.coverage.tiles if self._sample_is_final else None,
            **self.history.numbers(),
        }

    def _resume(self, checkpoint: TrainingCheckpoint) -> None:
        """Continue from a checkpoint; raise ProjectError if it is not of this run."""
        numbers = checkpoint.numbers
        try:
            self.state.load_tensors(checkpoint.tensors, numbers)
            self.loader.rng_state = numbers["rng"]
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise ProjectError(
                f"The checkpoint of {self.plan.run.name} is damaged ({str(error).splitlines()[0]}). Train without "
                "resuming."
            ) from error
        self.learning_rate = numbers["rate"]
        self.budget.stage_began = numbers["stage_began"]
        self.loader.batch, self.loader.accumulate = numbers["batch"]
        self.schedule.reductions, self.schedule.stale = numbers["schedule"]
        self._validation_due = numbers["due"]
        if numbers.get("validation_tiles") is not None:
            self._validator.shorten(numbers["validation_tiles"])
            self._sample_is_final = True
        self.state.training_dice, self.restarts = numbers["training_dice"], numbers["returns"]
        self.state.training_accuracy = numbers.get("training_accuracy")  # older versions stored none
        self.history.load_numbers(numbers)
        newer = self.history.load_newer_weights()
        if newer is not None:  # a better model was saved after the checkpoint
            ema = {name: tensor.clone() for name, tensor in self.state.ema_model.state_dict().items()}
            self.state.ema_model.load_state_dict(newer)
            tally = SlideTally(self.plan.spec.classes)
            self.history.best = self._score(lambda tile: tile.count_in(tally))
            self.history.coverage, self.history.slides = self._validator.coverage, tally.scores()
            self.state.ema_model.load_state_dict(ema)
