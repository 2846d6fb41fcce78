"""A training under way: what learns, what it learns from, the budget, the record, what is told and heard.

The stages of a training are steps of it in some order; see `engine.training`.
"""

import logging
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.validation import Validator, predict_region
from napari_pathseg.engine.events import Command, Event, Examples, Note, Progress, Show, Stop
from napari_pathseg.engine.training.batch_loader import BatchLoader
from napari_pathseg.engine.training.budget import TrainingBudget
from napari_pathseg.engine.training.checkpoint import delete_checkpoint, save_checkpoint
from napari_pathseg.engine.training.diagnostics import TrainingDiagnostics
from napari_pathseg.engine.training.distributed import start_process_group
from napari_pathseg.engine.training.live_preview import LivePreview
from napari_pathseg.engine.training.optimizer import LearningRateSchedule
from napari_pathseg.engine.training.plan import TrainingPlan
from napari_pathseg.engine.training.run_history import RunHistory
from napari_pathseg.engine.training.tensorboard import TensorBoardLogger
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.engine.training.validation_samples import ValidationSamples
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project import Project

_logger = logging.getLogger(__name__)
_FIRST_LOOK = 10  # steps after which what the network sees is worth showing
_VALIDATIONS = 20  # in a training
_SECONDS_BETWEEN = 4.0, 60.0  # validations, where the budget counts
_COST = 6  # times as long as a validation took, until the next
_CHECKPOINT_COST = 50  # times as long as writing the state took, until the next
_FINAL_SECONDS, _FINAL_SHARE = 10.0, 0.25  # for scoring all that is held out, of the time, whichever is longer


