"""Operations: long edits of a mask, applied in steps and undone as one.

Accepting what a model found on a whole slide, or undoing a stroke across it, takes seconds; the
window stays responsive because it runs one step at a time.  The operations themselves are in
`edits`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array


class Editable(Protocol):
    """The part of a `Mask` that an operation may use."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return copies of the labels and provenance of a box."""
        ...

    def nonempty_chunks(self, region: Region) -> Iterator[Region]:
        """Yield boxes that cover every labelled pixel of `region`."""
        ...

    def edit(self, region: Region, labels: UInt8Array, provenance: UInt8Array) -> Region:
        """Replace the labels and provenance of a box; return the box that changed."""
        ...

    def flush(self) -> None:
        """Write the edited chunks to disk; allowed only before the first step."""
        ...


class OperationStep(NamedTuple):
    """A finished step: the box that changed, and how much of the operation is done, 0 to 1."""

    changed: Region
    fraction_done: float


@dataclass(frozen=True)
class MaskOperation:
    """A long edit of a mask.

    Attributes
    ----------
    name
        What the window calls it while it runs, such as "Accepting".
    steps
        Starts it: returns an iterator that does one step each time it is advanced.
    can_be_cancelled
        Whether the user may cancel it, which undoes its finished steps.
    """

    name: str
    steps: Callable[[Editable], Iterator[OperationStep]]
    can_be_cancelled: bool = True


def watched(operation: MaskOperation, done: Callable[[bool], None]) -> MaskOperation:
    """Return an operation that calls `done` when it ends, with whether it changed the mask; False if it is stopped."""

    def steps(mask: Editable) -> Iterator[OperationStep]:
        changed = finished = False
        try:
            for step in operation.steps(mask):
                changed = changed or not step.changed.empty
                yield step
            finished = True
        finally:
            done(finished and changed)

    return replace(operation, steps=steps)


class OperationQueue:
    """The operations of a mask, in order: one runs, the others wait for it and for the strokes before them.

    Attributes
    ----------
    running
        The operation that has been started, or None.
    fraction_done
        How much of it is done, 0 to 1.
    in_step
        Whether one of its steps is being executed at this moment.
    """

    def __init__(self) -> None:
        self.running: MaskOperation | None = None
        self.fraction_done = 0.0
        self.in_step = False
        self._steps: Iterator[OperationStep] = iter(())
        self._queued: deque[tuple[MaskOperation, int]] = deque()

    @property
    def has_queued(self) -> bool:
        """Whether an operation has not been started yet."""
        return bool(self._queued)

    def add(self, operation: MaskOperation, after: int) -> None:
        """Queue an operation, to start once `after` undo groups of strokes have been applied."""
        self._queued.append((operation, after))

    def add_first(self, operation: MaskOperation) -> None:
        """Queue an operation before all others."""
        self._queued.appendleft((operation, 0))

    def is_next(self, groups_applied: int) -> bool:
        """Return whether an operation may start once so many undo groups of strokes have been applied."""
        return self.has_queued and self._queued[0][1] <= groups_applied

    def start_next(self, mask: Editable) -> None:
        """Start the first queued operation; if it raises, it is dropped."""
        operation, _ = self._queued.popleft()
        self.in_step = True
        try:
            self._steps, self.fraction_done = operation.steps(mask), 0.0
        finally:
            self.in_step = False
        self.running = operation

    def run_next_step(self) -> Region | None:
        """Run a step of the running operation; return the box that changed, or None if it had no more steps.

        An operation that raises has ended.
        """
        step = None
        self.in_step = True
        try:
            step = next(self._steps, None)
        finally:
            self.in_step = False
            if step is None:
                self.running = None
        if step is None:
            return None
        self.fraction_done = step.fraction_done
        return step.changed

    def stop(self) -> None:
        """Drop the running operation; its finished steps stay."""
        self._steps, self.running = iter(()), None
