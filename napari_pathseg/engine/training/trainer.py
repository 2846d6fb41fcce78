"""A training in progress: its data, state, budget, history, events and commands.

`training` calls the methods of `Trainer` in the order of the stages.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.validation import Validator
from napari_pathseg.engine.events import Command, Event, Note, Progress, RequestPreview, Stop, ValidationSamplesReady
from napari_pathseg.engine.inference.predict_region import predict_region
from napari_pathseg.engine.training.batch_loader import BatchLoader
from napari_pathseg.engine.training.checkpoint import delete_checkpoint, save_checkpoint
from napari_pathseg.engine.training.distributed import ProcessGroup, start_process_group
from napari_pathseg.engine.training.live_preview import LivePreview
from napari_pathseg.engine.training.optimizer import LearningRateSchedule
from napari_pathseg.engine.training.plan import TrainingPlan
from napari_pathseg.engine.training.run_history import RunHistory, TrainingDiagnostics
from napari_pathseg.engine.training.tensorboard import TensorBoardLogger, ValidationSamples
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project import Project

_logger = logging.getLogger(__name__)
_FIRST_PREVIEW = 10  # steps after which the network's prediction of the view is worth showing
_VALIDATIONS = 20  # in a training
_VALIDATION_INTERVAL_S = 4.0, 60.0  # shortest and longest, when the training is limited by time
_VALIDATION_COST = 6  # the pause until the next validation is at least 6 times as long as a validation
_CHECKPOINT_COST = 50  # the same for writing a checkpoint
_FINAL_SECONDS, _FINAL_SHARE = 10.0, 0.25  # for scoring all validation tiles: seconds, or share of the time if longer


class Trainer:
    """One training.

    Attributes
    ----------
    loader, state, schedule
        Batches, the network with its optimizer, and the learning rate over time.
    budget, history
        Time and steps spent, and the outcome of each validation.
    learning_rate
        The highest of the schedule; lower after a restart.
    restarts
        How often the training restarted from its best weights.
    stopped
        Whether the user asked to stop.
    """

    def __init__(
        self, project: Project, plan: TrainingPlan, training_set: PatchDataset, validation_set: PatchDataset
    ) -> None:
        config = plan.config
        self.plan, self.config, self._validation_set = plan, config, validation_set
        self._threads = CpuThreadTuner()  # before the group takes its share of the threads
        self._group: ProcessGroup | None = None
        if config.devices > 1:
            self._group = start_process_group(project.folder, plan.run, config.devices)
        sample = torch.zeros(2, 3, config.tile, config.tile, dtype=torch.uint8)
        timed = config.steps == 0 and self._group is None
        shared = None if self._group is None else self._group.device
        self._device = choose_device(plan.network, sample, config.precision, timed=timed, device=shared)
        self.loader = BatchLoader(training_set, config, self._device, config.devices)
        self.state = TrainState(plan.network, self._device, config, plan.pixels_by_class, self._group)
        self.schedule = LearningRateSchedule(config, self.loader.steps_per_epoch)
        self._validator = Validator(validation_set, plan.spec.classes, config.validation_tiles)
        self.history, self._diagnostics = RunHistory(project, plan), TrainingDiagnostics(plan.class_names)
        self._samples = ValidationSamples(self._validator, project.classes)
        predict = partial(predict_region, self.state.ema_model, self._device)
        self._preview = LivePreview(project, plan.run, predict, config.stain_norm)
        self.learning_rate = config.learning_rate
        self.restarts = 0
        self.stopped = False
        self._notes: list[Note] = []
        self._validation_due = self._checkpoint_due = 0.0, 0  # seconds, and step
        elapsed = 0.0 if plan.checkpoint is None else plan.checkpoint.numbers["elapsed"]
        self.budget = TrainingBudget(config.longest_minutes, config.steps, elapsed)
        if plan.checkpoint is not None:
            self._load(plan.checkpoint.numbers, plan.checkpoint.tensors)
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
        if (
            not self.budget.counts_steps and self._group is None
        ):  # else not: the number of threads changes how sums round
            self._threads.adapt()
        fraction, left = self.budget.progress(step), self.budget.seconds_left(step)
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
        """Score the EMA weights on the validation tiles; save them if they are the best so far."""
        begin = self.budget.elapsed
        confusion = self.score()
        event = self.history.record(self.state, confusion, self.budget.elapsed, learning_rate)
        self.schedule.validated(best=event.best)
        yield event
        warning = self._diagnostics.check(confusion, self.state.training_dice, self.state.step)
        if warning is not None:
            yield Note(warning, warning=True)
        path = self.plan.run / "examples.png"
        image = self._samples.write(path, self.state.ema_model, self._device)
        if self._tensorboard is not None:
            self._tensorboard.log_validation(event, image)
        yield ValidationSamplesReady(str(path))
        yield from self._preview.events()
        self._schedule_validation(self.budget.elapsed - begin)

    def score(self) -> Confusion:
        """Return the scores of the EMA weights on the validation tiles."""
        return self._validator.score(self.state.ema_model, self._device)

    def _schedule_validation(self, cost: float) -> None:
        shortest, longest = _VALIDATION_INTERVAL_S
        whole = self.budget.elapsed + self.budget.left
        pause = max(min(longest, max(shortest, whole / _VALIDATIONS)), _VALIDATION_COST * cost)
        steps = max(1, min(self.config.steps // _VALIDATIONS, self.schedule.steps_per_epoch * 2))
        self._validation_due = self.budget.elapsed + pause, self.state.step + steps

    # -- the end

    def finish(self) -> Iterator[Event]:
        """Score the best weights on all validation tiles, as far as time allows, and write the final bundle."""
        self._leave_group()
        self.budget.finish()
        scores = self.history.best
        assert scores is not None
        if not self._validator.whole and not self.stopped:
            scores = yield from self._score_all(scores)
        delete_checkpoint(self.plan.run)
        self.bundle: Bundle = self.history.finish(self.state.step, self.budget.elapsed, scores)

    def _score_all(self, partial_scores: Confusion) -> Generator[Event, None, Confusion]:
        """Return the scores on all tiles, or on fewer if time runs out or the user stops."""
        validator, begin = Validator(self._validation_set, self.plan.spec.classes), self.budget.elapsed
        self.state.ema_model.load_state_dict(self.history.load_best_weights())
        scores, fewest = partial_scores, len(self._validator.tiles)
        for number, scores in enumerate(validator.scores(self.state.ema_model, self._device), 1):
            yield from self.report("Scoring")
            late = self.budget.elapsed - begin > max(_FINAL_SECONDS, _FINAL_SHARE * begin)
            if self.stopped or (late and number >= fewest):
                return scores if number >= fewest else partial_scores
        return scores

    def close(self) -> None:
        """Release files, threads and worker processes."""
        with ExitStack() as stack:  # each of them, even if another fails
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
        """Note a command; the next step acts on it."""
        if isinstance(command, Stop):
            self.stopped = True
        elif isinstance(command, RequestPreview):
            try:
                self._preview.show(command)
            except PathsegError as error:  # a slide added later, or with a missing file; training continues
                _logger.warning("The view is not shown: %s", error)

    # -- checkpoints

    def save_checkpoint_if_due(self) -> None:
        """Write a checkpoint after each epoch, or less often if writing takes long."""
        seconds, step = self._checkpoint_due
        if self.budget.elapsed < seconds or self.state.step < step:
            return
        begin = self.budget.elapsed
        save_checkpoint(self.plan.run, self.state.tensors(), self._numbers())
        pause = _CHECKPOINT_COST * (self.budget.elapsed - begin)
        self._checkpoint_due = self.budget.elapsed + pause, self.state.step + self.schedule.steps_per_epoch

    def _numbers(self) -> dict[str, Any]:
        """Return the plain values of a checkpoint, under their names on disk."""
        return {
            "step": self.state.step,
            "loss": self.state.loss,
            "training_dice": self.state.training_dice,
            "returns": self.restarts,
            "elapsed": self.budget.elapsed,
            "stage_began": self.budget.stage_began,
            "rate": self.learning_rate,
            "batch": [self.loader.batch, self.loader.accumulate],
            "rng": self.loader.rng_state,
            "schedule": [self.schedule.reductions, self.schedule.stale],
            "due": self._validation_due,
            **self.history.numbers(),
        }

    def _load(self, kept: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        self.state.load_tensors(tensors, kept)
        self.learning_rate = kept["rate"]
        self.budget.stage_began = kept["stage_began"]
        self.loader.batch, self.loader.accumulate = kept["batch"]
        self.loader.rng_state = kept["rng"]
        self.schedule.reductions, self.schedule.stale = kept["schedule"]
        self._validation_due = kept["due"]
        self.state.training_dice, self.restarts = kept["training_dice"], kept["returns"]
        self.history.load_numbers(kept)
        newer = self.history.load_newer_weights()
        if newer is not None:  # a better model was saved between the checkpoint and the kill
            ema = {name: tensor.clone() for name, tensor in self.state.ema_model.state_dict().items()}
            self.state.ema_model.load_state_dict(newer)
            self.history.best = self.score()
            self.state.ema_model.load_state_dict(ema)


class TrainingBudget:
    """The time or the steps that a run may take, and how much of them is spent.

    Parameters
    ----------
    minutes
        Longest time.
    steps
        Steps of the whole run; 0 if only time is limited.
    elapsed
        Seconds that the run took before it was interrupted.
    clock
        Returns a time in seconds.

    Attributes
    ----------
    stage_began
        Second and step at which the last training stage began; None before it.
    """

    def __init__(
        self, minutes: float, steps: int, elapsed: float = 0.0, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._seconds, self._steps, self._finished = 60 * minutes, steps, False
        self._clock, self._start = clock, clock() - elapsed
        self.stage_began: tuple[float, int] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the run began, without interruptions."""
        return self._clock() - self._start

    @property
    def left(self) -> float:
        """Seconds until the longest time is over."""
        return max(0.0, self._seconds - self.elapsed)

    @property
    def counts_steps(self) -> bool:
        """True if steps are limited rather than time, so that the same seed repeats a run."""
        return self._steps > 0

    def begin_stage(self, step: int) -> None:
        """Begin the last training stage, which takes the rest of the budget."""
        self.stage_began = self.elapsed, step

    def finish(self) -> None:
        """Mark training as over, maybe before the budget is spent."""
        self._finished = True

    def steps_in_stage(self, step: int) -> int:
        """Return the number of steps made in the last stage."""
        return step - self._began(step)[1]

    def stage_progress(self, step: int) -> float:
        """Return the fraction of the last stage that is over, 1 or more at its end."""
        seconds, first = self._began(step)
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

        When steps are limited, only the last stage's pace counts: steps of earlier stages take another time.
        """
        if self._finished:
            return 0.0
        if not self.counts_steps:
            return self.left
        seconds, first = self._began(step)
        made = step - first
        return (self.elapsed - seconds) / made * max(0, self._steps - step) if made > 0 else 0.0

    def _began(self, step: int) -> tuple[float, int]:
        return (self.elapsed, step) if self.stage_began is None else self.stage_began


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out; on a CPU, torch reports it in the text only."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in text
