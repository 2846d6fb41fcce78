"""Clean-up methods of a mask, with amounts in physical units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_pathseg.masks import Mask
from napari_pathseg.masks.cleanup import CleanupOptions, fill_holes, grow, remove_small_objects, smooth
from napari_pathseg.masks.edits import assign, clear
from napari_pathseg.masks.label_rules import Locked
from napari_pathseg.masks.operations import MaskOperation
from napari_pathseg.masks.shapes import EditRegion
from napari_pathseg.masks.stroke_queue import Brush
from napari_pathseg.ui.session.selection import SELECTION

AREA, LENGTH = "area", "length"
_TILE = 512  # small, so that the window goes on between two steps


@dataclass(frozen=True)
class CleanupMethod:
    """A clean-up method.

    Attributes
    ----------
    name, help
        Its label and its explanation in the dialog.
    amount
        The kind of amount it takes: `AREA`, `LENGTH`, or empty if it takes none.
    default
        The amount shown first.
    relabels
        Whether the user chooses another class, which the pixels become.
    """

    name: str
    amount: str
    default: float
    help: str
    relabels: bool = False


CLEANUP_METHODS = {
    "holes": CleanupMethod(
        "Fill holes up to", AREA, 1000.0, "Fill holes in the class up to this area; 0 fills all of them."
    ),
    "specks": CleanupMethod(
        "Remove specks below", AREA, 500.0, "Remove parts of the class that are smaller than this."
    ),
    "smooth": CleanupMethod(
        "Smooth by", LENGTH, 5.0, "Smooth the outline of the class; parts thinner than this disappear."
    ),
    "grow": CleanupMethod("Grow by", LENGTH, 5.0, "Move the outline outwards, over everything that is not locked."),
    "shrink": CleanupMethod("Shrink by", LENGTH, 5.0, "Move the outline inwards; the surrounding class fills the gap."),
    "assign": CleanupMethod("Make it", "", 0.0, "Change the pixels of the class to another class.", relabels=True),
    "clear": CleanupMethod(
        "Clear", "", 0.0, "Remove the class, both your pixels and the model's, as if it had never been annotated."
    ),
}


@dataclass(frozen=True, kw_only=True)
class CleanupRequest:
    """A clean-up to run on the slide in view.

    Attributes
    ----------
    method
        A key of `CLEANUP_METHODS`.
    label
        The class to clean up; 0 for any class, with "assign" and "clear" only.
    amount
        In µm² or µm; in mask pixels if the pixel size is unknown.
    new_label
        The class that "assign" sets.
    scope
        One of `selection.EDIT_SCOPES`.
    """

    method: str = "holes"
    label: int = 2
    amount: float = CLEANUP_METHODS["holes"].default
    new_label: int = 1
    scope: str = SELECTION

    def to_json(self) -> dict[str, Any]:
        """Return the request as the project's settings store it."""
        return {
            "method": self.method,
            "label": self.label,
            "amount": self.amount,
            "onto": self.new_label,
            "where": self.scope,
        }


def amount_unit(method: str, mpp: float | None) -> str:
    """Return the unit of a method's amount.

    >>> amount_unit("holes", 0.5), amount_unit("grow", None), amount_unit("assign", 0.5)
    ('µm²', 'px', '')
    """
    amount = CLEANUP_METHODS[method].amount
    if not amount or mpp is None:
        return "px" if amount else ""
    return "µm²" if amount == AREA else "µm"


def cleanup(request: CleanupRequest, region: EditRegion, mpp: float | None, options: CleanupOptions) -> MaskOperation:
    """Return the operation that cleans up a region of a mask; `mpp` is the mask's pixel size in micrometres."""
    pixel_size = 1.0 if mpp is None else mpp
    label, box = request.label, region.box
    length, area = request.amount / pixel_size, request.amount / pixel_size**2
    match request.method:
        case "holes":
            return fill_holes(label, box, area or None, options)
        case "specks":
            return remove_small_objects(label, box, area, options)
        case "smooth":
            return smooth(label, box, length, options)
        case "grow" | "shrink":
            return grow(label, box, length if request.method == "grow" else -length, options)
        case "clear":
            return clear(box, label or None, options.locked, region.inside)
    return assign(box, Brush(request.new_label, label or None, options.locked), region.inside)


def cleanup_options(mask: Mask, region: EditRegion, locked: Locked) -> CleanupOptions:
    """Return the options to clean up a region of a mask."""
    return CleanupOptions(locked=locked, nonempty=mask.nonempty_chunks, tile=_TILE, inside=region.inside)
