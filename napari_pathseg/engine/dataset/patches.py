"""Training tiles, sampled where slides are labelled.

A tile is sampled in three draws: a class, a slide that has it, and a block in which it
occurs, so that rare classes and small annotations are seen as often as large ones.  A block
with corrections is as many times likelier as corrections weigh, and so is its slide the more of
them it has; every other slide keeps its turn, so that what was learnt before is not forgotten.
The time of a draw does not depend on how much is annotated.

Where parts of the slides are held out, see `projects.held_out_parts`, a tile has no labels of a part or its margin, and
only the parts are scored.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.slide_patches import HASH_BYTES, Corners, LabelledBlocks, SlidePatchSource
from napari_pathseg.engine.dataset.tiles import MAX_CACHED_PIXELS, Tile, grow
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.projects.held_out_parts import MARGIN, Parts, boxes_on_mask
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

SlideBox = tuple[SlidePatchSource, Region]
_BLOCK = 32  # mask pixels along the blocks in which the labels of a class are indexed


class PatchDataset:
    """The labelled slides of one role; a context manager that closes their files.

    With `cache`, slides stay in memory once read, as far as they fit: worthwhile for many draws.  With `held_out`,
    labels of these parts of the slides are not learnt, and with `scored` the labelled regions are those in them.

    Attributes
    ----------
    slides
        The open slides, in the order of `records`.
    classes
        The classes that occur in the labels, in ascending order.
    """

    def __init__(
        self,
        project: Project,
        records: Sequence[SlideRecord],
        config: TrainConfig,
        *,
        cache: bool = True,
        held_out: Parts | None = None,
        scored: bool = False,
    ) -> None:
        pixels_so_far = np.cumsum([record.mask_shape[0] * record.mask_shape[1] for record in records])
        self.slides = [
            SlidePatchSource(
                project, record, cache=bool(cache and so_far <= MAX_CACHED_PIXELS), stain_norm=config.stain_norm
            )
            for record, so_far in zip(records, pixels_so_far, strict=True)
        ]
        self._config = config
        self._blocks = [slide.labelled_blocks(_BLOCK) for slide in self.slides]
        # By slide: the parts that are scored, on the mask's grid; boxes that are not learnt, on the working grid.
        self._parts: list[list[Region]] | None = None
        self._unlearnt: list[list[Region]] = [[] for _ in self.slides]
        self._favoured: list[int] = []  # slides
        if held_out and scored:
            self._parts = [boxes_on_mask(slide.record, held_out) for slide in self.slides]
        elif held_out:
            self._leave_out(held_out)
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

    @property
    def learnt_slides(self) -> int:
        """Number of slides that tiles are drawn from."""
        return sum(bool(blocks) for blocks in self._blocks)

    def favour(self, slides: Collection[str]) -> None:
        """Draw every other tile from these slides, given by their ids, and the rest from all."""
        self._favoured = [number for number, slide in enumerate(self.slides) if slide.record.id in slides]

    def draw(self, rng: np.random.Generator) -> Tile:
        """Return a tile at a random labelled position."""
        label = self.classes[rng.integers(len(self.classes))]
        candidates = [number for number, blocks in enumerate(self._blocks) if label in blocks]
        favoured = [number for number in candidates if number in self._favoured]
        if favoured and rng.random() < 0.5:
            candidates = favoured
        ends = np.cumsum([self._mean_weight(self._blocks[number][label]) for number in candidates])
        number = candidates[int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))]
        return self._tile(number, self._draw_position(self._blocks[number][label], rng), rng)

    def _mean_weight(self, blocks: LabelledBlocks) -> float:
        """Return the mean weight of a slide's blocks in sampling, 1 without corrections."""
        return 1 + (self._config.corrected_weight - 1) * len(blocks.corrected) / len(blocks.all)

    def labelled_regions(self, side: int, limit: int, rng: np.random.Generator) -> Iterator[SlideBox]:
        """Yield boxes of masks' grids that tile the labelled area of all slides without overlap, at most `limit`."""
        tiles = []
        for number, (slide, blocks) in enumerate(zip(self.slides, self._blocks, strict=True)):
            corners = _all_corners(blocks)
            for row, column in np.unique(corners // side, axis=0):
                region = Region(int(row) * side, int(column) * side, side, side).clip(slide.record.mask_shape)
                if self._parts is None:
                    tiles.append((slide, region))
                    continue
                inside = (part.intersect(region) for part in self._parts[number])
                tiles += [(slide, box) for box in inside if not box.empty and _holds_block(corners, box)]
        chosen = sorted(rng.permutation(len(tiles))[:limit])
        yield from (tiles[number] for number in chosen)

    def tiles_to_learn(self, side: int) -> list[SlideBox]:
        """Return boxes of the working grids that tile what is labelled without overlap, all slides in turn."""
        tiles: list[SlideBox] = []
        for slide, blocks in zip(self.slides, self._blocks, strict=True):
            corners = _all_corners(blocks)  # a block can lie on two tiles, or on four
            at = [corners + np.array(offset) * (_BLOCK - 1) for offset in np.ndindex(2, 2)]
            for row, column in np.unique((np.concatenate(at) / slide.factor).astype(int) // side, axis=0):
                region = Region(int(row) * side, int(column) * side, side, side).clip(slide.shape)
                tiles += [] if region.empty else [(slide, region)]
        return balanced(tiles)

    def truth_to_learn(self, slide: SlidePatchSource, region: Region) -> tuple[UInt8Array, BoolArray]:
        """Return labels in a box of the working grid without those of held-out parts, and which are corrections."""
        labels, corrected = slide.truth(region)
        for box in self._unlearnt[self.slides.index(slide)]:
            labels[box.intersect(region).shift(-region.top, -region.left).slices] = 0
        return labels, corrected

    def _leave_out(self, held_out: Parts) -> None:
        """Forget the labels of parts of the slides and of the margins around them."""
        for number, slide in enumerate(self.slides):
            boxes = [slide.on_working_grid(box) for box in boxes_on_mask(slide.record, held_out)]
            self._unlearnt[number] = [grow(box, MARGIN, 1) for box in boxes]
            if boxes:
                blocks = {label: self._learnable(number, each) for label, each in self._blocks[number].items()}
                self._blocks[number] = {label: each for label, each in blocks.items() if len(each.all)}
        self.classes = sorted({label for blocks in self._blocks for label in blocks})

    def _learnable(self, number: int, blocks: LabelledBlocks) -> LabelledBlocks:
        """Return the blocks whose centre is learnt."""
        return LabelledBlocks(*(corners[self._is_learnt(number, corners)] for corners in blocks))

    def _is_learnt(self, number: int, corners: Corners) -> BoolArray:
        at = ((corners + _BLOCK // 2) / self.slides[number].factor).astype(int)
        learnt = np.ones(len(at), bool)
        for box in self._unlearnt[number]:
            learnt &= ~((at >= (box.top, box.left)) & (at < (box.bottom, box.right))).all(axis=1)
        return learnt

    def _draw_position(self, blocks: LabelledBlocks, rng: np.random.Generator) -> npt.NDArray[np.int32]:
        """Return the centre of a random block; corrected ones are as many times likelier as corrections weigh."""
        weight = (self._config.corrected_weight - 1) * len(blocks.corrected)
        chosen = blocks.corrected if rng.random() * (weight + len(blocks.all)) < weight else blocks.all
        position: npt.NDArray[np.int32] = chosen[rng.integers(len(chosen))] + _BLOCK // 2
        return position

    def _place(self, number: int, position: npt.NDArray[np.int32], rng: np.random.Generator) -> Region:
        """Return a tile's box that holds `position`, of the mask's grid, at random, and inside the slide if it fits.

        A tile that is larger than the slide holds all of it, at a random place, with its mirror images around it.
        """
        slide, side = self.slides[number], self._config.tile
        at = (position / slide.factor).astype(int)
        corner = at - rng.integers(side // 8, side - side // 8, size=2)
        last = np.array(slide.shape) - side
        top, left = np.clip(corner, np.minimum(last, 0), np.maximum(last, 0))
        return Region(int(top), int(left), side, side)

    def _tile(self, number: int, position: npt.NDArray[np.int32], rng: np.random.Generator) -> Tile:
        """Return a tile that holds `position`."""
        config, slide, region = self._config, self.slides[number], self._place(number, position, rng)
        labels, corrected = self.truth_to_learn(slide, region)
        weights = None
        if config.border_weight:
            weights = slide.border_weights(region, config.border_weight, config.border_width)
        if config.corrected_weight > 1 and corrected.any():
            correction_weights = np.where(corrected, np.float32(config.corrected_weight), np.float32(1))
            weights = correction_weights if weights is None else weights * correction_weights
        context = slide.context(region) if config.context else None
        return Tile(slide.pixels(region), labels, weights, context)


def labels_hash(*datasets: PatchDataset) -> str:
    """Return a hash of the labels of all slides of datasets, in their order."""
    hashes = ";".join(slide.labels_hash for dataset in datasets for slide in dataset.slides)
    return hashlib.blake2b(hashes.encode(), digest_size=HASH_BYTES).hexdigest()


def balanced(tiles: Sequence[SlideBox]) -> list[SlideBox]:
    """Return tiles in a random order that is always the same, in which all slides have their turn."""
    rng = np.random.default_rng(0)
    by_slide: dict[str, list[SlideBox]] = {}
    for tile in tiles:
        by_slide.setdefault(tile[0].record.id, []).append(tile)
    shuffled = [[group[number] for number in rng.permutation(len(group))] for group in by_slide.values()]
    order = rng.permutation(len(shuffled))
    longest = max(map(len, shuffled), default=0)
    return [shuffled[slide][turn] for turn in range(longest) for slide in order if turn < len(shuffled[slide])]


def _holds_block(corners: Corners, box: Region) -> bool:
    """Return whether a box of the mask's grid shares a pixel with a block."""
    low, high = np.array((box.top, box.left)) - _BLOCK, np.array((box.bottom, box.right))
    return bool(((corners > low) & (corners < high)).all(axis=1).any())


def _all_corners(blocks: dict[int, LabelledBlocks]) -> Corners:
    return np.concatenate([of_class.all for of_class in blocks.values()] or [np.empty((0, 2), np.int32)])
