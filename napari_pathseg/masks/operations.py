"""Deeds: long edits of a mask, made piece by piece, each one step of undo.

To accept what a model found on a slide, or to undo a stroke across it, takes seconds; whoever
shows the mask goes on meanwhile.  What deeds there are is in `edits`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.geometry import Region


class Editable(Protocol):
    """What a deed may do with a mask; see `Mask`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return copies of the labels and provenance of a box."""
        ...

    def touched(self, region: Region) -> Iterator[Region]:
        """Yield boxes that cover all of `region` in which anything is set."""
        ...

    def edit(self, region: Region, labels: UInt8Array, provenance: UInt8Array) -> Region:
        """Replace the labels and provenance of a box; return the box that changed."""
        ...

    def flush(self) -> None:
        """Write what was edited into the pyramids on disk; only before the first piece."""
        ...


class Piece(NamedTuple):
    """A part of a deed that was done: the box that changed, and how much of the deed is done, 0 to 1."""

    changed: Region
    share: float


@dataclass(frozen=True)
class Deed:
    """What is done to a mask.

    Attributes
    ----------
    name
        What it is called while it goes on: "Accepting".
    pieces
        Begins it; does a piece each time it is asked for the next.
    can_be_cancelled
        Whether it can be given up: what it did is undone then.
    """

    name: str
    pieces: Callable[[Editable], Iterator[Piece]]
    can_be_cancelled: bool = True


class Deeds:
    """What was begun on a mask, in order: one deed runs, the others wait for it and for the strokes before them.

    Attributes
    ----------
    running
        The deed that runs.
    share
        How much of it is done, 0 to 1.
    inside
        Whether a piece is being done at this moment.
    """

    def __init__(self) -> None:
        self.running: Deed | None = None
        self.share = 0.0
        self.inside = False
        self._pieces: Iterator[Piece] = iter(())
        self._waiting: deque[tuple[Deed, int]] = deque()

    @property
    def any_waits(self) -> bool:
        """Whether a deed was not begun yet."""
        return bool(self._waiting)

    def add(self, deed: Deed, after: int) -> None:
        """Let a deed wait for its turn, which comes after so many steps of strokes."""
        self._waiting.append((deed, after))

    def put_first(self, deed: Deed) -> None:
        """Let a deed be the next."""
        self._waiting.appendleft((deed, 0))

    def is_next(self, painted: int) -> bool:
        """Whether a deed may begin once so many steps of strokes are painted."""
        return self.any_waits and self._waiting[0][1] <= painted

    def begin(self, mask: Editable) -> None:
        """Begin the deed whose turn it is; where it raises it is dropped."""
        deed, _ = self._waiting.popleft()
        self.inside = True
        try:
            self._pieces, self.share = deed.pieces(mask), 0.0
        finally:
            self.inside = False
        self.running = deed

    def go_on(self) -> Region | None:
        """Do a piece of the deed that runs; return the box that changed, None where it was done.

        A deed that raises is over.
        """
        piece = None
        self.inside = True
        try:
            piece = next(self._pieces, None)
        finally:
            self.inside = False
            if piece is None:
                self.running = None
        if piece is None:
            return None
        self.share = piece.share
        return piece.changed

    def end(self) -> None:
        """Give up the deed that runs."""
        self._pieces, self.running = iter(()), None
