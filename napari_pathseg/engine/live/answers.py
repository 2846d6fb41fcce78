"""What the live model has answered for the slide in view, and what it should answer or look at next."""

import zlib
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from napari_pathseg.engine.events import LiveTile
from napari_pathseg.engine.live.live_slide import Cell, LiveSlide
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.engine.live.tile_features import ScaleWeights, TileFeatures
from napari_pathseg.geometry import Region, layout

MANY = 64  # tiles: of a larger view or box to fill, only those with tissue are computed
_MESSAGE = 1024  # answers along a message's side
_REST_STEP = 4  # mask pixels: the rest of a slide is answered more coarsely than the view


@dataclass(frozen=True)
class View:
    """What is on screen: a box of a slide's mask grid, one answer for `step` mask pixels along a side."""

    slide: LiveSlide
    region: Region
    step: int


class Answers:
    """The answers for the slide in view, tile by tile.

    Attributes
    ----------
    view
        What is on screen, None for nothing.
    tissue
        The tiles of its slide that show tissue, None if that is not known.
    """

    def __init__(self) -> None:
        self.view: View | None = None
        self.tissue: set[Cell] | None = None
        self._fit = 0
        self._answered: dict[Cell, tuple[int, int]] = {}  # fit and step
        self._sent: dict[tuple[Region, int], int] = {}  # checksums
        self._cells: dict[Cell, None] = {}  # of the view, the nearest to its centre first
        self._others: list[Cell] = []  # of its slide, with tissue, the nearest to the view first
        self._stale: deque[Cell] = deque()
        self._missing: deque[Cell] = deque()
        self._rest: deque[Cell] = deque()
        self._unseen: deque[Cell] = deque()

    def show(self, view: View | None) -> None:
        """Answer for a view from now on; what was answered for another slide is forgotten."""
        if self.view is None or view is None or self.view.slide is not view.slide:
            self._answered.clear()
            self._sent.clear()
            self.tissue = None
        self.view = view
        self._cells = {} if view is None else dict.fromkeys(view.slide.nearest_cells(view.region))
        self._look_around()

    def set_tissue(self, cells: Collection[Cell]) -> None:
        """Use the tiles that show tissue."""
        self.tissue = set(cells)
        self._look_around()

    def renew(self, fit: int) -> None:
        """Answer again, by another fit; by none, everything is to be sent again."""
        self._fit = fit
        if not fit:
            self._answered.clear()
            self._sent.clear()
        self._stale, self._rest = deque(self._cells), deque(self._others)

    def _look_around(self) -> None:
        """Find out which tiles are of interest."""
        row, column = next(iter(self._cells), (0, 0))
        others = (self.tissue or set()) - self._cells.keys()
        self._others = sorted(others, key=lambda cell: ((cell[0] - row) ** 2 + (cell[1] - column) ** 2, cell))
        self._stale, self._missing = deque(self._cells), deque(self.worthwhile(self._cells))
        self._rest, self._unseen = deque(self._others), deque(self._others)

    def worthwhile(self, cells: Collection[Cell]) -> list[Cell]:
        """Return the tiles whose features are worth computing: of many, those with tissue."""
        if len(cells) <= MANY:
            return list(cells)
        return [cell for cell in cells if cell in (self.tissue or ())]

    @property
    def cells(self) -> list[Cell]:
        """The tiles of the view, and of its slide, whose features are wanted."""
        return [*self.worthwhile(self._cells), *self._others]

    @property
    def needs_tissue(self) -> bool:
        """Whether a view of many tiles waits for where tissue is."""
        return self.tissue is None and len(self._cells) > MANY

    # -- what to do next; each returns None if there is nothing

    def next_stale(self) -> Cell | None:
        """Return a tile of the view to answer for."""
        view = self.view
        while view is not None and self._stale:
            cell = self._stale.popleft()
            if self._answered.get(cell) != (self._fit, view.step):
                return cell
        return None

    def next_of_rest(self) -> Cell | None:
        """Return a tile of the rest of the slide to answer for."""
        while self._rest:
            cell = self._rest.popleft()
            if self._answered.get(cell, (0, 0))[0] != self._fit:
                return cell
        return None

    def next_missing(self) -> Cell | None:
        """Return a tile of the view whose features to look for."""
        return self._missing.popleft() if self._missing else None

    def next_unseen(self) -> Cell | None:
        """Return a tile of the rest of the slide whose features to look for."""
        return self._unseen.popleft() if self._unseen else None

    def computed_now(self, cell: Cell) -> None:
        """Answer for a tile whose features have been computed."""
        (self._stale if cell in self._cells else self._rest).appendleft(cell)

    # -- answers

    def answer(self, cell: Cell, tile: TileFeatures, weights: ScaleWeights) -> Iterator[LiveTile]:
        """Yield what a fit finds in a tile, where it differs from what was sent."""
        view = self.view
        assert view is not None
        step = view.step if cell in self._cells else max(view.step, _REST_STEP)
        self._answered[cell] = self._fit, step
        for box in layout(view.slide.box(cell, step), _MESSAGE * step):
            pixels = weights.answer(tile, box, step, view.slide.factor)
            checksum = zlib.crc32(pixels.data)
            if self._sent.get((box, step)) != checksum:
                self._sent[box, step] = checksum
                yield LiveTile(view.slide.record.id, box, step, self._fit, pack(pixels))
