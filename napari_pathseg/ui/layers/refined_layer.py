"""The outline that a class of a prediction would get, over the part of the slide that is looked at."""

from dataclasses import dataclass
from typing import Any

from napari.layers import Labels

from napari_pathseg.classes import ClassTable
from napari_pathseg.geometry import Region, grid_to_level0
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.ui.layers.class_labels import class_colors

_WIDTH = 2  # pixels of the outline


@dataclass(frozen=True)
class RefinedBox:
    """A box of the mask's grid, and every `step`-th pixel of it: the class, or 0."""

    region: Region
    step: int
    pixels: UInt8Array


class RefinedLayer(Labels):  # type: ignore[misc]
    """Outlines of one class in a box."""

    def __init__(self, box: RefinedBox, classes: ClassTable, grid: dict[str, Any], **settings: Any) -> None:
        super().__init__(box.pixels, colormap=class_colors(classes), opacity=1.0, **_placed(box, grid), **settings)
        self.contour = _WIDTH
        self.editable = False

    @property
    def _type_string(self) -> str:
        return "labels"

    def show(self, box: RefinedBox, classes: ClassTable, grid: dict[str, Any]) -> None:
        """Show another box of a mask, whose grid has this scale, translate and units."""
        self.data = box.pixels
        self.colormap = class_colors(classes)
        for name, value in _placed(box, grid).items():
            setattr(self, name, value)

    def _reset_editable(self) -> None:
        self.editable = False


def _placed(box: RefinedBox, grid: dict[str, Any]) -> dict[str, Any]:
    """Return where a box lies in the world; its pixels are the middle of `step` pixels of the mask."""
    middle = grid_to_level0(0, box.step)
    places = zip((box.region.top, box.region.left), grid["scale"], grid["translate"], strict=True)
    return {
        "scale": tuple(box.step * size for size in grid["scale"]),
        "translate": tuple(start + (first + middle) * size for first, size, start in places),
        "units": grid["units"],
    }
