"""Detect misplaced contours, and suggest the transform that aligns them with their slide.

Contours drawn on a smaller or larger copy of a slide, in micrometres, or with rows and columns
exchanged give themselves away by their bounding box.  A transform is only suggested here; the
user decides whether to apply it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_pathseg.contours.contour import Contour, Points
from napari_pathseg.errors import ConfigError

PYRAMID_SCALES = (2, 4, 8, 16, 32)  # downsampling factors common between pyramid levels
# If contours placed at random are all in one corner with a probability below this, they are suspicious.
MAX_FALSE_ALARM = 1 / 256
_SIZE_TOLERANCE = 1e-3  # share of a side by which a scaled copy may differ from its slide
_OVERHANG = 0.05  # share of a side by which contours may extend beyond the slide: people draw across its edge


@dataclass(frozen=True)
class AxisScaleTransform:
    """A transform of misplaced contours: exchange rows and columns, then scale by `scale`."""

    scale: float = 1.0
    swap_axes: bool = False

    def __post_init__(self) -> None:
        if not 1e-3 <= self.scale <= 1e3:  # NaN fails, too
            raise ConfigError(f"scale is {self.scale:g}; it must lie in 0.001 to 1000. Give how many times as large.")

    @property
    def options(self) -> str:
        """The transform as options of ``pathseg add``."""
        parts = [f"--scale {self.scale:.6g}"] if self.scale != 1 else []
        return " ".join([*parts, *(["--swap-axes"] if self.swap_axes else [])])

    @property
    def description(self) -> str:
        """The transform in words, as in "import it at 1/4 of its size"."""
        if self.swap_axes and self.scale != 1:
            return f"{replace(self, swap_axes=False).description}, with rows and columns swapped"
        if self.scale == 1:
            return "with rows and columns swapped" if self.swap_axes else "as in the file"
        return f"at 1/{1 / self.scale:.4g} of its size" if self.scale < 1 else f"at {self.scale:.4g} times its size"

    def apply(self, contours: Sequence[Contour]) -> list[Contour]:
        """Return transformed contours; they are scaled about the outer corner of the first pixel."""
        if self == IDENTITY:
            return list(contours)
        return [
            replace(contour, exterior=self._move(contour.exterior), holes=tuple(map(self._move, contour.holes)))
            for contour in contours
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the transform as project files store it."""
        return {"scale": self.scale, "swapped": self.swap_axes}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "AxisScaleTransform":
        """Return the transform that `to_json` stored."""
        return cls(stored.get("scale", 1.0), stored.get("swapped", False))

    def _move(self, ring: Points) -> Points:
        swapped = ring[:, ::-1] if self.swap_axes else ring
        moved: Points = np.ascontiguousarray((swapped + 0.5) * self.scale - 0.5)
        return moved


IDENTITY = AxisScaleTransform()


@dataclass(frozen=True)
class BoundingBox:
    """The bounding box of contours, in pixels of their file, and the (rows, columns) of their slide."""

    slide_shape: tuple[int, int]
    top: float
    left: float
    bottom: float
    right: float

    @classmethod
    def from_contours(cls, contours: Sequence[Contour], slide_shape: tuple[int, int]) -> "BoundingBox | None":
        """Return the bounding box of contours, or None if there are none."""
        if not contours:
            return None
        points = np.concatenate([contour.exterior for contour in contours])
        (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
        return cls(slide_shape, float(top), float(left), float(bottom), float(right))

    def fits(self, transform: AxisScaleTransform = IDENTITY) -> bool:
        """Return whether the box is on the slide after `transform`."""
        sides = [(self.top, self.bottom), (self.left, self.right)]
        return all(
            first * transform.scale >= -_OVERHANG * size and last * transform.scale <= (1 + _OVERHANG) * size
            for size, (first, last) in zip(self.slide_shape, sides[::-1] if transform.swap_axes else sides, strict=True)
        )

    @property
    def reach(self) -> float:
        """How far down or right the box extends, as a share of the slide's side."""
        return max(self.bottom / self.slide_shape[0], self.right / self.slide_shape[1])


def fits_stated_size(
    stated: tuple[int, int], slide_shape: tuple[int, int], transform: AxisScaleTransform = IDENTITY
) -> bool:
    """Return whether an image of the `stated` size (rows, columns) is as large as its slide after `transform`.

    A copy may have been rounded by up to one of its pixels.
    """
    sides = stated[::-1] if transform.swap_axes else stated
    slack = 0.0 if transform.scale == 1 else max(1.0, transform.scale)
    return all(
        abs(side * transform.scale - size) <= max(slack, _SIZE_TOLERANCE * size * (slack > 0))
        for side, size in zip(sides, slide_shape, strict=True)
    )


def transform_for_stated_size(stated: tuple[int, int], slide_shape: tuple[int, int]) -> AxisScaleTransform | None:
    """Return the transform from an image of the `stated` size to its slide; None if they are of other proportions."""
    for swap in (False, True):
        sides = stated[::-1] if swap else stated
        scale = max(slide_shape) / sides[slide_shape.index(max(slide_shape))]
        if 1e-3 <= scale <= 1e3:
            transform = AxisScaleTransform(float(f"{scale:.6g}"), swap)
            rounded = AxisScaleTransform(float(round(scale)) if scale > 1 else 1 / round(1 / scale), swap)
            for candidate in (rounded, transform):
                if fits_stated_size(stated, slide_shape, candidate):
                    return candidate
    return None


def suggest_transform(box: BoundingBox, ratios: Iterable[float] = ()) -> AxisScaleTransform | None:
    """Return a transform for contours that are off their slide or all in one corner; None if nothing is suspicious.

    Parameters
    ----------
    box
        The bounding box of the contours of one file.
    ratios
        Further plausible scales: pixels per micrometre, level-0 pixels per mask pixel.
    """
    if not box.fits():
        candidates = [AxisScaleTransform(swap_axes=True), *(AxisScaleTransform(1 / scale) for scale in PYRAMID_SCALES)]
        candidates += [AxisScaleTransform(ratio) for ratio in ratios if ratio < 1]
        return next((transform for transform in candidates if box.fits(transform)), None)
    wider = [ratio for ratio in ratios if ratio > 1.5 and box.fits(AxisScaleTransform(ratio))]
    if wider and box.reach <= 1 / max(wider) * 1.02 and max(wider) ** -2 <= MAX_FALSE_ALARM:
        return AxisScaleTransform(max(wider))
    fitting = [scale for scale in PYRAMID_SCALES if box.reach <= 1 / scale and scale**-2 <= MAX_FALSE_ALARM]
    return AxisScaleTransform(fitting[-1]) if fitting else None
