"""OperationQueue: long edits of a mask, made piece by piece, each one step of undo.

To accept what a model found on a slide, or to undo a stroke across it, takes seconds; whoever
shows the mask goes on meanwhile.  What operations there are is in `edits`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.geometry import Region


class Editable(Protocol):
    """What an operation may do with a mask; see `Mask`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return copies of the labels and provenance of a box."""
        ...

    def nonempty_chunks(self, region: Region) -> Iterator[Region]:
        """Yield boxes that cover all of `region` in which anything is set."""
        ...

    def edit(self, region: Region, labels: UInt8Array, provenance: UInt8Array) -> Region:
        """Replace the labels and provenance of a box; return the box that changed."""
        ...

    def flush(self) -> None:
        """Write what was edited into the pyramids on disk; only before the first piece."""
        ...


class OperationStep(NamedTuple):
    """A part of an operation that was done: the box that changed, and how much of the operation is done, 0 to 1."""

    changed: Region
    fraction_done: float


@dataclass(frozen=True)
class MaskOperation:
    """What is done to a mask.

    Attributes
    ----------
    name
        What it is called while it goes on: "Accepting".
    steps
        Begins it; does a piece each time it is asked for the next.
    can_be_cancelled
        Whether it can be given up: what it did is undone then.
    """

    name: str
    steps: Callable[[Editable], Iterator[OperationStep]]
    can_be_cancelled: bool = True


class OperationQueue:
    """What was begun on a mask, in order: one operation runs, the others wait for it and for the strokes before them.

    Attributes
    ----------
    running
        The operation that runs.
    fraction_done
        How much of it is done, 0 to 1.
    in_step
        Whether a piece is being done at this moment.
    """

    def __init__(self) -> None:
        self.running: MaskOperation | None = None
        self.fraction_done = 0.0
        self.in_step = False
        self._steps: Iterator[OperationStep] = iter(())
        self._waiting: deque[tuple[MaskOperation, int]] = deque()

    @property
    def has_queued(self) -> bool:
        """Whether an operation was not begun yet."""
        return bool(self._waiting)

    def add(self, operation: MaskOperation, after: int) -> None:
        """Let an operation wait for its turn, which comes after so many steps of strokes."""
        self._waiting.append((operation, after))

    def put_first(self, operation: MaskOperation) -> None:
        """Let an operation be the next."""
        self._waiting.appendleft((operation, 0))

    def is_next(self, painted: int) -> bool:
        """Whether an operation may begin once so many steps of strokes are painted."""
        return self.has_queued and self._waiting[0][1] <= painted

    def start_next(self, mask: Editable) -> None:
        """Begin the operation whose turn it is; where it raises it is dropped."""
        operation, _ = self._waiting.popleft()
        self.in_step = True
        try:
            self._steps, self.fraction_done = operation.steps(mask), 0.0
        finally:
            self.in_step = False
        self.running = operation

    def run_next_step(self) -> Region | None:
        """Do a piece of the operation that runs; return the box that changed, None where it was done.

        An operation that raises is over.
        """
        piece = None
        self.in_step = True
        try:
            piece = next(self._steps, None)
        finally:
            self.in_step = False
            if piece is None:
                self.running = None
        if piece is None:
            return None
        self.fraction_done = piece.fraction_done
        return piece.changed

    def end(self) -> None:
        """Give up the operation that runs."""
        self._steps, self.running = iter(()), None
