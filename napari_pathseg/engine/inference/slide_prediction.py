"""Prediction of one slide: tiles are read ahead, computed, and written behind.

Only tiles with tissue are computed.  A tile that cannot be read or is too large for the memory is tried again in
smaller parts; what is left then is named, and never a silent hole.  Each tile is recorded once it is on disk; what an
earlier run has done with the same settings stays.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch

from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import is_out_of_memory
from napari_pathseg.engine.inference.region_predictor import BoxPixels, RegionPredictor, to_8_bits
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import EMPTY_REGION, Region, layout, nearest_first
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.slides.tissue import TissueMask

_AHEAD, _BEHIND = 2, 2  # tiles in memory before and after the network
_SMALLEST = 64  # mask pixels along a tile that is not divided any further
_Tiles = list[tuple[Region, UInt8Array]]


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
        predictor: RegionPredictor,
        slide: SlidePatchSource,
        prediction: Prediction,
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

    def tiles(self, region: Region, side: int) -> Iterator[tuple[Region, float]]:
        """Predict a box; yield each tile that is on disk with the share of the box's tissue that is done by then.

        Tiles of an earlier run come first.
        """
        tiles = self._with_tissue(list(layout(region, side)))
        todo = [tile for tile in tiles if not self._prediction.has(tile)]
        earlier = set(tiles).difference(todo)
        total, done = sum(map(_pixels, tiles)), 0
        for tile in (tile for tile in tiles if tile in earlier):
            done += _pixels(tile)
            yield tile, done / total
        for tile in self._stream(todo):
            done += _pixels(tile)
            lost = sum(map(_pixels, self.failed))
            yield tile, (done + lost) / total

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

    def _stream(self, waiting: list[Region]) -> Iterator[Region]:
        """Predict tiles and yield them as they are written; reading and writing go on beside the network."""
        ahead: deque[tuple[Region, Future[BoxPixels]]] = deque()
        behind: deque[tuple[_Tiles, Future[None]]] = deque()
        seen = EMPTY_REGION
        try:
            with ThreadPoolExecutor(1, "tiles-read") as reader, ThreadPoolExecutor(1, "tiles-write") as writer:
                while (waiting or ahead) and not self._stopped():
                    if self._view() != seen:
                        seen = self._view()
                        waiting = nearest_first(waiting, seen)
                    while waiting and len(ahead) < _AHEAD:
                        tile = waiting.pop(0)
                        ahead.append((tile, reader.submit(self._predictor.read, self._slide, tile)))
                    tile, reading = ahead.popleft()
                    answers = self._answers(tile, reading.result)
                    behind.append((answers, writer.submit(self._write, answers)))
                    self._threads.adapt()
                    while len(behind) >= _BEHIND or (behind and behind[0][1].done()):
                        yield from _written(behind.popleft())
                self.ended = not waiting and not ahead
                for _, unread in ahead:
                    unread.cancel()
                while behind:
                    yield from _written(behind.popleft())
        finally:
            self._threads.restore()

    def _write(self, answers: _Tiles) -> None:
        for tile, probabilities in answers:
            self._prediction.write(tile, probabilities)

    def _answers(self, tile: Region, read: Callable[[], BoxPixels]) -> _Tiles:
        """Return the 8-bit probabilities of a tile, or of those of its parts that can be predicted."""
        try:
            return [(tile, to_8_bits(self._predictor.compute(read())))]
        except (UnsupportedSlideError, MemoryError, RuntimeError) as error:
            if not self._is_local(error):
                raise
            problem = str(error)
        side = -(-max(tile.height, tile.width) // 2)
        if side < _SMALLEST:
            self.failed[tile] = problem
            return []
        parts = ((part, partial(self._predictor.read, self._slide, part)) for part in layout(tile, side))
        return [answer for part, read_part in parts for answer in self._answers(part, read_part)]

    def _is_local(self, error: Exception) -> bool:
        """Return whether a smaller tile may avoid an error: not if the slide is gone, or it is a bug."""
        if isinstance(error, UnsupportedSlideError):
            return self._slide.path.exists()
        if is_out_of_memory(error) and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return is_out_of_memory(error)


def _written(tiles: tuple[_Tiles, Future[None]]) -> Iterator[Region]:
    """Wait until tiles are on disk, and yield them."""
    answers, future = tiles
    future.result()
    for tile, _ in answers:
        yield tile


def _pixels(tile: Region) -> int:
    return tile.height * tile.width
