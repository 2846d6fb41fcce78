"""What a step learns from: batches of varied tiles, and features of tiles that are kept."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.augmentation import Augmentation
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.dataset.tiles import Tile
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.predict_region import as_tensor
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.training.train_state import Batch
from napari_pathseg.errors import OutOfMemoryError

_LONGEST_PASS = 250  # steps


class BatchLoader:
    """Draws tiles of a set, varies them and brings them to the device; of a batch one of `share` equal parts.

    Attributes
    ----------
    batch, accumulate
        Tiles in a batch, and batches in a step; they change when memory runs out.
    rng
        What all is drawn with.
    """

    def __init__(self, learning: PatchDataset, config: TrainConfig, device: Device, share: int = 1) -> None:
        self._learning, self._config, self._device = learning, config, device
        self._augment = Augmentation(config)
        self.batch, self.accumulate = config.batch // share, config.accumulate
        self.rng = np.random.default_rng(config.seed)
        self._cached: list[tuple[list[Tensor], Batch]] = []
        self._executor = ThreadPoolExecutor(1, "loader", initializer=_draw_quietly)
        self._pending: Future[list[Batch]] | None = None
        self._before = self._state()

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every labelled place is seen once, 250 at most."""
        tiles = self._learning.tiles_per_epoch
        return max(1, min(_LONGEST_PASS, tiles // (self._config.batch * self._config.accumulate)))

    def next_batches(self) -> list[Batch]:
        """Return what the next step learns from; what the step after it learns from is drawn meanwhile."""
        pending, self._pending = self._pending or self._begin(), None
        drawn = pending.result()
        self._pending = self._begin()
        return drawn

    @property
    def rng_state(self) -> dict[str, Any]:
        """The state of the random numbers before what is being drawn for the next step."""
        return self._before if self._pending is not None else self._state()

    @rng_state.setter
    def rng_state(self, state: dict[str, Any]) -> None:
        self.discard()
        self.rng.bit_generator.state = state

    def _state(self) -> dict[str, Any]:
        return dict(self.rng.bit_generator.state)

    def _begin(self) -> "Future[list[Batch]]":
        self._before = self._state()
        return self._executor.submit(lambda: [self._draw() for _ in range(self.accumulate)])

    def halve_batch(self) -> None:
        """Take half as many tiles at once, and twice as often.

        Raises
        ------
        OutOfMemoryError
            If a batch is a single tile already.
        """
        if self.batch == 1:
            side = self._config.tile
            raise OutOfMemoryError(
                f"A single tile of {side} x {side} pixels does not fit into memory with the network "
                f"{self._config.architecture}. Lower tile, or choose another network."
            )
        self.discard()
        tiles = self.batch * self.accumulate
        self.batch //= 2
        self.accumulate = -(-tiles // self.batch)

    def _draw(self) -> Batch:
        tiles = [self._augment(self._learning.draw(self.rng), self.rng) for _ in range(self.batch)]
        return Batch(
            self._device.send(as_tensor(np.stack([tile.pixels for tile in tiles]))),
            self._device.send(torch.from_numpy(np.stack([tile.labels for tile in tiles]))),
            self._weights(tiles),
            self._context(tiles),
        )

    def _weights(self, tiles: list[Tile]) -> Tensor | None:
        if all(tile.weights is None for tile in tiles):
            return None
        ones = np.ones(tiles[0].labels.shape, np.float32)
        weights = np.stack([ones if tile.weights is None else tile.weights for tile in tiles])
        return self._device.send(torch.from_numpy(weights))

    def _context(self, tiles: list[Tile]) -> Tensor | None:
        contexts = [tile.context for tile in tiles if tile.context is not None]
        return self._device.send(as_tensor(np.stack(contexts))) if contexts else None

    # -- features of the frozen encoder

    def cache_features(self, network: Network) -> Iterator[None]:
        """Compute and keep the encoder's features of drawn tiles, a batch at each step of the iterator."""
        network.eval()
        self._cached.clear()
        while len(self._cached) < self._config.cached_tiles:
            batch = self._draw()
            with torch.no_grad(), self._device.autocast():
                features = network.encode(batch.pixels, batch.context)
            self._cached += [([level[i] for level in features], _tile(batch, i)) for i in range(len(batch.pixels))]
            yield

    def cached_batch(self) -> tuple[list[Tensor], Batch]:
        """Return kept features of some tiles as a batch, flipped at random, with what is learnt from them."""
        chosen = self.rng.permutation(len(self._cached))[: self._config.batch]
        axes = [axis for axis in (2, 3) if self.rng.random() < 0.5] if self._config.flip_rotate else []
        levels = zip(*(self._cached[number][0] for number in chosen), strict=True)
        features = [torch.stack(level).flip(axes).contiguous(memory_format=torch.channels_last) for level in levels]
        tiles = [self._cached[number][1] for number in chosen]
        flipped = [axis - 1 for axis in axes]
        labels = torch.stack([tile.labels for tile in tiles]).flip(flipped)
        weights = torch.stack([tile.weights for tile in tiles if tile.weights is not None]).flip(flipped)
        return features, Batch(torch.stack([tile.pixels for tile in tiles]).flip(axes), labels, weights)

    def discard(self) -> None:
        """Let kept features go, and what is being drawn."""
        self._cached.clear()
        if self._pending is not None:
            with contextlib.suppress(RuntimeError, MemoryError):  # what is not wanted may not have fitted into memory
                self._pending.result()
            self.rng.bit_generator.state = self._before
            self._pending = None

    def close(self) -> None:
        """Draw no more."""
        self._executor.shutdown()


def _draw_quietly() -> None:
    """Draw on one core, in the gaps that the step under way leaves."""
    torch.set_num_threads(1)
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _tile(batch: Batch, number: int) -> Batch:
    weights = torch.ones_like(batch.labels[number], dtype=torch.float32)
    return Batch(
        batch.pixels[number], batch.labels[number], weights if batch.weights is None else batch.weights[number]
    )
