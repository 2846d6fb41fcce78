"""A training under way: what learns, what it learns from, the clock, the record, what is told and heard.

The stages of a training are steps of it in some order; see `engine.training`.
"""

import logging
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.dataset.patches import LearningSet
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.validation import Validator, predict_region
from napari_pathseg.engine.events import Command, Event, Examples, Note, Progress, Show, Stop
from napari_pathseg.engine.training.batches import Supply
from napari_pathseg.engine.training.budget import Clock
from napari_pathseg.engine.training.checkpoint import forget_state, save_state
from napari_pathseg.engine.training.cpu_threads import FreeThreads
from napari_pathseg.engine.training.diagnostics import Alarm
from napari_pathseg.engine.training.distributed import gather_team
from napari_pathseg.engine.training.live_preview import LiveView
from napari_pathseg.engine.training.optimizer import Schedule
from napari_pathseg.engine.training.plan import Plan
from napari_pathseg.engine.training.run_history import Record
from napari_pathseg.engine.training.tensorboard import Board
from napari_pathseg.engine.training.train_step import Learner
from napari_pathseg.engine.training.validation_samples import ExamplePatches
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project import Project

_logger = logging.getLogger(__name__)
_FIRST_LOOK = 10  # steps after which what the network sees is worth showing
_VALIDATIONS = 20  # in a training
_SECONDS_BETWEEN = 4.0, 60.0  # validations, where the clock counts
_COST = 6  # times as long as a validation took, until the next
_STATE_COST = 50  # times as long as writing the state took, until the next
_FINAL_SECONDS, _FINAL_SHARE = 10.0, 0.25  # for scoring all that is held out, of the time, whichever is longer


