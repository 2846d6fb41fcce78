"""What a network learns from: the labelled pixels of slides, drawn as tiles.

Tiles are drawn where labels are: first a class, then a slide that has it, then a place, so
that rare classes and small annotations are seen as often as large ones.  Step time does not
depend on how much is annotated.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.dataset.tiles import Tile
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

_BLOCK = 32  # side of the squares in which the places of a class are remembered
_KEPT_PIXELS = 400_000_000  # of all slides of a set together, 1.6 GB; the others are read tile by tile


class PatchDataset:
    """The labelled slides of one role; a context manager that closes their files.

    `keep` holds what is read in memory, as far as it fits: for those who draw often.
    """

    def __init__(
        self, project: Project, entries: Sequence[SlideRecord], config: TrainConfig, *, keep: bool = True
    ) -> None:
        sizes = np.cumsum([entry.mask_shape[0] * entry.mask_shape[1] for entry in entries])
        self.slides = [
            SlidePatchSource(project, entry, keep=bool(keep and size <= _KEPT_PIXELS), stain_norm=config.stain_norm)
            for entry, size in zip(entries, sizes, strict=True)
        ]
        self._config = config
        self._places = [slide.places(_BLOCK) for slide in self.slides]
        self.classes = sorted({label for places in self._places for label in places})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for slide in self.slides:
            slide.close()

    @property
    def tiles_per_epoch(self) -> int:
        """How many tiles show every labelled place once."""
        blocks = sum(len(np.unique(_corners(places), axis=0)) for places in self._places)
        return max(1, blocks * _BLOCK**2 // self._config.tile**2)

    def draw(self, rng: np.random.Generator) -> Tile:
        """Return a tile around a labelled place drawn by `rng`."""
        label = self.classes[rng.integers(len(self.classes))]
        having = [number for number, places in enumerate(self._places) if label in places]
        number = having[rng.integers(len(having))]
        return self._tile(self.slides[number], self._place(self._places[number][label], rng), rng)

    def spread(self, side: int, most: int, rng: np.random.Generator) -> Iterator[tuple[SlidePatchSource, Region]]:
        """Yield at most `most` boxes of masks' grids that tile the labelled places of all slides, without overlap."""
        tiles = []
        for slide, places in zip(self.slides, self._places, strict=True):
            for row, column in np.unique(_corners(places) // side, axis=0):
                region = Region(int(row) * side, int(column) * side, side, side)
                tiles.append((slide, region.clip(slide.entry.mask_shape)))
        chosen = sorted(rng.permutation(len(tiles))[:most])
        yield from (tiles[number] for number in chosen)

    def _place(
        self, places: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]], rng: np.random.Generator
    ) -> npt.NDArray[np.int32]:
        """Return a labelled place; one with corrections is as many times as likely as corrections weigh."""
        everywhere, corrected = places
        weight = (self._config.corrected_weight - 1) * len(corrected)
        chosen = corrected if rng.random() * (weight + len(everywhere)) < weight else everywhere
        place: npt.NDArray[np.int32] = chosen[rng.integers(len(chosen))] + _BLOCK // 2
        return place

    def _tile(self, slide: SlidePatchSource, place: npt.NDArray[np.int32], rng: np.random.Generator) -> Tile:
        """Return a tile that holds `place` somewhere, inside the slide where it fits."""
        config, side = self._config, self._config.tile
        corner = (place / slide.factor).astype(int) - rng.integers(side // 8, side - side // 8, size=2)
        top, left = np.clip(corner, 0, np.maximum(np.array(slide.shape) - side, 0))
        region = Region(int(top), int(left), side, side)
        labels, corrected = slide.truth(region)
        weights = None
        if config.border_weight:
            weights = slide.border_weights(region, config.border_weight, config.border_width)
        if config.corrected_weight > 1 and corrected.any():
            more = np.where(corrected, np.float32(config.corrected_weight), np.float32(1))
            weights = more if weights is None else weights * more
        context = slide.context(region) if config.context else None
        return Tile(slide.pixels(region), labels, weights, context)


def _corners(places: dict[int, tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]) -> npt.NDArray[np.int32]:
    return np.concatenate([everywhere for everywhere, _ in places.values()] or [np.empty((0, 2), np.int32)])
