"""A training in progress: its data, state, budget, history, events and commands.

`training.py` calls the methods of `Trainer` stage by stage.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import torch

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import choose_device, is_out_of_memory
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.validation import Coverage, OnTile, ScoredTile, Validation, Validator
from napari_pathseg.engine.events import (
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
from napari_pathseg.engine.training.batch_loader import BatchLoader
from napari_pathseg.engine.training.checkpoint import TrainingCheckpoint, delete_checkpoint, save_checkpoint
from napari_pathseg.engine.training.distributed import ProcessGroup, start_process_group
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
_HALO = PredictConfig().halo  # of previews, as in prediction, so that neither has seams
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
        self._samples = ValidationSamples(self._validator, project.classes)
        self._predictor = RegionPredictor(self.state.ema_model, self.device, _HALO)
        self._preview = LivePreview(project, plan.run, self._predictor.classes, config.stain_norm)
        self.learning_rate = config.learning_rate
        self.restarts = 0
        self.stopped = False
        self._scoring = self._skip_scoring = False  # on all held-out tiles, after training
        self._discarded = False  # the run made no step
        self._notes: list[Note] = []
        self._validation_due = self._checkpoint_due = 0.0, 0  # seconds, and step
        elapsed = 0.0 if plan.checkpoint is None else plan.checkpoint.numbers["elapsed"]
        self.budget = TrainingBudget(config.longest_minutes, config.steps, elapsed)
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
                return self.state.training_step(self.loader.next_batches(), learning_rate)
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
        if step >= _FIRST_PREVIEW or self.history.best is not None:
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
        loss = ValidationLoss(self.config, self.plan.pixels_by_class)

        def add(tile: ScoredTile) -> None:
            loss.add(tile.probabilities, tile.labels)
            self._samples.add(tile)

        confusion = self.score(add)
        found = Validation(confusion, self._validator.coverage, loss.value)
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
        found, (tiles, total) = Validation(self.history.best, self._validator.coverage), self._validator.coverage
        if tiles < total and not self._skip_scoring:
            scores = yield from self._score_all(total)
            if scores is not None:
                found = Validation(scores, Coverage(total, total))
        if not found.coverage.whole:
            yield Note(
                f"{self.plan.model_id} was scored on {tiles} of {total} held-out tiles, because it was stopped. Score "
                "it again to rely on its numbers.",
                warning=True,
            )
        warning = self._diagnostics.check_final(found.confusion)
        if warning is not None:
            yield Note(warning, warning=True)
        delete_checkpoint(self.plan.run)
        self.bundle: Bundle = self.history.finish(self.state.step, self.budget.elapsed, found)

    def _score_all(self, total: int) -> Generator[Event, None, Confusion | None]:
        """Return the scores of the best weights on all held-out tiles; None if the user stops that, too."""
        self._scoring = True
        self.state.ema_model.load_state_dict(self.history.load_best_weights())
        start = time.perf_counter()
        for number, scores in enumerate(self._validator.scores_on_all(self.state.ema_model, self.device), 1):
            elapsed = time.perf_counter() - start
            yield Progress(SCORING, number / total, elapsed / number * (total - number), self.state.step)
            if number == total:
                return scores
            if self._skip_scoring:
                break
        return None

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
            self.history.best, self.history.coverage = self._score(), self._validator.coverage
            self.state.ema_model.load_state_dict(ema)


class TrainingBudget:
    """The time or steps that a run may use, and how much of them is spent.

    Parameters
    ----------
    minutes
        Maximum time.
    steps
        Maximum steps of the whole run; 0 if only time is limited.
    elapsed
        Seconds that the run used before it was interrupted.
    clock
        A function that returns a time in seconds.

    Attributes
    ----------
    stage_began
        Second and step at which the last training stage started; None before that.
    """

    def __init__(
        self, minutes: float, steps: int, elapsed: float = 0.0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._seconds, self._steps, self._finished = 60 * minutes, steps, False
        self._clock, self._start = clock, clock() - elapsed
        self.stage_began: tuple[float, int] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the run started, without interruptions."""
        return self._clock() - self._start

    @property
    def left(self) -> float:
        """Seconds until the maximum time is over."""
        return max(0.0, self._seconds - self.elapsed)

    @property
    def counts_steps(self) -> bool:
        """True if steps are limited rather than time, so that the same seed repeats a run."""
        return self._steps > 0

    def begin_stage(self, step: int) -> None:
        """Start the last training stage, which uses the rest of the budget."""
        self.stage_began = self.elapsed, step

    def finish(self) -> None:
        """Mark training as over, even if the budget is not spent."""
        self._finished = True

    def steps_in_stage(self, step: int) -> int:
        """Return the number of steps in the last stage so far."""
        return step - self._stage_start(step)[1]

    def stage_progress(self, step: int) -> float:
        """Return the fraction of the last stage that is over, 1 or more at its end."""
        seconds, first = self._stage_start(step)
        if self.counts_steps:
            return (step - first) / (self._steps - first) if self._steps > first else 1.0
        return (self.elapsed - seconds) / max(self._seconds - seconds, 1e-9)

    def progress(self, step: int) -> float:
        """Return the fraction of the run that is over, 0 to 1."""
        if self._finished:
            return 1.0
        if self.counts_steps:
            return min(1.0, step / self._steps)
        return min(1.0, self.elapsed / max(self._seconds, 1e-9))

    def seconds_left(self, step: int) -> float:
        """Return the estimated seconds left, 0 if unknown.

        If steps are limited, only the pace of the last stage counts, since steps of earlier stages differ in duration.
        """
        if self._finished:
            return 0.0
        if not self.counts_steps:
            return self.left
        seconds, first = self._stage_start(step)
        done = step - first
        return (self.elapsed - seconds) / done * max(0, self._steps - step) if done > 0 else 0.0

    def _stage_start(self, step: int) -> tuple[float, int]:
        return (self.elapsed, step) if self.stage_began is None else self.stage_began