class Course:
    """One training; `stopped` is set when a person wants its end."""

    def __init__(self, project: Project, plan: Plan, learning: LearningSet, held_out: LearningSet) -> None:
        self.plan, self.config, self._held_out = plan, plan.config, held_out
        elapsed = 0.0 if plan.state is None else plan.state.numbers["elapsed"]
        self._threads = FreeThreads()  # before a team takes its share of them
        self._team = gather_team(project.folder, plan.run, self.config.devices) if self.config.devices > 1 else None
        sample = torch.zeros(2, 3, self.config.tile, self.config.tile, dtype=torch.uint8)
        timed = self.config.steps == 0 and self._team is None
        fabric = None if self._team is None else self._team.fabric
        self._device = choose_device(plan.network, sample, self.config.precision, timed=timed, fabric=fabric)
        self.clock = Clock(self.config.longest_minutes, self.config.steps, elapsed)
        self.supply = Supply(learning, self.config, self._device, self.config.devices)
        self.learner = Learner(plan.network, self._device, self.config, plan.pixels_by_class, self._team)
        self.schedule = Schedule(self.config, self.supply.steps_in_a_pass)
        self._validator = Validator(held_out, plan.spec.classes, self.config.validation_tiles)
        self.record, self._alarm = Record(project, plan), Alarm(plan.class_names)
        self._examples = ExamplePatches(self._validator, project.classes)
        predict = partial(predict_region, self.learner.mean_network, self._device)
        self._view = LiveView(project, plan.run, predict, self.config.stain_norm)
        self.rate = self.config.learning_rate
        self.stopped = False
        self.returns = 0  # times it went back to its best
        self._notes: list[Note] = []
        self._due = self._state_due = 0.0, 0  # seconds and step of the next validation, of the next state
        if plan.state is not None:
            self._load(plan.state.numbers, plan.state.tensors)
        self._board: Board | None = None
        if self.config.tensorboard:
            self._board = Board(plan.run / "tensorboard", self.learner, resumed=plan.state is not None)

    # -- what a stage does

    def step(self, rate: float) -> float:
        """Learn from a freshly drawn batch; return the loss, NaN where nothing could be learnt from it."""
        while True:
            try:
                return self.learner.learn(self.supply.batches(), rate)
            except (RuntimeError, MemoryError) as error:
                if self._team is not None or not is_out_of_memory(error):
                    raise
            self.supply.halve()
            self._notes.append(Note(f"Memory ran out; a step now takes {self.supply.batch} tiles at once.", True))

    def tell(self, stage: str, rate: float | None = None) -> Iterator[Event]:
        """Yield a step's progress, and the view where it is due."""
        step = self.learner.step
        if not self.clock.by_steps and self._team is None:  # another number of threads rounds otherwise
            self._threads.adapt()
        fraction, left = self.clock.fraction(step), self.clock.seconds_left(step)
        yield Progress(stage, fraction, left, step, self.learner.loss, rate, self.clock.elapsed)
        if self._board is not None:
            self._board.stepped(rate)
        while self._notes:
            yield self._notes.pop(0)
        if step >= _FIRST_LOOK or self.record.best is not None:
            yield from self._view.events()

    @property
    def validation_due(self) -> bool:
        """Whether it is time to look at the held-out slides."""
        if self.clock.by_steps:
            return self.learner.step >= self._due[1]
        return self.clock.elapsed >= self._due[0]

    def validate(self, rate: float = 0.0) -> Iterator[Event]:
        """Score the running mean on the held-out tiles; keep it where it is the best so far."""
        begin = self.clock.elapsed
        confusion = self._validator.score(self.learner.mean_network, self._device)
        event = self.record.validated(self.learner, confusion, self.clock.elapsed, rate)
        self.schedule.validated(best=event.best)
        yield event
        trouble = self._alarm.look(confusion, self.learner.training_dice, self.learner.step)
        if trouble is not None:
            yield Note(trouble, warning=True)
        path = self.plan.run / "examples.png"
        picture = self._examples.write(path, self.learner.mean_network, self._device)
        if self._board is not None:
            self._board.validated(event, picture)
        yield Examples(str(path))
        yield from self._view.events()
        self._plan_validation(self.clock.elapsed - begin)

    def _plan_validation(self, cost: float) -> None:
        least, most = _SECONDS_BETWEEN
        whole = self.clock.elapsed + self.clock.left
        pause = max(min(most, max(least, whole / _VALIDATIONS)), _COST * cost)
        steps = max(1, min(self.config.steps // _VALIDATIONS, self.schedule.steps_in_a_pass * 2))
        self._due = self.clock.elapsed + pause, self.learner.step + steps

    def score(self) -> Confusion:
        """Return the scores of the running mean on the held-out tiles, without keeping them."""
        return self._validator.score(self.learner.mean_network, self._device)

    def keep_state(self) -> None:
        """After each pass over the slides write what it takes to go on, unless writing takes too long for that."""
        if self.clock.elapsed < self._state_due[0] or self.learner.step < self._state_due[1]:
            return
        begin = self.clock.elapsed
        save_state(self.plan.run, self.learner.tensors(), self._numbers())
        pause = _STATE_COST * (self.clock.elapsed - begin)
        self._state_due = self.clock.elapsed + pause, self.learner.step + self.schedule.steps_in_a_pass

    def finish(self) -> Iterator[Event]:
        """Score the best weights on all that is held out, as far as time allows, and write the model's last word."""
        self._part_with_team()
        self.clock.end()
        scores = self.record.best
        assert scores is not None
        if not self._validator.whole and not self.stopped:
            scores = yield from self._score_whole(scores)
        forget_state(self.plan.run)
        self.bundle: Bundle = self.record.finish(self.learner.step, self.clock.elapsed, scores)

    def _score_whole(self, some: Confusion) -> Generator[Event, None, Confusion]:
        """Return the scores on all tiles, or on some where there is no time for more or a person wants the end."""
        whole, begin = Validator(self._held_out, self.plan.spec.classes), self.clock.elapsed
        self.learner.mean_network.load_state_dict(self.record.best_weights())
        scores = some
        for number, scores in enumerate(whole.scores(self.learner.mean_network, self._device), 1):
            yield from self.tell("Scoring")
            late = self.clock.elapsed - begin > max(_FINAL_SECONDS, _FINAL_SHARE * begin)
            if self.stopped or (late and number >= len(self._validator.tiles)):
                return scores if number >= len(self._validator.tiles) else some
        return scores

    # -- what is heard

    def heed(self, command: Command | None) -> None:
        """Take what was said at any event; it is acted on at the next step."""
        if isinstance(command, Stop):
            self.stopped = True
        elif isinstance(command, Show):
            try:
                self._view.show(command)
            except PathsegError as error:  # a slide that came later, or whose file went; learning goes on
                _logger.warning("The view is not shown: %s", error)

    def close(self) -> None:
        """Give back what was taken for the training."""
        with ExitStack() as stack:  # each of them, whatever happens to the others
            if self._board is not None:
                stack.callback(self._board.close)
            stack.callback(self._view.close)
            stack.callback(self._threads.restore)
            stack.callback(self.supply.close)
            stack.callback(self._part_with_team)

    def _part_with_team(self) -> None:
        if self._team is not None:
            self._team.close()
            self._team = None

    # -- what a checkpoint holds beside the learner's tensors

    def _numbers(self) -> dict[str, Any]:
        return {
            "step": self.learner.step,
            "loss": self.learner.loss,
            "training_dice": self.learner.training_dice,
            "returns": self.returns,
            "elapsed": self.clock.elapsed,
            "stage_began": self.clock.stage_began,
            "rate": self.rate,
            "batch": [self.supply.batch, self.supply.accumulate],
            "rng": self.supply.chance,
            "schedule": [self.schedule.reductions, self.schedule.stale],
            "due": self._due,
            **self.record.numbers(),
        }

    def _load(self, kept: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        self.learner.load_tensors(tensors, kept)
        self.rate = kept["rate"]
        self.clock.stage_began = kept["stage_began"]
        self.supply.batch, self.supply.accumulate = kept["batch"]
        self.supply.chance = kept["rng"]
        self.schedule.reductions, self.schedule.stale = kept["schedule"]
        self._due = kept["due"]
        self.learner.training_dice, self.returns = kept["training_dice"], kept["returns"]
        self.record.load_numbers(kept)
        self._take_later_best()

    def _take_later_best(self) -> None:
        """Where a model better than the state knows was written before the run was killed, let it count."""
        later = self.record.later_weights()
        if later is not None:
            own = {name: tensor.clone() for name, tensor in self.learner.mean_network.state_dict().items()}
            self.learner.mean_network.load_state_dict(later)
            self.record.best = self.score()
            self.learner.mean_network.load_state_dict(own)


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch or the system refused memory; on a CPU torch says so in words only."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in text