class Trainer:
    """One training; `stopped` is set when a person wants its end."""

    def __init__(self, project: Project, plan: TrainingPlan, learning: PatchDataset, held_out: PatchDataset) -> None:
        self.plan, self.config, self._held_out = plan, plan.config, held_out
        elapsed = 0.0 if plan.checkpoint is None else plan.checkpoint.numbers["elapsed"]
        self._threads = CpuThreadTuner()  # before a group takes its share of them
        self._group = (
            start_process_group(project.folder, plan.run, self.config.devices) if self.config.devices > 1 else None
        )
        sample = torch.zeros(2, 3, self.config.tile, self.config.tile, dtype=torch.uint8)
        timed = self.config.steps == 0 and self._group is None
        shared = None if self._group is None else self._group.device
        self._device = choose_device(plan.network, sample, self.config.precision, timed=timed, device=shared)
        self.budget = TrainingBudget(self.config.longest_minutes, self.config.steps, elapsed)
        self.loader = BatchLoader(learning, self.config, self._device, self.config.devices)
        self.state = TrainState(plan.network, self._device, self.config, plan.pixels_by_class, self._group)
        self.schedule = LearningRateSchedule(self.config, self.loader.steps_per_epoch)
        self._validator = Validator(held_out, plan.spec.classes, self.config.validation_tiles)
        self.history, self._diagnostics = RunHistory(project, plan), TrainingDiagnostics(plan.class_names)
        self._samples = ValidationSamples(self._validator, project.classes)
        predict = partial(predict_region, self.state.ema_model, self._device)
        self._preview = LivePreview(project, plan.run, predict, self.config.stain_norm)
        self.rate = self.config.learning_rate
        self.stopped = False
        self.returns = 0  # times it went back to its best
        self._notes: list[Note] = []
        self._due = self._checkpoint_due = 0.0, 0  # seconds and step of the next validation, of the next state
        if plan.checkpoint is not None:
            self._load(plan.checkpoint.numbers, plan.checkpoint.tensors)
        self._tensorboard: TensorBoardLogger | None = None
        if self.config.tensorboard:
            self._tensorboard = TensorBoardLogger(
                plan.run / "tensorboard", self.state, resumed=plan.checkpoint is not None
            )

    # -- what a stage does

    def step(self, rate: float) -> float:
        """Learn from a freshly drawn batch; return the loss, NaN where nothing could be learnt from it."""
        while True:
            try:
                return self.state.training_step(self.loader.next_batches(), rate)
            except (RuntimeError, MemoryError) as error:
                if self._group is not None or not is_out_of_memory(error):
                    raise
            self.loader.halve_batch()
            self._notes.append(Note(f"Memory ran out; a step now takes {self.loader.batch} tiles at once.", True))

    def tell(self, stage: str, rate: float | None = None) -> Iterator[Event]:
        """Yield a step's progress, and the view where it is due."""
        step = self.state.step
        if not self.budget.counts_steps and self._group is None:  # another number of threads rounds otherwise
            self._threads.adapt()
        fraction, left = self.budget.progress(step), self.budget.seconds_left(step)
        yield Progress(stage, fraction, left, step, self.state.loss, rate, self.budget.elapsed)
        if self._tensorboard is not None:
            self._tensorboard.log_step(rate)
        while self._notes:
            yield self._notes.pop(0)
        if step >= _FIRST_LOOK or self.history.best is not None:
            yield from self._preview.events()

    @property
    def validation_due(self) -> bool:
        """Whether it is time to look at the held-out slides."""
        if self.budget.counts_steps:
            return self.state.step >= self._due[1]
        return self.budget.elapsed >= self._due[0]

    def validate(self, rate: float = 0.0) -> Iterator[Event]:
        """Score the running mean on the held-out tiles; keep it where it is the best so far."""
        begin = self.budget.elapsed
        confusion = self._validator.score(self.state.ema_model, self._device)
        event = self.history.validated(self.state, confusion, self.budget.elapsed, rate)
        self.schedule.validated(best=event.best)
        yield event
        trouble = self._diagnostics.check(confusion, self.state.training_dice, self.state.step)
        if trouble is not None:
            yield Note(trouble, warning=True)
        path = self.plan.run / "examples.png"
        picture = self._samples.write(path, self.state.ema_model, self._device)
        if self._tensorboard is not None:
            self._tensorboard.validated(event, picture)
        yield Examples(str(path))
        yield from self._preview.events()
        self._plan_validation(self.budget.elapsed - begin)

    def _plan_validation(self, cost: float) -> None:
        least, most = _SECONDS_BETWEEN
        whole = self.budget.elapsed + self.budget.left
        pause = max(min(most, max(least, whole / _VALIDATIONS)), _COST * cost)
        steps = max(1, min(self.config.steps // _VALIDATIONS, self.schedule.steps_per_epoch * 2))
        self._due = self.budget.elapsed + pause, self.state.step + steps

    def score(self) -> Confusion:
        """Return the scores of the running mean on the held-out tiles, without keeping them."""
        return self._validator.score(self.state.ema_model, self._device)

    def save_checkpoint_if_due(self) -> None:
        """After each pass over the slides write what it takes to go on, unless writing takes too long for that."""
        if self.budget.elapsed < self._checkpoint_due[0] or self.state.step < self._checkpoint_due[1]:
            return
        begin = self.budget.elapsed
        save_checkpoint(self.plan.run, self.state.tensors(), self._numbers())
        pause = _CHECKPOINT_COST * (self.budget.elapsed - begin)
        self._checkpoint_due = self.budget.elapsed + pause, self.state.step + self.schedule.steps_per_epoch

    def finish(self) -> Iterator[Event]:
        """Score the best weights on all that is held out, as far as time allows, and write the model's last word."""
        self._leave_group()
        self.budget.finish()
        scores = self.history.best
        assert scores is not None
        if not self._validator.whole and not self.stopped:
            scores = yield from self._score_whole(scores)
        delete_checkpoint(self.plan.run)
        self.bundle: Bundle = self.history.finish(self.state.step, self.budget.elapsed, scores)

    def _score_whole(self, some: Confusion) -> Generator[Event, None, Confusion]:
        """Return the scores on all tiles, or on some where there is no time for more or a person wants the end."""
        whole, begin = Validator(self._held_out, self.plan.spec.classes), self.budget.elapsed
        self.state.ema_model.load_state_dict(self.history.load_best_weights())
        scores = some
        for number, scores in enumerate(whole.scores(self.state.ema_model, self._device), 1):
            yield from self.tell("Scoring")
            late = self.budget.elapsed - begin > max(_FINAL_SECONDS, _FINAL_SHARE * begin)
            if self.stopped or (late and number >= len(self._validator.tiles)):
                return scores if number >= len(self._validator.tiles) else some
        return scores

    # -- what is heard

    def handle_command(self, command: Command | None) -> None:
        """Take what was said at any event; it is acted on at the next step."""
        if isinstance(command, Stop):
            self.stopped = True
        elif isinstance(command, Show):
            try:
                self._preview.show(command)
            except PathsegError as error:  # a slide that came later, or whose file went; learning goes on
                _logger.warning("The view is not shown: %s", error)

    def close(self) -> None:
        """Give back what was taken for the training."""
        with ExitStack() as stack:  # each of them, whatever happens to the others
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

    # -- what a checkpoint holds beside the state's tensors

    def _numbers(self) -> dict[str, Any]:
        return {
            "step": self.state.step,
            "loss": self.state.loss,
            "training_dice": self.state.training_dice,
            "returns": self.returns,
            "elapsed": self.budget.elapsed,
            "stage_began": self.budget.stage_began,
            "rate": self.rate,
            "batch": [self.loader.batch, self.loader.accumulate],
            "rng": self.loader.rng_state,
            "schedule": [self.schedule.reductions, self.schedule.stale],
            "due": self._due,
            **self.history.numbers(),
        }

    def _load(self, kept: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        self.state.load_tensors(tensors, kept)
        self.rate = kept["rate"]
        self.budget.stage_began = kept["stage_began"]
        self.loader.batch, self.loader.accumulate = kept["batch"]
        self.loader.rng_state = kept["rng"]
        self.schedule.reductions, self.schedule.stale = kept["schedule"]
        self._due = kept["due"]
        self.state.training_dice, self.returns = kept["training_dice"], kept["returns"]
        self.history.load_numbers(kept)
        self._take_later_best()

    def _take_later_best(self) -> None:
        """Where a model better than the state knows was written before the run was killed, let it count."""
        later = self.history.load_newer_weights()
        if later is not None:
            own = {name: tensor.clone() for name, tensor in self.state.ema_model.state_dict().items()}
            self.state.ema_model.load_state_dict(later)
            self.history.best = self.score()
            self.state.ema_model.load_state_dict(own)


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch or the system refused memory; on a CPU torch says so in words only."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in text
