"""Training tiles, sampled where slides are labelled.

A tile is sampled in three draws: a class, a slide that has it, and a block in which it
occurs, so that rare classes and small annotations are seen as often as large ones.  The time
of a draw does not depend on how much is annotated.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.slide_patches import Corners, LabelledBlocks, SlidePatchSource
from napari_pathseg.engine.dataset.tiles import MAX_CACHED_PIXELS, Tile
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

_BLOCK = 32  # mask pixels along the blocks in which the labels of a class are indexed


class PatchDataset:
    """The labelled slides of one role; a context manager that closes their files.

    With `cache`, slides stay in memory once read, as far as they fit: worthwhile for many draws.

    Attributes
    ----------
    slides
        The open slides, in the order of `entries`.
    classes
        The classes that occur in the labels, in ascending order.
    """

    def __init__(
        self, project: Project, entries: Sequence[SlideRecord], config: TrainConfig, *, cache: bool = True
    ) -> None:
        sizes = np.cumsum([entry.mask_shape[0] * entry.mask_shape[1] for entry in entries])
        self.slides = [
            SlidePatchSource(
                project, entry, cache=bool(cache and size <= MAX_CACHED_PIXELS), stain_norm=config.stain_norm
            )
            for entry, size in zip(entries, sizes, strict=True)
        ]
        self._config = config
        self._blocks = [slide.labelled_blocks(_BLOCK) for slide in self.slides]
        self.classes = sorted({label for blocks in self._blocks for label in blocks})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for slide in self.slides:
            slide.close()

    @property
    def tiles_per_epoch(self) -> int:
        """Number of tiles that cover the labelled area once."""
        count = sum(len(np.unique(_all_corners(blocks), axis=0)) for blocks in self._blocks)
        return max(1, count * _BLOCK**2 // self._config.tile**2)

    def draw(self, rng: np.random.Generator) -> Tile:
        """Return a tile at a random labelled position."""
        label = self.classes[rng.integers(len(self.classes))]
        candidates = [number for number, blocks in enumerate(self._blocks) if label in blocks]
        number = candidates[rng.integers(len(candidates))]
        return self._tile(self.slides[number], self._draw_position(self._blocks[number][label], rng), rng)

    def labelled_regions(
        self, side: int, limit: int, rng: np.random.Generator
    ) -> Iterator[tuple[SlidePatchSource, Region]]:
        """Yield boxes of masks' grids that tile the labelled area of all slides without overlap, at most `limit`."""
        tiles = []
        for slide, blocks in zip(self.slides, self._blocks, strict=True):
            for row, column in np.unique(_all_corners(blocks) // side, axis=0):
                region = Region(int(row) * side, int(column) * side, side, side)
                tiles.append((slide, region.clip(slide.entry.mask_shape)))
        chosen = sorted(rng.permutation(len(tiles))[:limit])
        yield from (tiles[number] for number in chosen)

    def _draw_position(self, blocks: LabelledBlocks, rng: np.random.Generator) -> npt.NDArray[np.int32]:
        """Return the centre of a random block; corrected ones are as many times likelier as corrections weigh."""
        weight = (self._config.corrected_weight - 1) * len(blocks.corrected)
        chosen = blocks.corrected if rng.random() * (weight + len(blocks.all)) < weight else blocks.all
        position: npt.NDArray[np.int32] = chosen[rng.integers(len(chosen))] + _BLOCK // 2
        return position

    def _tile(self, slide: SlidePatchSource, position: npt.NDArray[np.int32], rng: np.random.Generator) -> Tile:
        """Return a tile that holds `position` at a random offset, and lies inside the slide if it fits."""
        config, side = self._config, self._config.tile
        corner = (position / slide.factor).astype(int) - rng.integers(side // 8, side - side // 8, size=2)
        top, left = np.clip(corner, 0, np.maximum(np.array(slide.shape) - side, 0))
        region = Region(int(top), int(left), side, side)
        labels, corrected = slide.truth(region)
        weights = None
        if config.border_weight:
            weights = slide.border_weights(region, config.border_weight, config.border_width)
        if config.corrected_weight > 1 and corrected.any():
            correction_weights = np.where(corrected, np.float32(config.corrected_weight), np.float32(1))
            weights = correction_weights if weights is None else weights * correction_weights
        context = slide.context(region) if config.context else None
        return Tile(slide.pixels(region), labels, weights, context)


def _all_corners(blocks: dict[int, LabelledBlocks]) -> Corners:
    return np.concatenate([of_class.all for of_class in blocks.values()] or [np.empty((0, 2), np.int32)])
