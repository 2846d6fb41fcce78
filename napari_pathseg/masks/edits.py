"""What a person and a model may do to a mask: paint, import, fill, accept, reject.

What may go over a whole slide is a `MaskOperation`, for `Mask.do` or `Mask.begin`; strokes are ended by
who holds the brush.  What becomes of each pixel is said in `rules`; pixels of `locked` classes stay as they are.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.rasterize import scanline_fill
from napari_pathseg.geometry import EMPTY_REGION, Region, layout
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.counts import Provenance
from napari_pathseg.masks.label_rules import (
    NONE_LOCKED,
    Locked,
    apply_clear,
    apply_import,
    apply_model,
    apply_paint,
    reassign_provenance,
)
from napari_pathseg.masks.mask import Mask
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.shapes import InRegion, bounding_box
from napari_pathseg.masks.stroke_queue import Brush
from napari_pathseg.masks.zarr_store import CHUNK
from napari_pathseg.storage.portable import scratch_array

_PIECE = 2048  # rows and columns edited at once where a whole slide is


def paint(
    mask: Mask, region: Region, labels: UInt8Array, marked: BoolArray | None = None, locked: Locked = NONE_LOCKED
) -> Region:
    """Take `labels` as what a person painted into `region`; return the box that changed; see `rules.painted`."""
    return mask.edit(region, *apply_paint(np.stack(mask.read(region)), labels, marked, locked))


def fill_from_model(
    mask: Editable,
    region: Region,
    classes: UInt8Array,
    complete: bool | BoolArray = False,
    locked: Locked = NONE_LOCKED,
) -> Region:
    """Take a model's `classes`, 0 where it has none, unless a person has spoken; return the box that changed.

    On a slide or in boxes that are `complete` a person has.
    """
    return mask.edit(region, *apply_model(np.stack(mask.read(region)), classes, complete, locked))


def accept(region: Region, locked: Locked = NONE_LOCKED, inside: InRegion | None = None) -> MaskOperation:
    """Stand for the model's pixels in `region`, of which `inside` may mean a part: training may learn from them."""
    change = partial(reassign_provenance, before=Provenance.MODEL, after=Provenance.ACCEPTED, locked=locked)
    return _change("Accepting", region, change, inside)


def reject(region: Region, locked: Locked = NONE_LOCKED, inside: InRegion | None = None) -> MaskOperation:
    """Take the model's pixels out of `region`, or the part of it that `inside` means."""
    change = partial(reassign_provenance, before=Provenance.MODEL, after=Provenance.NONE, locked=locked)
    return _change("Rejecting", region, change, inside)


def assign(region: Region, brush: Brush, inside: InRegion | None = None) -> MaskOperation:
    """Give what has a class in `region` the brush's, as one undo step; what is unlabelled stays so."""

    def change(pixels: UInt8Array) -> UInt8Array:
        labels = pixels[0]
        meant = labels > UNLABELLED if brush.replace_only is None else labels == brush.replace_only
        return apply_paint(pixels, np.where(meant, np.uint8(brush.label), labels), None, brush.locked)

    return _change("Giving another class", region, change, inside)


def clear(
    region: Region, label: int | None, locked: Locked = NONE_LOCKED, inside: InRegion | None = None
) -> MaskOperation:
    """Take a class out of `region`, or with None all, whoever set it."""
    return _change("Clearing", region, partial(apply_clear, label=label, locked=locked), inside)


def remove_imported(region: Region) -> MaskOperation:
    """Take what was imported out of `region`, as if no file had said it."""
    return _change(
        "Forgetting the import", region, partial(reassign_provenance, before=Provenance.IMPORTED, after=Provenance.NONE)
    )


def import_labels(mask: Mask, region: Region, labels: UInt8Array, known: BoolArray) -> Region:
    """Take an expert's `labels` where they are `known`, but not over what was drawn or corrected here."""
    return mask.edit(region, *apply_import(np.stack(mask.read(region)), labels, known))


def import_contours(mask: Mask, contours: Iterable[Contour], downsample: int) -> None:
    """Fill an expert's contours (level-0 pixels), later ones over earlier ones, in one undo step."""
    mask.end_undo_group()
    drawn = scratch_array(mask.shape)  # label + 1; first here: one edit a piece, not one a contour
    reached = EMPTY_REGION
    for contour in contours:
        for region, inside in scanline_fill(contour, mask.shape, downsample):
            np.copyto(drawn[region.slices], np.uint8(contour.label + 1), where=inside)
            reached = reached.unite(region)
    for piece in pieces(reached):
        touched = drawn[piece.slices] > 0
        box = bounding_box(touched)
        if not box.empty:
            region = box.shift(piece.top, piece.left)
            import_labels(mask, region, drawn[region.slices] - np.uint8(1), touched[box.slices])
    mask.end_undo_group()


def pieces(region: Region) -> Iterator[Region]:
    """Cut a box into pieces small enough to be edited at once."""
    return layout(region, _PIECE)


def merge_prediction(
    prediction: Prediction,
    region: Region,
    complete_in: Callable[[Region], bool | BoolArray],
    locked: Locked = NONE_LOCKED,
) -> MaskOperation:
    """Fill a box of the mask from a model's output.

    `complete_in` says where in a box a person has spoken without a label; see `SlideRecord`.
    """

    def pieces(mask: Editable) -> Iterator[OperationStep]:
        boxes = list(layout(region.clip(mask.shape), CHUNK))
        for number, box in enumerate(boxes, 1):
            changed = fill_from_model(mask, box, prediction.read(box), complete_in(box), locked)
            yield OperationStep(changed, number / len(boxes))

    return MaskOperation("Taking the prediction in", pieces)


def _change(
    name: str, region: Region, change: Callable[[UInt8Array], UInt8Array], inside: InRegion | None = None
) -> MaskOperation:
    """Change what is set in a box, or the part of it that is meant."""

    def pieces(mask: Editable) -> Iterator[OperationStep]:
        boxes = list(mask.nonempty_chunks(region))
        for number, box in enumerate(boxes, 1):
            before = np.stack(mask.read(box))
            after = change(before)
            if inside is not None:
                after = np.where(inside(box), after, before)
            yield OperationStep(mask.edit(box, *after), number / len(boxes))

    return MaskOperation(name, pieces)
