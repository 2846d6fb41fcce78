"""What is on screen of a slide, as gestures want it: about a pixel for each of the screen.

Its pixels and those of the mask's grid fit into each other: one of the picture covers whole
pixels of the mask, or whole ones of the picture cover one of the mask, where a mask is coarser
than the slide.  So what a gesture takes is a `data.mask.shapes.BitmapShape` at once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import Region, grid_shape
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.interactive import LiveWire
from napari_pathseg.masks.shapes import BitmapShape, bounding_box
from napari_pathseg.slides.slide import Slide


@dataclass(frozen=True)
class ViewTransform:
    """Where a picture lies on a slide.

    Attributes
    ----------
    box
        Its pixels on the grid that is `downsample` times coarser than level 0.
    downsample
        Level-0 pixels per pixel.
    mask_pixels
        The mask's pixels per pixel; 1 where the picture is finer than the mask.
    per_mask_pixel
        Pixels per pixel of the mask; 1 where the picture is coarser.
    screen
        Pixels of the screen per pixel.
    """

    box: Region
    downsample: int
    mask_pixels: int
    per_mask_pixel: int
    screen: float

    def from_mask(self, position: Points) -> Points:
        """Return positions on the mask's grid, ``(..., 2)``, as positions in the picture."""
        return np.asarray((position + 0.5) / self._step - 0.5 - self._corner)

    def to_mask(self, position: Points) -> Points:
        """Return positions in the picture as positions on the mask's grid."""
        return np.asarray((position + self._corner + 0.5) * self._step - 0.5)

    def area(self, place: Region, found: BoolArray) -> BitmapShape | None:
        """Return what was found in a box of the picture as an area of the mask; None where that is nothing."""
        tight = bounding_box(found)
        if tight.empty:
            return None
        found = found[tight.slices]
        box = tight.shift(place.top + self.box.top, place.left + self.box.left)
        if self.per_mask_pixel == 1:
            return BitmapShape(found, box, self.mask_pixels)
        count = self.per_mask_pixel
        coarse = box.coarser(count)
        wide = np.zeros((coarse.height * count, coarse.width * count), bool)
        wide[box.shift(-coarse.top * count, -coarse.left * count).slices] = found
        shares = wide.reshape(coarse.height, count, coarse.width, count).mean(axis=(1, 3))
        return BitmapShape(shares >= 0.5, coarse, 1)

    @property
    def _step(self) -> float:
        return self.mask_pixels / self.per_mask_pixel

    @property
    def _corner(self) -> Points:
        return np.array(self.box[:2], np.float64)


@dataclass(frozen=True, eq=False)
class ViewSnapshot:
    """What is seen, RGB or grey, where that lies, and the model's probability of it where it has one."""

    pixels: UInt8Array
    frame: ViewTransform
    probability: UInt8Array | None = None

    @cached_property
    def wire(self) -> LiveWire:
        """The live-wire on it."""
        return LiveWire(self.pixels, self.probability)


def view_transform(view: Region, downsample: int, screen: float, longest: int) -> ViewTransform:
    """Return the frame of a view.

    Parameters
    ----------
    view
        What is on screen, a box of the mask's grid.
    downsample
        Level-0 pixels per pixel of the mask.
    screen
        Pixels of the screen per pixel of the mask.
    longest
        How many pixels a side of the picture may have.
    """
    longest_side = max(view.height, view.width, 1)
    coarser = max(1, round(1 / screen), -(-longest_side // longest))
    wanted = min(screen, longest / longest_side)
    finer = max(count for count in range(1, downsample + 1) if downsample % count == 0 and count <= max(1, wanted))
    if coarser > 1:
        return ViewTransform(view.coarser(coarser), downsample * coarser, coarser, 1, screen * coarser)
    box = Region(*(value * finer for value in view))
    return ViewTransform(box, downsample // finer, 1, finer, screen / finer)


def read_pixels(slide: Slide, frame: ViewTransform) -> tuple[UInt8Array, ViewTransform]:
    """Return the pixels of a frame and the part of it that lies on the slide.

    Raises
    ------
    UnsupportedSlideError
        If the pixels cannot be decoded.
    """
    box = frame.box.clip(grid_shape(slide.shape, frame.downsample))
    inside = ViewTransform(box, frame.downsample, frame.mask_pixels, frame.per_mask_pixel, frame.screen)
    return slide.read_grid(box, frame.downsample), inside


def sample(values: UInt8Array, step: int, frame: ViewTransform) -> UInt8Array:
    """Return, for each pixel of a frame, what an array that is `step` times coarser than the mask has there."""
    spread = [
        ((np.arange(start, start + size) + 0.5) * frame.mask_pixels / frame.per_mask_pixel / step).astype(int)
        for start, size in ((frame.box.top, frame.box.height), (frame.box.left, frame.box.width))
    ]
    rows, columns = (np.minimum(index, size - 1) for index, size in zip(spread, values.shape, strict=True))
    return np.asarray(values[np.ix_(rows, columns)])
