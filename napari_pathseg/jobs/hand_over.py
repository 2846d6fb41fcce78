"""A training beside the live model: which of the two answers for the view.

The live model is kept first, so that it has scores on what the training holds out.  It answers until a validation of
the training is better on the same tiles; the views that the window asks of the training wait for that.
"""

import contextlib
import logging
import time
import traceback
from collections.abc import Generator

from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.events import (
    Command,
    Event,
    Job,
    LiveCompared,
    Progress,
    RequestPreview,
    Started,
    Stop,
    Validated,
)
from napari_pathseg.engine.training.kept_model import KeptLive
from napari_pathseg.engine.training.stored_run import load_stored_run
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.live import LiveService
from napari_pathseg.projects.project import Project

_LONGEST_S = 5.0  # that a training waits for the live model to be kept
_logger = logging.getLogger(__name__)


def train_beside_live(job: Job[Bundle], project: Project, live: LiveService) -> Job[tuple[Bundle, float | None]]:
    """Run a training beside the live model.

    Parameters
    ----------
    job
        The training, which has not begun.
    project
        Its project.
    live
        The live model.

    Returns
    -------
    job
        The events of the training, with a `LiveCompared` where the two compare.  It returns the model, and the live
        model's mean Dice on what that was scored on, None if the two do not compare.
    """
    with contextlib.closing(job):
        orders = _Orders()
        kept = yield from _keep(live, orders)
        comparison = _Comparison(project, kept, live)
        command: Command | None = None
        while True:
            try:
                event = job.send(command)
            except StopIteration as end:
                bundle: Bundle = end.value
                return bundle, comparison.dice_beside(bundle)
            orders.take((yield event))
            news = comparison.after(event)
            if news is not None:
                orders.take((yield news))
            command = orders.next(views=not comparison.live_leads)


class _Orders:
    """The commands to a training that were not passed on yet: a stop, and the last view."""

    def __init__(self) -> None:
        self._stop: Stop | None = None
        self._view: RequestPreview | None = None

    def take(self, command: Command | None) -> None:
        """Remember a command."""
        if isinstance(command, Stop):
            self._stop = command
        elif isinstance(command, RequestPreview):
            self._view = command

    @property
    def stopped(self) -> bool:
        """Whether a stop waits."""
        return self._stop is not None

    def next(self, *, views: bool) -> Command | None:
        """Return the next command; a view only if there are to be `views`."""
        if self._stop is not None:
            stop, self._stop = self._stop, None
            return stop
        if not views:
            return None
        view, self._view = self._view, None
        return view


def _keep(live: LiveService, orders: _Orders) -> Job[KeptLive | None]:
    """Keep the live model; return None if that is impossible, takes too long, or the training is stopped."""
    end = time.monotonic() + _LONGEST_S
    with contextlib.closing(_steps_to_keep(live)) as keeping:
        while True:
            try:
                event = next(keeping)
            except StopIteration as done:
                kept: KeptLive | None = done.value
                return kept
            except PathsegError as error:  # the training says what is wrong, if it is
                _logger.info("The live model is not kept: %s", error)
                return None
            except Exception as error:  # the training goes on without it
                _logger.error("".join(traceback.format_exception(error)))
                return None
            orders.take((yield event))
            if orders.stopped or time.monotonic() > end:
                return None


def _steps_to_keep(live: LiveService) -> Generator[Progress, None, KeptLive | None]:
    keeping = live.keep()
    return None if keeping is None else (yield from keeping)


class _Comparison:
    """Which is better on what is held out: the live model that was kept, or None, or the training."""

    def __init__(self, project: Project, kept: KeptLive | None, live: LiveService) -> None:
        self._project, self._kept, self._live = project, kept, live
        self._comparable = self._leads = False

    @property
    def live_leads(self) -> bool:
        """Whether the live model answers for the view."""
        return self._leads

    def after(self, event: Event) -> LiveCompared | None:
        """Return what is new after an event of the training."""
        if self._kept is None:
            return None
        if isinstance(event, Started):
            self._comparable = self._leads = self._same_held_out(event.run)
            return LiveCompared(self._kept.bundle.mean_dice) if self._leads else None
        if not self._leads:
            return None
        if not self._live.ready:  # it was switched off
            self._leads = False
            return LiveCompared(self._kept.bundle.mean_dice, leads=False)
        if isinstance(event, Validated):
            dice = self._kept.dice_on(event.tiles)
            if dice is not None and event.mean_dice > dice:
                self._leads = False
                return LiveCompared(dice, event.mean_dice, leads=False)
        return None

    def dice_beside(self, bundle: Bundle) -> float | None:
        """Return the live model's mean Dice on what a model was scored on, None if they do not compare."""
        return self._kept.dice_on(bundle.scored_tiles) if self._kept is not None and self._comparable else None

    def _same_held_out(self, run: str) -> bool:
        """Return whether a run holds out what the live model was scored on."""
        assert self._kept is not None
        stored, bundle = load_stored_run(self._project.folder / "runs" / run), self._kept.bundle
        return sorted(stored["val"]) == sorted(bundle.val) and stored.get("held_out", {}) == bundle.held_out
