"""Prediction of one slide: tiles are read ahead, computed, and written behind.

Only tiles with tissue are computed.  A tile that cannot be read or is too large for the memory is tried again in
smaller parts; what is left then is named, and never a silent hole.  Each tile is recorded once it is on disk; what an
earlier run has done with the same settings stays.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
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
        tiles = [tile for tile in layout(region, side) if not self._leaves_out(tile)]
        todo = [tile for tile in tiles if not self._prediction.has(tile)]
        total, done = sum(map(_pixels, tiles)), 0
        for tile in (tile for tile in tiles if tile not in set(todo)):
            done += _pixels(tile)
            yield tile, done / total
        for tile in self._stream(todo):
            done += _pixels(tile)
            lost = sum(map(_pixels, self.failed))
            yield tile, (done + lost) / total

    def _leaves_out(self, tile: Region) -> bool:
        """Return whether a tile has no tissue, and record it."""
        if self._tissue is None or self._tissue.touches(tile.finer(self._slide.record.downsample)):
            return False
        if not self._prediction.has(tile, glass=True):
            self._prediction.leave_out(tile)
        return True

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
                    answers = self._answers(*ahead.popleft())
                    behind.append((answers, writer.submit(self._write, answers)))
                    self._threads.adapt()
                    while len(behind) >= _BEHIND or (behind and behind[0][1].done()):
                        yield from _written(behind.popleft())
                self.ended = not waiting and not ahead
                for _, reading in ahead:
                    reading.cancel()
                while behind:
                    yield from _written(behind.popleft())
        finally:
            self._threads.restore()

    def _write(self, answers: _Tiles) -> None:
        for tile, probabilities in answers:
            self._prediction.write(tile, probabilities)

    def _answers(self, tile: Region, pixels: Future[BoxPixels]) -> _Tiles:
        """Return the 8-bit probabilities of a tile, or of those of its parts that can be predicted."""
        try:
            return [(tile, to_8_bits(self._predictor.compute(pixels.result())))]
        except (UnsupportedSlideError, MemoryError, RuntimeError) as error:
            self._require_local(error)
            return self._in_parts(tile, error)

    def _in_parts(self, tile: Region, error: Exception) -> _Tiles:
        side = -(-max(tile.height, tile.width) // 2)
        if side < _SMALLEST:
            self.failed[tile] = str(error)
            return []
        answers: _Tiles = []
        for part in layout(tile, side):
            try:
                answers.append((part, to_8_bits(self._predictor.probabilities(self._slide, part))))
            except (UnsupportedSlideError, MemoryError, RuntimeError) as smaller:
                self._require_local(smaller)
                answers += self._in_parts(part, smaller)
        return answers

    def _require_local(self, error: Exception) -> None:
        """Raise an error that smaller tiles would not avoid: the slide is gone, or it is a bug."""
        if isinstance(error, UnsupportedSlideError):
            if not self._slide.path.exists():
                raise error
        elif isinstance(error, RuntimeError) and "memory" not in str(error):  # torch has no class of its own on a CPU
            raise error
        elif torch.cuda.is_available():
            torch.cuda.empty_cache()


def _written(tiles: tuple[_Tiles, Future[None]]) -> Iterator[Region]:
    """Wait until tiles are on disk, and yield them."""
    answers, future = tiles
    future.result()
    for tile, _ in answers:
        yield tile


def _pixels(tile: Region) -> int:
    return tile.height * tile.width
