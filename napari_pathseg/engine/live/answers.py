"""What the live model has answered for the slide in view, and what it should answer or look at next."""

import zlib
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from napari_pathseg.engine.dataset.tiles import grow
from napari_pathseg.engine.events import LiveTile
from napari_pathseg.engine.live.live_slide import Cell, LiveSlide
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.engine.live.tile_features import ScaleWeights, TileFeatures
from napari_pathseg.geometry import EMPTY_REGION, Region, layout

MANY = 64  # tiles: of a larger view or box to fill, only those with tissue are computed
_AROUND = 32  # answers around the view, so that it may move a little
_MESSAGE = 1024  # answers along a message's side
_REST_STEP = 4  # mask pixels: the rest of a slide is answered more coarsely than the view
_REST_ANSWERS = 8_000_000  # of a whole slide at most, a quarter of what the window keeps


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
        self._answered: dict[Cell, tuple[int, int, Region]] = {}  # fit, step and box of the mask's grid
        self._sent: dict[tuple[Cell, int], tuple[int, Region, int]] = {}  # step, box and checksum, by tile and part
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
            fit, step, box = self._answered.get(cell, _NEVER)
            if (fit, step) != (self._fit, view.step) or not _contains(box, self._part(view, cell, 0)):
                return cell
        return None

    def next_of_rest(self) -> Cell | None:
        """Return a tile of the rest of the slide to answer for."""
        while self._rest:
            cell = self._rest.popleft()
            fit, step, box = self._answered.get(cell, _NEVER)
            if fit != self._fit or (self.view and not _contains(box, self.view.slide.box(cell, step))):
                return cell
        return None

    def next_missing(self) -> Cell | None:
        """Return a tile of the view whose features to look for."""
        return self._missing.popleft() if self._missing else None

    def next_unseen(self) -> Cell | None:
        """Return a tile of the rest of the slide whose features to look for."""
        return self._unseen.popleft() if self._unseen else None

    def lost(self, cell: Cell) -> None:
        """Look for the features of a tile of the view again: others took their place."""
        if cell in self._answered and cell in self._cells:
            self._missing.append(cell)

    def computed_now(self, cell: Cell) -> None:
        """Answer for a tile whose features have been computed."""
        (self._stale if cell in self._cells else self._rest).appendleft(cell)

    # -- answers

    def answer(self, cell: Cell, tile: TileFeatures, weights: ScaleWeights) -> Iterator[LiveTile]:
        """Yield what a fit finds in a tile, where it differs from what was sent."""
        view = self.view
        assert view is not None
        step, part = rest_step(view.slide.record.mask_shape, view.step), None
        if cell in self._cells:
            step, part = view.step, self._part(view, cell, _AROUND * view.step)
        whole = view.slide.box(cell, step) if part is None else part
        self._answered[cell] = self._fit, step, whole
        for number, box in enumerate(layout(whole, _MESSAGE * step)):
            pixels = weights.answer(tile, box, step, view.slide.factor)
            sent = step, box, zlib.crc32(pixels.data)
            if self._sent.get((cell, number)) != sent:
                self._sent[cell, number] = sent
                yield LiveTile(view.slide.record.id, box, step, self._fit, pack(pixels))

    def _part(self, view: View, cell: Cell, around: int) -> Region:
        """Return the box of a tile that is answered for a view, and mask pixels around it, aligned to its step."""
        shown, step = grow(view.region, around, 1), view.step
        box = view.slide.box(cell, step)
        inside = shown.intersect(box)
        if inside.empty:
            return inside
        aligned = inside.coarser(step).finer(step)
        return aligned.intersect(box)


def rest_step(shape: tuple[int, int], step: int) -> int:
    """Return the mask pixels along an answer for the rest of a slide, whose view has `step` of them.

    >>> rest_step((1000, 1000), 1), rest_step((10_000, 10_000), 8), rest_step((100_000, 100_000), 1)
    (4, 8, 64)
    """
    step = max(step, _REST_STEP)
    while shape[0] * shape[1] > _REST_ANSWERS * step**2:
        step *= 2
    return step


_NEVER = (-1, 1, EMPTY_REGION)


def _contains(box: Region, part: Region) -> bool:
    return part.empty or box.intersect(part) == part
