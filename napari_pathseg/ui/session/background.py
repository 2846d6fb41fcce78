"""Long work in the background: one thread reads and writes files, all else happens where `poll` is called.

A flow is a generator.  It yields `Work`, which runs in the thread and touches neither Qt, layers nor signals, and gets
its result back; or `Wait`, until the window has got somewhere.  In between it runs in the caller of `poll`, the
window's thread.  Nothing here waits for events, so that no click can begin a second flow inside the first: flows that
are started meanwhile follow in turn.
"""

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, TypeVar

from psygnal import Signal

from napari_pathseg.errors import PathsegError

_Result = TypeVar("_Result")
Report = Callable[[float], bool]  # takes the fraction done; returns True if the work is to stop
AT_ONCE_S = 0.1  # short work is over before a person notices; its window does not flicker


@dataclass(frozen=True)
class Work:
    """A part of a flow for the thread.

    Attributes
    ----------
    run
        What to do; it reports how much is done.
    title
        What the user sees meanwhile.
    writes
        Whether it changes the project, so that closing has to wait for it.
    """

    run: Callable[[Report], Any]
    title: str
    writes: bool = False


@dataclass(frozen=True)
class Wait:
    """A pause of a flow, in which the window goes on; its result is whether it is over, or was stopped.

    Attributes
    ----------
    is_over
        Whether the flow can go on.
    finish
        Does at once what is waited for, where there is no window to do it.
    title
        What the user sees meanwhile.
    """

    is_over: Callable[[], bool]
    finish: Callable[[], None]
    title: str


Steps = Generator[Work | Wait, Any, _Result]


def run_now(steps: Steps[_Result]) -> _Result:
    """Run a flow here and now, without a thread; return its result."""
    try:
        work = next(steps)
        while True:
            try:
                result = _finish(work) if isinstance(work, Wait) else work.run(lambda _: False)
            except PathsegError as error:
                work = steps.throw(error)
            else:
                work = steps.send(result)
    except StopIteration as end:
        found: _Result = end.value
        return found


def _finish(wait: Wait) -> bool:
    wait.finish()
    return True


@dataclass(frozen=True)
class _Flow:
    steps: Steps[Any]
    done: Callable[[Any], None]
    failed: Callable[[PathsegError], None]
    stopped: Event = field(default_factory=Event)


class BackgroundJobs:
    """Runs flows one after the other; `changed` is emitted when one begins, advances or ends.

    Attributes
    ----------
    title, fraction
        What runs, and how much of it is done; the fraction is negative while that is unknown.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._waiting: deque[_Flow] = deque()
        self._flow: _Flow | None = None
        self._work: Work | Wait | None = None
        self._future: Future[Any] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._since = 0.0
        self._polling = self._stepping = False
        self.title, self.fraction = "", -1.0

    @property
    def cancelling(self) -> bool:
        """Whether what runs was asked to stop."""
        return self._flow is not None and self._flow.stopped.is_set()

    @property
    def active(self) -> bool:
        """Whether a flow runs or waits."""
        return self._flow is not None or bool(self._waiting)

    @property
    def seconds_left(self) -> float | None:
        """The time that the work in the thread still takes; None while that is unknown."""
        elapsed = time.perf_counter() - self._since
        return elapsed / self.fraction * (1 - self.fraction) if self.fraction > 0 else None

    def start(
        self, steps: Steps[_Result], done: Callable[[_Result], None], failed: Callable[[PathsegError], None]
    ) -> None:
        """Run a flow after those that were started before it; what is over soon is over when this returns.

        `done` is called with its result or `failed` with the error, both by :meth:`poll`.
        """
        self._waiting.append(_Flow(steps, done, failed))
        self.poll(AT_ONCE_S)

    def poll(self, patience_s: float = 0.0) -> None:
        """Go on with the flow whose work is done, waiting for it so long at most; call this at intervals."""
        if self._polling:  # a callback shows a dialog, whose events poll again
            return
        self._polling, until = True, time.perf_counter() + patience_s
        try:
            while self.active:
                if isinstance(self._work, Wait) and not self.cancelling and not self._work.is_over():
                    break
                if self._future is not None:
                    wait([self._future], max(0.0, until - time.perf_counter()))
                    if not self._future.done():
                        break
                self._advance()
        finally:
            self._polling = False
            self.changed.emit()

    def cancel(self) -> None:
        """Ask the flow that runs to stop; its work ends at its next report, and what it has finished stays."""
        if self._flow is not None:
            self._flow.stopped.set()
            self.changed.emit()

    def close(self) -> None:
        """Stop: drop what waits, let the thread finish what it writes, and end the flow."""
        self._waiting.clear()
        if self._stepping:  # a flow opens another project, and goes on there
            return
        self.cancel()
        flow, work, future = self._flow, self._work, self._future
        self._flow = self._work = self._future = None
        if future is not None and isinstance(work, Work) and work.writes:
            wait([future])
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        if flow is not None:
            flow.steps.close()
        self._end()
        self.changed.emit()

    def _advance(self) -> None:
        """Give the flow the result of its work and start the next, or begin the next flow."""
        future, self._future = self._future, None
        if self._flow is None:
            self._flow = self._waiting.popleft()
        flow, self._stepping = self._flow, True
        try:
            if future is None:
                work = flow.steps.send(self._work.is_over() if isinstance(self._work, Wait) else None)
            elif isinstance(error := future.exception(), PathsegError):
                work = flow.steps.throw(error)
            else:
                work = flow.steps.send(future.result())  # raises what is a bug
        except StopIteration as end:
            self._end()
            flow.done(end.value)
        except PathsegError as error:
            self._end()
            flow.failed(error)
        except BaseException:
            self._end()
            raise
        else:
            self._stepping = False
            self._submit(flow, work)

    def _submit(self, flow: _Flow, work: Work | Wait) -> None:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "background")
        if work.title != self.title:
            self._since = time.perf_counter()
        self._work, self.title, self.fraction = work, work.title, -1.0
        if isinstance(work, Wait):
            return
        self._future = self._executor.submit(work.run, partial(self._report, flow))

    def _report(self, flow: _Flow, fraction: float) -> bool:
        """Note how much is done, in the thread; return whether to stop."""
        if flow is self._flow:
            self.fraction = fraction
        return flow.stopped.is_set()

    def _end(self) -> None:
        self._stepping = False
        self._flow = self._work = None
        self.title, self.fraction = "", -1.0
