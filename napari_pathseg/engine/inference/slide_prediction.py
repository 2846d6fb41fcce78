"""Prediction of one slide: blocks of tiles are read ahead and computed, and their tiles written behind.

Only tiles with tissue are computed.  A tile that cannot be read or is too large for the memory is tried again in
smaller parts; what is left then is named, and never a silent hole.  Each tile is recorded once it is on disk; what an
earlier run has done with the same settings stays.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import is_out_of_memory
from napari_pathseg.engine.inference.region_predictor import to_8_bits
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import EMPTY_REGION, Region, layout, nearest_first
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import TileStore
from napari_pathseg.slides.tissue import TissueMask

_AHEAD, _BEHIND = 2, 2  # blocks in memory before the network, and tiles after it
_SMALLEST = 64  # mask pixels along a tile that is not divided any further
_LEAST_FULL = 0.6  # of a block that is predicted: the rest of it is glass, or done
_Answer = tuple[Region, UInt8Array, UInt8Array | None]
_Ahead = deque[tuple["Block", Future[Any]]]


class Block(NamedTuple):
    """Tiles that are predicted together, and the box that they are predicted as a part of, some of it done before."""

    whole: Region
    tiles: list[Region]


class TilePredictor(Protocol):
    """Predicts tiles of a slide, neighbouring ones together."""

    def block(self, factor: float) -> int:
        """Return the mask pixels along a box whose tiles are predicted together; 0: each alone."""

    def read_tiles(self, slide: SlidePatchSource, tiles: Sequence[Region], whole: Region, /) -> Any:
        """Read what is needed to predict tiles of a block, which is `whole`, in any thread."""

    def compute_tiles(self, read: Any, /) -> Iterator[tuple[Region, Tensor, Tensor | None] | None]:
        """Yield tiles with their probabilities, and how much positions disagree if there are several.

        None is yielded where the caller may stop meanwhile.
        """


class SlidePrediction:
    """Predicts boxes of one slide's mask grid.

    Parameters
    ----------
    predictor
        The network.
    slide, prediction
        Where the pixels come from and where the answer goes.
    tissue
        Where the slide has tissue; None to predict all of it.
    view
        Returns what is on screen, which is predicted first.
    stopped
        Returns whether to end; tiles that are computed by then are still written.

    Attributes
    ----------
    failed
        By box that could not be predicted: why.
    ended
        Whether all tiles were tried, and it was not stopped before.
    """

    def __init__(
        self,
        predictor: TilePredictor,
        slide: SlidePatchSource,
        prediction: TileStore,
        tissue: TissueMask | None,
        *,
        view: Callable[[], Region],
        stopped: Callable[[], bool],
    ) -> None:
        self._predictor, self._slide, self._prediction = predictor, slide, prediction
        self._tissue, self._view, self._stopped = tissue, view, stopped
        self._threads = CpuThreadTuner()
        self.failed: dict[Region, str] = {}
        self.ended = False

    def tiles(self, region: Region, side: int) -> Iterator[tuple[Region | None, float]]:
        """Predict a box; yield each tile that is on disk with the share of the box's tissue that is done by then.

        Tiles of an earlier run come first.  None is yielded meanwhile.
        """
        tiles = self._with_tissue(list(layout(region, side)))
        block = self._predictor.block(self._slide.factor) // side * side
        blocks = blocks_of(tiles, block)  # the same whatever an earlier run has done
        earlier = {tile for tile in tiles if self._prediction.has(tile)}
        total, done = sum(map(_pixels, tiles)), 0
        for tile in (tile for tile in tiles if tile in earlier):
            done += _pixels(tile)
            yield tile, done / total
        for written in self._stream(_without(blocks, earlier)):
            done += 0 if written is None else _pixels(written)
            lost = sum(map(_pixels, self.failed))
            yield written, (done + lost) / total

    def _with_tissue(self, tiles: list[Region]) -> list[Region]:
        """Return the tiles that have tissue, and record the others."""
        tissue, downsample = self._tissue, self._slide.record.downsample
        if tissue is None:
            return tiles
        found = [tile for tile in tiles if tissue.touches(tile.finer(downsample))]
        glass = set(tiles).difference(found)
        self._prediction.leave_out(
            [tile for tile in tiles if tile in glass and not self._prediction.has(tile, glass=True)]
        )
        return found

    def _stream(self, waiting: list[Block]) -> Iterator[Region | None]:
        """Predict tiles and yield them as they are written; reading and writing go on beside the network."""
        ahead: _Ahead = deque()
        behind: deque[tuple[Region, Future[None]]] = deque()
        seen, side = EMPTY_REGION, self._predictor.block(self._slide.factor)
        try:
            with ThreadPoolExecutor(1, "tiles-read") as reader, ThreadPoolExecutor(1, "tiles-write") as writer:
                while (waiting or ahead) and not self._stopped():
                    if self._view() != seen:
                        seen = self._view()
                        waiting = _seen_first(_taken_back(ahead) + waiting, seen, side)
                    while waiting and len(ahead) < _AHEAD:
                        block = waiting.pop(0)
                        ahead.append((block, reader.submit(self._read, block)))
                    block, reading = ahead.popleft()
                    while behind and len(block.tiles) > 1:  # so that a kill costs no more than one block
                        yield _written(behind.popleft())
                    left = dict.fromkeys(block.tiles)
                    for answer in self._answers(block, reading.result):
                        if answer is None:
                            yield None
                        else:
                            left.pop(answer[0], None)
                            behind.append((answer[0], writer.submit(self._prediction.write, *answer)))
                        self._threads.adapt()
                        while len(behind) >= _BEHIND or (behind and behind[0][1].done()):
                            yield _written(behind.popleft())
                        if left and (self._stopped() or self._should_turn(seen, waiting, ahead)):
                            waiting.insert(0, Block(block.whole, list(left)))
                            break
                self.ended = not waiting and not ahead
                _taken_back(ahead)
                while behind:
                    yield _written(behind.popleft())
        finally:
            self._threads.restore()

    def _read(self, block: Block) -> Any:
        return self._predictor.read_tiles(self._slide, block.tiles, block.whole)

    def _should_turn(self, seen: Region, waiting: list[Block], ahead: _Ahead) -> bool:
        """Return whether the view has moved to tiles that wait, so that the present block must wait."""
        view = self._view()
        return view != seen and any(_touching(block, view) for block in (*waiting, *(block for block, _ in ahead)))

    def _answers(self, block: Block, read: Callable[[], Any]) -> Iterator[_Answer | None]:
        """Yield the 8-bit probabilities of tiles, or of those of their parts that can be predicted."""
        left = dict.fromkeys(block.tiles)
        try:
            for found in self._predictor.compute_tiles(read()):
                if found is None:
                    yield None
                    continue
                tile, probabilities, disagreement = found
                answer = tile, to_8_bits(probabilities), None if disagreement is None else to_8_bits(disagreement)
                del left[tile]
                yield answer
            return
        except (UnsupportedSlideError, MemoryError, RuntimeError) as error:
            if not self._is_local(error):
                raise
            problem = str(error)
        for smaller in self._smaller(block.whole, list(left), problem):
            yield from self._answers(smaller, partial(self._read, smaller))

    def _smaller(self, whole: Region, tiles: list[Region], problem: str) -> list[Block]:
        """Return tiles that failed together in smaller blocks, or a single one in parts; note what is too small."""
        if len(tiles) > 1:
            return blocks_of(tiles, max(whole[2:]) // 2)
        if tiles[0] != whole:
            return [Block(tiles[0], tiles)]
        side = -(-max(whole[2:]) // 2)
        if side < _SMALLEST:
            self.failed[whole] = problem
            return []
        return [Block(part, [part]) for part in layout(whole, side)]

    def _is_local(self, error: Exception) -> bool:
        """Return whether a smaller tile may avoid an error: not if the slide is gone, or it is a bug."""
        if isinstance(error, UnsupportedSlideError):
            return self._slide.path.exists()
        if is_out_of_memory(error) and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return is_out_of_memory(error)


def blocks_of(tiles: list[Region], side: int) -> list[Block]:
    """Return tiles in blocks: boxes of a `side`, smaller ones where much of such a box is no tile.

    None reaches over a line of the grid of such boxes, so that rows of the grid may be predicted apart.
    """
    cells: dict[tuple[int, int], list[Region]] = {}
    for tile in tiles:
        cells.setdefault((tile.top // side, tile.left // side) if side else tile[:2], []).append(tile)
    blocks = []
    for cell in cells.values():
        left = cell
        while left:
            blocks.append(_first_block(left, side))
            taken = set(blocks[-1].tiles)
            left = [tile for tile in left if tile not in taken]
    return blocks


def rows_of(tiles: list[Region]) -> list[Block]:
    """Return tiles in rows."""
    rows: dict[int, list[Region]] = {}
    for tile in tiles:
        rows.setdefault(tile.top, []).append(tile)
    blocks = []
    for row in rows.values():
        whole = row[0]
        for tile in row:
            whole = whole.unite(tile)
        blocks.append(Block(whole, row))
    return blocks


def _first_block(tiles: list[Region], side: int) -> Block:
    while side > max(tiles[0][2:]):
        whole, block = tiles[0], tiles[:1]
        for tile in tiles[1:]:
            wider = whole.unite(tile)
            if max(wider[2:]) <= side:
                whole = wider
                block.append(tile)
        if sum(map(_pixels, block)) >= _LEAST_FULL * _pixels(whole):
            return Block(whole, block)
        side //= 2
    return Block(tiles[0], tiles[:1])


def _without(blocks: list[Block], tiles: set[Region]) -> list[Block]:
    """Return what is left of blocks without tiles."""
    left = [Block(whole, [tile for tile in inside if tile not in tiles]) for whole, inside in blocks]
    return [block for block in left if block.tiles]


def _seen_first(blocks: list[Block], view: Region, side: int) -> list[Block]:
    """Return blocks so that what is on screen comes first, in blocks by itself, from its centre outwards."""
    tiles = [tile for block in blocks for tile in block.tiles if not tile.intersect(view).empty]
    return blocks_of(nearest_first(tiles, view), side) + _without(blocks, set(tiles))


def _touching(block: Block, box: Region) -> bool:
    return any(not tile.intersect(box).empty for tile in block.tiles)


def _taken_back(ahead: _Ahead) -> list[Block]:
    """Cancel the reading of blocks, and return them."""
    blocks = [block for block, _ in ahead]
    for _, reading in ahead:
        reading.cancel()
    ahead.clear()
    return blocks


def _written(writing: tuple[Region, Future[None]]) -> Region:
    """Wait until a tile is on disk, and return it."""
    tile, future = writing
    future.result()
    return tile


def _pixels(tile: Region) -> int:
    return tile.height * tile.width
