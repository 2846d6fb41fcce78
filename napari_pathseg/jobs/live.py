"""The live service of the worker: it drives the live model, which works beside the jobs.

It has no thread: the worker gives it a slice of time whenever it has nothing else to do, and after each event of a
job.  A failure of the live model ends the model and nothing else.
"""

import contextlib
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_pathseg.engine.events import Event, LiveStatus, Note
from napari_pathseg.engine.live.packed import unpack
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.protocol import FillLive, LiveCommand, ShowLive, StartLive, StopLive, UpdateLive
from napari_pathseg.projects.project import Project

if TYPE_CHECKING:
    from napari_pathseg.engine.live.live_model import LiveModel

_SHARE = 0.25  # of the time of a job that the live model may take
_SAVED_S = 1.0  # that it may save up: it answers a stroke at once, and 4 s later the next
_NOTHING_S = 0.005  # a slice as short as this had nothing to do
_HOLD_S = 1.0  # after a command, in which nothing is done that was not asked for: the next one may come at any moment
_logger = logging.getLogger(__name__)


class LiveService:
    """Passes commands on to the live model and reports its events; see :meth:`work` and :meth:`work_beside_job`."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        self._report = report
        self._model: LiveModel | None = None
        self._status = LiveStatus(ready=False)
        self._left_s, self._since = _SAVED_S, time.monotonic()  # time that it may take from a job, and as of when
        self._view: ShowLive | None = None
        self._held_until, self._waits = 0.0, False  # whether nothing is left to do until then

    @property
    def idle(self) -> bool:
        """Whether :meth:`work` has nothing to do until the next command."""
        return self._model is None or self._model.idle

    @property
    def pause_s(self) -> float:
        """How long there is nothing to do, unless a command comes."""
        return max(0.0, self._held_until - time.monotonic()) if self._waits else 0.0

    def take(self, command: LiveCommand) -> None:
        """Carry out a command; its answers come from :meth:`work`.

        The view that is known already says that a stroke has begun: the window and the next command come first.
        """
        self._held_until, self._waits = time.monotonic() + _HOLD_S, False
        try:
            self._pass_on(command)
        except Exception as error:  # jobs must go on
            self._rest(error)

    def work(self) -> None:
        """Work for a slice of time, about 0.3 s at most."""
        held, began = time.monotonic() < self._held_until, time.monotonic()
        reported = self._work(background=not held)
        self._waits = held and not reported and time.monotonic() - began < _NOTHING_S

    def work_beside_job(self) -> None:
        """Answer strokes and the view while a job runs, within the live model's share of the time."""
        start = time.monotonic()
        self._left_s = min(_SAVED_S, self._left_s + _SHARE * (start - self._since))
        while self._left_s > 0 and self._model is not None:
            began = time.monotonic()
            reported = self._work(background=False)
            took = time.monotonic() - began
            self._left_s -= took
            if not reported and took < _NOTHING_S:
                break
        self._since = time.monotonic()

    def close(self) -> None:
        """Let the model go."""
        model, self._model = self._model, None
        if model is not None:
            with contextlib.suppress(Exception):  # it may have failed
                model.close()

    def _pass_on(self, command: LiveCommand) -> None:
        if isinstance(command, StartLive):
            self._start(command)
        elif isinstance(command, StopLive):
            self.close()
        elif self._model is None:  # it has failed, and rests until it is started again
            return
        elif isinstance(command, ShowLive) and command != self._view:
            self._view = command
            self._model.show(command.slide, command.region, command.step)
        elif isinstance(command, UpdateLive):
            shape = (2, command.region.height, command.region.width)
            pixels = unpack(command.pixels, shape) if command.pixels else None
            self._model.update(command.slide, command.region, pixels)
        elif isinstance(command, FillLive):
            self._model.fill(command.slide, command.region)

    def _start(self, command: StartLive) -> None:
        from napari_pathseg.engine.live.live_model import LiveModel  # imports torch

        self.close()
        self._status, self._view = LiveStatus(ready=False), None
        self._model = LiveModel(Project.open(command.project), command.config)

    def _work(self, *, background: bool) -> bool:
        """Let the model work for a slice; return whether it reported anything.

        The window gets all tiles of a slice at once: while it draws a frame, the next tile takes much longer.
        """
        events: list[Event] = []
        failure: Exception | None = None
        try:
            if self._model is not None:
                events.extend(map(self._as_status, self._model.work(background=background)))
        except Exception as error:  # jobs must go on
            failure = error
        for event in events:
            self._report(event)
        if failure is not None:
            self._rest(failure)
        return bool(events)

    def _as_status(self, event: Event) -> Event:
        """Return the event; what the model notes is part of its status, as notes belong to jobs."""
        if isinstance(event, Note):
            return replace(self._status, text=event.text, warning=event.warning)
        if isinstance(event, LiveStatus):
            self._status = event
        return event

    def _rest(self, error: Exception) -> None:
        """Let the model go until it is started again, and say why."""
        self.close()
        text = str(error)
        if not isinstance(error, PathsegError):
            _logger.error("".join(traceback.format_exception(error)))
            what = f"{type(error).__name__}: {error}"
            text = f"Live rests because of an unexpected error ({what}). Switch it off and on to start it again."
        self._report(LiveStatus(ready=False, text=text, warning=True))
