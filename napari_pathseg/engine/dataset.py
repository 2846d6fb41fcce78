"""What a network learns from: the labelled pixels of slides, drawn as tiles.

Tiles are drawn where labels are: first a class, then a slide that has it, then a place, so
that rare classes and small annotations are seen as often as large ones.  Step time does not
depend on how much is annotated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import learnt_labels
from napari_pathseg.data.mask.store import MaskStore
from napari_pathseg.data.project import Project
from napari_pathseg.data.slide_entry import SlideEntry
from napari_pathseg.engine.tiles import layout, read_mirrored

Pixels = npt.NDArray[np.uint8]
_BLOCK = 32  # side of the squares in which the places of a class are remembered
_KEPT_PIXELS = 400_000_000  # of all slides of a set together, 1.2 GB; the others are read tile by tile


@dataclass(frozen=True)
class Tile:
    """RGB pixels, shape (side, side, 3), and class indices, shape (side, side)."""

    pixels: Pixels
    labels: Pixels


class LearningSlide:
    """A slide with a person's labels, read on the mask's grid; `keep` holds its pixels in memory."""

    def __init__(self, project: Project, entry: SlideEntry, *, keep: bool = False) -> None:
        self.entry = entry
        self._slide = project.open_slide(entry.id)
        path = project.mask_path(entry.id)
        self._store = MaskStore(path) if path.exists() else None
        self._keep = keep
        self._kept: Pixels | None = None  # filled when the slide is first drawn from

    def close(self) -> None:
        """Let the slide's file go."""
        self._slide.close()

    def pixels(self, region: Region) -> Pixels:
        """Return RGB pixels of a box that may hang over the slide; mirrored there."""
        return read_mirrored(self._read_or_keep, region, self.entry.mask_shape)

    def labels(self, region: Region) -> Pixels:
        """Return what may be learnt in a box; 0 beyond the slide."""
        inside = region.clip(self.entry.mask_shape)
        labels = np.zeros((region.height, region.width), np.uint8)
        labels[inside.shift(-region.top, -region.left).slices] = self._labels(inside)
        return labels

    def _labels(self, inside: Region) -> Pixels:
        if self._store is None:
            return np.full((inside.height, inside.width), np.uint8(self.entry.complete))
        return learnt_labels(*self._store.read(inside), self.entry.complete)

    def _read_or_keep(self, region: Region) -> Pixels:
        if self._keep and self._kept is None:
            self._kept = self._read(Region(0, 0, *self.entry.mask_shape))
        return self._read(region) if self._kept is None else self._kept[region.slices]

    def _read(self, region: Region) -> Pixels:
        pixels = self._slide.read_grid(region, self.entry.downsample)
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)

    def places(self) -> dict[int, npt.NDArray[np.int32]]:
        """Return, by class, the upper left corners of the blocks in which it occurs, shape (n, 2)."""
        found: dict[int, list[npt.NDArray[np.int32]]] = {}
        for region in layout(Region(0, 0, *self.entry.mask_shape), 2048):
            labels = self._labels(region)
            for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=2)[1:]) + 1:
                blocks = _block_any(labels == label)
                corners = np.argwhere(blocks) * _BLOCK + (region.top, region.left)
                found.setdefault(int(label), []).append(corners.astype(np.int32))
        return {label: np.concatenate(corners) for label, corners in found.items()}


def _block_any(wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    rows, columns = wanted.shape
    padded = np.pad(wanted, [(0, -rows % _BLOCK), (0, -columns % _BLOCK)])
    blocks = padded.reshape(-(-rows // _BLOCK), _BLOCK, -(-columns // _BLOCK), _BLOCK)
    found: npt.NDArray[np.bool_] = np.logical_or.reduce(blocks, axis=(1, 3))
    return found


class LearningSet:
    """The labelled slides of one role; a context manager that closes their files."""

    def __init__(self, project: Project, entries: Sequence[SlideEntry]) -> None:
        sizes = np.cumsum([entry.mask_shape[0] * entry.mask_shape[1] for entry in entries])
        self.slides = [
            LearningSlide(project, entry, keep=bool(size <= _KEPT_PIXELS))
            for entry, size in zip(entries, sizes, strict=True)
        ]
        self._places = [slide.places() for slide in self.slides]
        self.classes = sorted({label for places in self._places for label in places})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for slide in self.slides:
            slide.close()

    def draw(self, side: int, rng: np.random.Generator) -> Tile:
        """Return a tile around a labelled place drawn by `rng`."""
        label = self.classes[rng.integers(len(self.classes))]
        having = [number for number, places in enumerate(self._places) if label in places]
        number = having[rng.integers(len(having))]
        corners = self._places[number][label]
        place = corners[rng.integers(len(corners))] + _BLOCK // 2
        region = self._around(place, side, self.slides[number].entry.mask_shape, rng)
        return Tile(self.slides[number].pixels(region), self.slides[number].labels(region))

    def spread(self, side: int, most: int, rng: np.random.Generator) -> Iterator[tuple[LearningSlide, Region]]:
        """Yield at most `most` tiles that tile the labelled places of all slides, without overlap."""
        tiles = []
        for slide, places in zip(self.slides, self._places, strict=True):
            corners = np.concatenate(list(places.values())) if places else np.empty((0, 2), np.int32)
            for row, column in np.unique(corners // side, axis=0):
                region = Region(int(row) * side, int(column) * side, side, side)
                tiles.append((slide, region.clip(slide.entry.mask_shape)))
        chosen = sorted(rng.permutation(len(tiles))[:most])
        yield from (tiles[number] for number in chosen)

    @staticmethod
    def _around(place: npt.NDArray[np.int32], side: int, shape: tuple[int, int], rng: np.random.Generator) -> Region:
        """Return a tile that holds `place` somewhere, inside the slide where it fits."""
        corner = place - rng.integers(side // 8, side - side // 8, size=2)
        largest = np.maximum(np.array(shape) - side, 0)
        top, left = np.clip(corner, 0, largest)
        return Region(int(top), int(left), side, side)
