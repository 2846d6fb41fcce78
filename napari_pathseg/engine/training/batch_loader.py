"""Batches of augmented tiles, loaded ahead of the training step, and cached encoder features."""

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
from napari_pathseg.engine.inference.region_predictor import as_tensor
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.training.train_state import Batch
from napari_pathseg.errors import OutOfMemoryError

_MAX_STEPS_PER_EPOCH = 250


class BatchLoader:
    """Draws tiles from a dataset, augments them, and sends them to the device.

    The next step's batches are drawn in a thread while the current step runs.

    Parameters
    ----------
    dataset, config, device
        Where tiles come from, how they are augmented and batched, and where they go.
    world_size
        Number of processes that share each batch in equal parts.

    Attributes
    ----------
    batch, accumulate
        Tiles in a batch, and batches in a step; they change when memory runs out.
    rng
        Generator of all random numbers here.
    """

    def __init__(self, dataset: PatchDataset, config: TrainConfig, device: Device, world_size: int = 1) -> None:
        self._dataset, self._config, self._device = dataset, config, device
        self._augment = Augmentation(config, dataset.learnt_slides)
        self._tiles_per_epoch = dataset.tiles_per_epoch
        self._tiles_per_step = config.batch * config.accumulate  # also after the batch was halved
        self.batch, self.accumulate = config.batch // world_size, config.accumulate
        self.rng = np.random.default_rng(config.seed)
        self._cached: list[tuple[list[Tensor], Batch]] = []
        self._executor = ThreadPoolExecutor(1, "loader", initializer=_lower_priority)
        self._pending: Future[list[Batch]] | None = None
        self._state_before = self._current_state()

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which the labelled area is seen once, 250 at most."""
        return max(1, min(_MAX_STEPS_PER_EPOCH, self._tiles_per_epoch // self._tiles_per_step))

    def next_batches(self, step: int) -> list[Batch]:
        """Return the batches of a step, counted from 0, and begin to draw those of the step after it."""
        pending, self._pending = self._pending or self._prefetch(step), None
        batches = pending.result()
        self._pending = self._prefetch(step + 1)
        return batches

    @property
    def rng_state(self) -> dict[str, Any]:
        """State of the random numbers as if nothing had been drawn ahead."""
        return self._state_before if self._pending is not None else self._current_state()

    @rng_state.setter
    def rng_state(self, state: dict[str, Any]) -> None:
        self.discard()
        self.rng.bit_generator.state = state

    def _current_state(self) -> dict[str, Any]:
        return dict(self.rng.bit_generator.state)

    def _prefetch(self, step: int) -> "Future[list[Batch]]":
        self._state_before = self._current_state()
        strength = self._strength(step)
        return self._executor.submit(lambda: [self._draw(strength) for _ in range(self.accumulate)])

    def _strength(self, step: int) -> float:
        """Return the strength of the augmentation at a step: it rises over the passes of `augment_ramp`."""
        passes = step * self._tiles_per_step / self._tiles_per_epoch
        return min(1.0, passes / self._config.augment_ramp) if self._config.augment_ramp else 1.0

    def halve_batch(self) -> None:
        """Halve the batch and double the accumulation, so that a step sees as many tiles as before.

        Raises
        ------
        OutOfMemoryError
            If a batch is already a single tile.
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

    def _draw(self, strength: float = 1.0) -> Batch:
        tiles = [self._augment(self._dataset.draw(self.rng), self.rng, strength) for _ in range(self.batch)]
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
        """Cache the encoder's features of drawn tiles, a batch at each step of the iterator."""
        network.eval()
        self._cached.clear()
        while len(self._cached) < self._config.cached_tiles:
            batch = self._draw()
            with torch.no_grad(), self._device.autocast():
                features = network.encode(batch.pixels, batch.context)
            self._cached += [([level[i] for level in features], _single(batch, i)) for i in range(len(batch.pixels))]
            yield

    def cached_batch(self) -> tuple[list[Tensor], Batch]:
        """Return cached features of random tiles, flipped at random, and the batch that they belong to."""
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
        """Drop the cached features and the batches drawn ahead; the random numbers return to before them."""
        self._cached.clear()
        if self._pending is not None:
            with contextlib.suppress(RuntimeError, MemoryError):  # of a draw that is dropped anyway
                self._pending.result()
            self.rng.bit_generator.state = self._state_before
            self._pending = None

    def close(self) -> None:
        """Stop the thread that draws ahead."""
        self._executor.shutdown()


def _lower_priority() -> None:
    """Let this thread use one core, and only while the training step leaves it free."""
    torch.set_num_threads(1)
    if sys.platform == "linux":  # where threads have their own niceness
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _single(batch: Batch, number: int) -> Batch:
    """Return one tile of a batch, with weights of 1 if the batch has none."""
    weights = torch.ones_like(batch.labels[number], dtype=torch.float32)
    return Batch(
        batch.pixels[number], batch.labels[number], weights if batch.weights is None else batch.weights[number]
    )
