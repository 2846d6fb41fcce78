"""The area of each class on a slide, in mm² and in percent of the tissue: for the window and for exported tables alike.

Areas are counted exactly, but for giant complete boxes; shares of the tissue on a sample of at most a quarter of a
megapixel, so that both can be shown while somebody paints.  Predictions count as what they are.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.geometry import Region, grid_shape
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.label_rules import with_implied_background
from napari_pathseg.masks.provenance import Counts, Provenance, with_implied_background_count
from napari_pathseg.projects.slide_record import SlideRecord

if TYPE_CHECKING:
    from napari_pathseg.slides.tissue import TissueMask

_MAX_READ_PIXELS = 1024**2  # no mask's coarsest level has more
_MAX_COUNTED_PIXELS = 512**2  # of those read, so that painting does not lag
_MAX_BOX_PIXELS = 500_000  # of a complete box; larger ones are counted on a coarser level


class LabelPyramid(Protocol):
    """What is read of a mask."""

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of each level."""

    def preview(self, region: Region, level: int) -> UInt8Array:
        """Return labels and provenance in a box of a level."""


@dataclass(frozen=True)
class ClassArea:
    """The area of a class on a slide.

    Attributes
    ----------
    pixels
        Pixels of the mask.
    mm2
        Square millimetres; None if the pixel size is unknown.
    percent_of_tissue
        Share of the tissue that the class covers, 0 to 100; None if the tissue is unknown.
    """

    pixels: int
    mm2: float | None
    percent_of_tissue: float | None


def class_areas(
    classes: ClassTable, record: SlideRecord, counts: Counts, mask: LabelPyramid, tissue: BoolArray | None
) -> dict[int, ClassArea]:
    """Return the area of each class on a slide, by index.

    Parameters
    ----------
    classes, record
        The classes, and the slide; what is unlabelled where it is complete counts as Background.
    counts, mask
        The mask's pixels by class and provenance, and the mask.
    tissue
        The slide's tissue as `sample_tissue` gives it; None if it is unknown.
    """
    pixels = class_pixels(record, counts)
    if not record.complete and record.boxes:
        pixels[BACKGROUND] += unlabelled_in_boxes(record, mask)
    return areas_of(classes, record, pixels, None if tissue is None else class_shares(tissue, record, mask))


def class_pixels(record: SlideRecord, counts: Counts) -> npt.NDArray[np.int64]:
    """Return the mask pixels of each class, by index; on a complete slide what is unlabelled counts as Background."""
    if record.complete:
        counts = with_implied_background_count(counts, record.mask_shape)
    pixels: npt.NDArray[np.int64] = counts.sum(axis=1)
    return pixels


def areas_of(
    classes: ClassTable, record: SlideRecord, pixels: npt.NDArray[np.int64], shares: npt.NDArray[np.float64] | None
) -> dict[int, ClassArea]:
    """Return the area of each class from its mask pixels and its share of the tissue, both by class index."""
    mpp = record.mask_mpp
    return {
        spec.index: ClassArea(
            int(pixels[spec.index]),
            None if mpp is None else int(pixels[spec.index]) * mpp * mpp / 1e6,
            None if shares is None else 100 * float(shares[spec.index]),
        )
        for spec in classes
    }


def class_shares(tissue: BoolArray, record: SlideRecord, mask: LabelPyramid) -> npt.NDArray[np.float64]:
    """Return each class's share of the tissue, for classes 0 to 255; `tissue` is a mask at `sampling_level`."""
    level, stride = sampling_level(record.mask_shape)
    labels, provenance = mask.preview(Region(0, 0, *mask.shapes[level]), level)[:, ::stride, ::stride].copy()
    for box in [Region(0, 0, *record.mask_shape)] if record.complete else record.mask_boxes:
        inside = box.coarser(2**level * stride).clip(tissue.shape).slices
        labels[inside] = with_implied_background(labels[inside], provenance[inside], True)
    return shares_of(labels, tissue)


def shares_of(labels: UInt8Array, tissue: BoolArray) -> npt.NDArray[np.float64]:
    """Return each class's share of the tissue from labels on the same grid."""
    counts = np.bincount(labels[tissue], minlength=256)
    return np.asarray(counts / max(int(counts.sum()), 1))


def sampling_level(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the level of a mask of `shape` on which class shares are counted, and the stride between counted pixels.

    >>> sampling_level((256, 256)), sampling_level((60_000, 60_000))
    ((0, 1), (6, 2))
    """
    level = 0
    while math.prod(grid_shape(shape, 2**level)) > _MAX_READ_PIXELS:
        level += 1
    return level, 2 if math.prod(grid_shape(shape, 2**level)) > _MAX_COUNTED_PIXELS else 1


def sample_tissue(tissue: "TissueMask", record: SlideRecord) -> BoolArray | None:
    """Return which of the counted mask pixels have their centre on tissue; None if there is no tissue."""
    if not tissue.pixels.any():
        return None
    level, stride = sampling_level(record.mask_shape)
    index = []
    for size, length in zip(grid_shape(record.mask_shape, 2**level), tissue.pixels.shape, strict=True):
        centres = (np.arange(0, size, stride) + 0.5) * 2**level * record.downsample
        index.append(np.minimum(centres // tissue.downsample, length - 1).astype(np.intp))
    sampled: BoolArray = tissue.pixels[np.ix_(*index)]
    return sampled


def unlabelled_in_boxes(record: SlideRecord, mask: LabelPyramid) -> int:
    """Count the unlabelled pixels in complete boxes: exactly in small boxes, approximately in large ones."""
    total = 0
    for number, box in enumerate(record.mask_boxes):
        level = 0
        while box.height * box.width > _MAX_BOX_PIXELS * 4**level and level < len(mask.shapes) - 1:
            level += 1
        step = 2**level
        window = box.coarser(step).clip(mask.shapes[level])
        if window.empty:
            continue
        provenance = mask.preview(window, level)[1]
        counted = provenance < Provenance.ACCEPTED
        for other in record.mask_boxes[:number]:
            counted[other.coarser(step).intersect(window).shift(-window.top, -window.left).slices] = False
        total += int(np.count_nonzero(counted)) * step**2
    return total
