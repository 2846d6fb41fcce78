"""The edits of a mask by a person or a model: paint, import, fill, accept, reject.

An edit that may cover a whole slide is a `MaskOperation`, for `Mask.run` or `Mask.enqueue`.  The
others belong to the open undo group, which their caller ends.  `label_rules` defines what happens
to each pixel; pixels of `locked` classes never change.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.rasterize import paint_contours
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.label_rules import (
    NONE_LOCKED,
    Locked,
    apply_clear,
    apply_import,
    apply_model,
    apply_paint,
    apply_replace,
    reassign_provenance,
)
from napari_pathseg.masks.mask import Mask
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.shapes import InRegion, bounding_box
from napari_pathseg.masks.stroke_queue import Brush
from napari_pathseg.masks.zarr_store import CHUNK
from napari_pathseg.storage.scratch import scratch_array

_TILE = 2048  # rows and columns edited at once on a whole slide


def paint(
    mask: Editable, region: Region, labels: UInt8Array, marked: BoolArray | None = None, locked: Locked = NONE_LOCKED
) -> Region:
    """Write painted `labels` with human provenance, by `label_rules.apply_paint`; return the box that changed."""
    return mask.edit(region, *apply_paint(np.stack(mask.read(region)), labels, marked, locked))


def fill_from_model(
    mask: Editable,
    region: Region,
    classes: UInt8Array,
    complete: bool | BoolArray = False,
    locked: Locked = NONE_LOCKED,
) -> Region:
    """Write a model's `classes` (0 for none) where nothing is annotated; return the box that changed.

    Where the annotation is `complete`, unlabelled pixels are annotated, too.
    """
    return mask.edit(region, *apply_model(np.stack(mask.read(region)), classes, complete, locked))


def fill_in_run(mask: Mask, region: Region, classes: UInt8Array, complete: bool | BoolArray, locked: Locked) -> Region:
    """Fill a box as :func:`fill_from_model` does, from a model that is running; see `Mask.edit_in_run`."""
    return mask.edit_in_run(region, *apply_model(np.stack(mask.read(region)), classes, complete, locked))


def accept(region: Region, locked: Locked = NONE_LOCKED, inside: InRegion | None = None) -> MaskOperation:
    """Accept the model's pixels in `region`, or in the part of it given by `inside`, for training."""
    change = partial(reassign_provenance, before=Provenance.MODEL, after=Provenance.ACCEPTED, locked=locked)
    return _change("Accepting", region, change, inside)


def reject(region: Region, locked: Locked = NONE_LOCKED, inside: InRegion | None = None) -> MaskOperation:
    """Remove the model's pixels from `region`, or from the part of it given by `inside`."""
    change = partial(reassign_provenance, before=Provenance.MODEL, after=Provenance.NONE, locked=locked)
    return _change("Rejecting", region, change, inside)


def accept_found(
    region: Region,
    found: UInt8Array,
    complete_in: Callable[[Region], bool | BoolArray],
    locked: Locked = NONE_LOCKED,
) -> MaskOperation:
    """Accept the model's pixels in `region` and, where it has no label, the classes `found` there (0 for none).

    `complete_in` returns where the annotation of a box is complete, and unlabelled pixels are Background.
    """

    def change(box: Region, before: UInt8Array) -> UInt8Array:
        classes = found[box.shift(-region.top, -region.left).slices]
        missing = np.where(before[1] == Provenance.NONE, classes, np.uint8(UNLABELLED))
        filled = apply_model(before, missing, complete_in(box), locked)
        return reassign_provenance(filled, Provenance.MODEL, Provenance.ACCEPTED, locked)

    return _change_all("Accepting", region, change)


def mark_background(region: Region, locked: Locked = NONE_LOCKED) -> MaskOperation:
    """Make Background of the pixels in `region` that nobody has labelled or accepted, as a person would paint it."""

    def change(_: Region, before: UInt8Array) -> UInt8Array:
        free = before[1] <= Provenance.MODEL
        return apply_paint(before, np.where(free, np.uint8(BACKGROUND), before[0]), free, locked)

    return _change_all("Marking as Background", region, change)


def set_class(name: str, region: Region, where: BoolArray, wanted: tuple[int, Provenance]) -> MaskOperation:
    """Give the pixels of `region` that are True in `where`, which has its shape, a class and a provenance."""
    label, provenance = wanted

    def change(box: Region, before: UInt8Array) -> UInt8Array:
        here = where[box.shift(-region.top, -region.left).slices]
        after = np.stack([np.full_like(before[0], label), np.full_like(before[1], provenance)])
        return np.where(here, after, before)

    return _change_all(name, region, change)


