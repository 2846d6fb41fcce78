"""The live service of the worker: it drives the live model, which works beside the jobs.

It has no thread: the worker gives it a slice of time whenever it has nothing else to do, and after each event of a
job.  A failure of the live model ends the model and nothing else.  The model that the project keeps, see
`engine.training.kept_live`, is brought up to date while there is neither a stroke, nor a view to answer for, nor a job.
"""

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_pathseg.engine.events import Event, LiveKept, LiveStatus, Note, Progress
from napari_pathseg.engine.live.packed import unpack
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.protocol import FillLive, KeepLive, LiveCommand, ShowLive, StartLive, StopLive, UpdateLive
from napari_pathseg.projects.project import Project

if TYPE_CHECKING:
    from napari_pathseg.engine.live.live_model import LiveModel
    from napari_pathseg.engine.training.kept_model import KeptLive

_SHARE = 0.25  # of the time of a job that the live model may take
_SAVED_S = 1.0  # that it may save up: it answers a stroke at once, and 4 s later the next
_FOLLOWING_S = 0.6  # between strokes that follow one another: the window draws frames all the time
_PAUSE = 1.0  # times as long as it works it rests then
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
        self._held_until = self._rests_until = 0.0
        self._updated, self._follow = -_FOLLOWING_S, False  # when the last stroke came, and if soon after another
        self._keeping: Generator[Progress, None, KeptLive] | None = None
        self._must_keep = False

    @property
    def idle(self) -> bool:
        """Whether :meth:`work` has nothing to do until the next command."""
        return self._model is None or (self._model.idle and not self._must_keep)

    @property
    def ready(self) -> bool:
        """Whether the live model has found something."""
        return self._model is not None and self._model.ready

    @property
    def pause_s(self) -> float:
        """How long there is nothing to do, unless a command comes."""
        return max(0.0, self._rests_until - time.monotonic())

    def take(self, command: LiveCommand) -> None:
        """Carry out a command; its answers come from :meth:`work`.

        The view that is known already says that a stroke has begun: the window and the next command come first.
        """
        now = time.monotonic()
        self._held_until, self._rests_until = now + _HOLD_S, 0.0
        if isinstance(command, UpdateLive):
            self._follow, self._updated = now < self._updated + _FOLLOWING_S, now
        try:
            self._pass_on(command)
        except Exception as error:  # jobs must go on
            self._rest(error)

    def work(self) -> None:
        """Work for a slice of time, about 0.3 s at most; while strokes follow one another, half of the time."""
        began = time.monotonic()
        held, gentle = began < self._held_until, self._follow and began < self._updated + _FOLLOWING_S
        keeps = self._must_keep and not (held or gentle or (self._model is not None and self._model.is_behind))
        reported = self._work(background=not (held or keeps), gentle=gentle)
        now = time.monotonic()
        if keeps and not reported and now - began < _NOTHING_S:
            self._keep_on()
        elif held and not reported and now - began < _NOTHING_S:
            self._rests_until = self._held_until
        elif gentle:
            self._rests_until = now + _PAUSE * (now - began)

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

    def keep(self) -> "Generator[Progress, None, KeptLive] | None":
        """Return what brings the model that the project keeps up to date; None if there is no live model.

        The errors are those of `engine.training.kept_live.keep_live_model`.
        """
        from napari_pathseg.engine.training.kept_live import keep_live_model  # imports torch

        self.make_way()
        model = self._model
        if model is None or not model.ready:
            return None
        return keep_live_model(Project.open(model.project_folder), model.features, model.config)

    def make_way(self) -> None:
        """Leave the time to a job; what was begun of a model to keep is begun again after it."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.close()

    def close(self) -> None:
        """Let the model go."""
        self.make_way()
        self._must_keep = False
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
        elif isinstance(command, KeepLive):
            self.make_way()
            self._must_keep = True

    def _start(self, command: StartLive) -> None:
        from napari_pathseg.engine.live.live_model import LiveModel  # imports torch

        self.close()
        self._status, self._view = LiveStatus(ready=False), None
        self._model = LiveModel(Project.open(command.project), command.config)

    def _work(self, *, background: bool, gentle: bool = False) -> bool:
        """Let the model work for a slice; return whether it reported anything.

        The window gets all tiles of a slice at once: while it draws a frame, the next tile takes much longer.
        """
        events: list[Event] = []
        failure: Exception | None = None
        try:
            if self._model is not None:
                events.extend(map(self._as_status, self._model.work(background=background, gentle=gentle)))
        except Exception as error:  # jobs must go on
            failure = error
        for event in events:
            self._report(event)
        if failure is not None:
            self._rest(failure)
        return bool(events)

    def _keep_on(self) -> None:
        """Do the next step of keeping the model; where that fails, the one that was kept before stays."""
        try:
            self._keeping = self._keeping or self.keep()
            if self._keeping is not None:
                next(self._keeping)
                return
        except StopIteration:
            self._report(LiveKept())
        except PathsegError as error:  # there is too little to learn, or the disk refuses
            _logger.info("The live model is not kept: %s", error)
        except Exception as error:  # jobs must go on
            _logger.error("".join(traceback.format_exception(error)))
        self._keeping, self._must_keep = None, False

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
