"""Clean-up methods of a mask, with amounts in physical units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask
from napari_pathseg.masks.cleanup import CleanupOptions, fill_holes, grow, remove_small_objects, smooth
from napari_pathseg.masks.edits import assign, clear
from napari_pathseg.masks.label_rules import Locked
from napari_pathseg.masks.shapes import EditRegion
from napari_pathseg.masks.stroke_queue import Brush
from napari_pathseg.ui.session.selection import SELECTION

AREA, LENGTH = "area", "length"
_TILE = 1024  # small, so that Cancel acts quickly


@dataclass(frozen=True)
class CleanupMethod:
    """A cleanup method.

    Attributes
    ----------
    name, help
        What a person reads.
    amount
        What its amount is: "area", "length" or nothing.
    usual
        An amount to begin with.
    onto
        Whether it gives another class.
    """

    name: str
    amount: str
    usual: float
    help: str
    onto: bool = False


CLEANUP_METHODS = {
    "holes": CleanupMethod(
        "Fill holes up to", AREA, 1000.0, "Give the class what it encloses, nothing larger; 0 fills all."
    ),
    "specks": CleanupMethod("Remove specks below", AREA, 500.0, "Take parts of the class away that are smaller."),
    "smooth": CleanupMethod("Smooth by", LENGTH, 5.0, "Round the outline of the class; what is thinner goes."),
    "grow": CleanupMethod("Grow by", LENGTH, 5.0, "Move the outline outwards, over all that is not locked."),
    "shrink": CleanupMethod("Shrink by", LENGTH, 5.0, "Move the outline inwards; what is around takes the place."),
    "assign": CleanupMethod("Make it", "", 0.0, "Give what is of the class another class.", onto=True),
    "clear": CleanupMethod("Clear", "", 0.0, "Take all of the class away, whoever set it, as if nobody had."),
}


@dataclass(frozen=True, kw_only=True)
class CleanupRequest:
    """A clean-up of a class.

    Attributes
    ----------
    method
        A key of `CLEANUP_METHODS`.
    label
        The class; 0 for any, which only "assign" and "clear" know.
    amount
        In µm² or µm; in pixels of the mask where the pixel size is unknown.
    onto
        The class that "assign" gives.
    where
        One of `places.EDIT_SCOPES`.
    """

    method: str = "holes"
    label: int = 2
    amount: float = CLEANUP_METHODS["holes"].usual
    onto: int = 1
    where: str = SELECTION

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the project's settings."""
        return asdict(self)


def unit_of(method: str, mpp: float | None) -> str:
    """Return the unit of a method's amount.

    >>> unit_of("holes", 0.5), unit_of("grow", None), unit_of("assign", 0.5)
    ('µm²', 'px', '')
    """
    amount = CLEANUP_METHODS[method].amount
    if not amount or mpp is None:
        return "px" if amount else ""
    return "µm²" if amount == AREA else "µm"


def clean(
    mask: Mask, request: CleanupRequest, place: EditRegion, mpp: float | None, options: CleanupOptions | None = None
) -> Region:
    """Clean up a region of a mask of `mpp` micrometres per pixel as one undo step; return the region that changed."""
    options = options or CleanupOptions()
    step = 1.0 if mpp is None else mpp
    label, box, length, area = request.label, place.box, request.amount / step, request.amount / step**2
    match request.method:
        case "holes":
            return fill_holes(mask, label, box, area or None, options)
        case "specks":
            return remove_small_objects(mask, label, box, area, options)
        case "smooth":
            return smooth(mask, label, box, length, options)
        case "grow" | "shrink":
            return grow(mask, label, box, length if request.method == "grow" else -length, options)
        case "clear":
            return mask.run(clear(box, label or None, options.locked, place.inside))
    return mask.run(assign(box, Brush(request.onto, label or None, options.locked), place.inside))


def options_for(
    mask: Mask, place: EditRegion, locked: Locked, progress: Callable[[float], bool] | None = None
) -> CleanupOptions:
    """Return the options with which a region of a mask is processed."""
    return CleanupOptions(
        locked=locked, progress=progress, nonempty=mask.nonempty_chunks, tile=_TILE, inside=place.inside
    )