def assign(region: Region, brush: Brush, inside: InRegion | None = None) -> MaskOperation:
    """Give the labelled pixels in `region` the class of the brush; unlabelled ones stay unlabelled."""

    def change(pixels: UInt8Array) -> UInt8Array:
        labels = pixels[0]
        selected = labels > UNLABELLED if brush.replace_only is None else labels == brush.replace_only
        return apply_paint(pixels, np.where(selected, np.uint8(brush.label), labels), None, brush.locked)

    return _change("Giving another class", region, change, inside)


def replace_class(
    region: Region, label: int, into: int, complete_in: Callable[[Region], bool | BoolArray]
) -> MaskOperation:
    """Give the pixels of a class in `region` to the class `into`, or to none; see `label_rules.apply_replace`."""

    def steps(mask: Editable) -> Iterator[OperationStep]:
        boxes = list(mask.nonempty_chunks(region))
        for number, box in enumerate(boxes, 1):
            before = np.stack(mask.read(box))
            after = apply_replace(before, label, into, complete_in(box)) if (before[0] == label).any() else before
            yield OperationStep(mask.edit(box, *after), number / len(boxes))

    return MaskOperation("Replacing a class", steps)


def clear(
    region: Region, label: int | None, locked: Locked = NONE_LOCKED, inside: InRegion | None = None
) -> MaskOperation:
    """Clear a class in `region`, or with None every class, whatever its provenance."""
    return _change("Clearing", region, partial(apply_clear, label=label, locked=locked), inside)


def remove_imported(region: Region) -> MaskOperation:
    """Remove the imported pixels from `region`."""
    return _change(
        "Removing the import", region, partial(reassign_provenance, before=Provenance.IMPORTED, after=Provenance.NONE)
    )


def import_labels(mask: Mask, region: Region, labels: UInt8Array, known: BoolArray) -> Region:
    """Write imported `labels` where they are `known`, except over drawn or corrected pixels."""
    return mask.edit(region, *apply_import(np.stack(mask.read(region)), labels, known))


def import_contours(mask: Mask, contours: Iterable[Contour], downsample: int) -> None:
    """Rasterize imported contours (level-0 pixels), later ones over earlier ones, as one undo group."""
    mask.end_undo_group()
    drawn = scratch_array(mask.shape)  # label + 1; drawn here first, to make one edit a tile rather than one a contour
    for tile in edit_tiles(paint_contours(drawn, contours, downsample, offset=1)):
        covered = drawn[tile.slices] > 0
        box = bounding_box(covered)
        if not box.empty:
            region = box.shift(tile.top, tile.left)
            import_labels(mask, region, drawn[region.slices] - np.uint8(1), covered[box.slices])
    mask.end_undo_group()


def edit_tiles(region: Region) -> Iterator[Region]:
    """Cut a box into tiles small enough to edit at once."""
    return layout(region, _TILE)


def merge_prediction(
    prediction: Prediction,
    regions: Iterable[Region],
    complete_in: Callable[[Region], bool | BoolArray],
    locked: Locked = NONE_LOCKED,
) -> MaskOperation:
    """Fill boxes of the mask from a model's output.

    `complete_in` returns where the annotation of a box is complete; see `SlideRecord`.
    """

    def steps(mask: Editable) -> Iterator[OperationStep]:
        boxes = [box for region in regions for box in layout(region.clip(mask.shape), CHUNK)]
        for number, box in enumerate(boxes, 1):
            changed = fill_from_model(mask, box, prediction.read(box), complete_in(box), locked)
            yield OperationStep(changed, number / len(boxes))

    return MaskOperation("Merging the prediction", steps)


def change_labelled(
    name: str, region: Region, change: Callable[[Region, UInt8Array], UInt8Array], inside: InRegion | None = None
) -> MaskOperation:
    """Return the operation that changes the labelled pixels of a box, or of the part of it given by `inside`.

    `change` gets each part of the box and its pixels, and returns what they become.
    """

    def steps(mask: Editable) -> Iterator[OperationStep]:
        boxes = list(mask.nonempty_chunks(region))
        for number, box in enumerate(boxes, 1):
            before = np.stack(mask.read(box))
            after = change(box, before)
            if inside is not None:
                after = np.where(inside(box), after, before)
            yield OperationStep(mask.edit(box, *after), number / len(boxes))

    return MaskOperation(name, steps)


def _change(
    name: str, region: Region, change: Callable[[UInt8Array], UInt8Array], inside: InRegion | None = None
) -> MaskOperation:
    return change_labelled(name, region, lambda _, pixels: change(pixels), inside)


def _change_all(name: str, region: Region, change: Callable[[Region, UInt8Array], UInt8Array]) -> MaskOperation:
    """Return the operation that changes all pixels of a box, whose part and pixels `change` gets."""

    def steps(mask: Editable) -> Iterator[OperationStep]:
        boxes = list(layout(region.clip(mask.shape), CHUNK))
        for number, box in enumerate(boxes, 1):
            yield OperationStep(mask.edit(box, *change(box, np.stack(mask.read(box)))), number / len(boxes))

    return MaskOperation(name, steps)
