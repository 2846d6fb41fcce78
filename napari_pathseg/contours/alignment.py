"""Outlines that do not lie where they should, and what would bring them there.

Outlines drawn on a smaller or larger copy of a slide, in micrometres, or with rows as columns
show it by their bounding box.  What is found here is proposed, never done unasked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_pathseg.contours.contour import Contour, Points
from napari_pathseg.errors import ConfigError

SCALES = (2, 4, 8, 16, 32)  # levels of a pyramid
CHANCE = 1 / 256  # that places without a rule all lie in that corner; rarer ones are a finding
_OVERHANG = 0.05  # share of a side by which outlines may leave the slide: hands draw beyond its edge


@dataclass(frozen=True)
class Extent:
    """How far outlines reach, in the pixels of the file, and the size of the slide they should lie on."""

    shape: tuple[int, int]
    top: float
    left: float
    bottom: float
    right: float

    @classmethod
    def of(cls, contours: Sequence[Contour], shape: tuple[int, int]) -> "Extent | None":
        """Return that of contours, None where there are none."""
        if not contours:
            return None
        points = np.concatenate([contour.exterior for contour in contours])
        (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
        return cls(shape, float(top), float(left), float(bottom), float(right))

    def fits(self, remedy: "Remedy | None" = None) -> bool:
        """Whether they lie on the slide, as they are or after a remedy."""
        remedy = remedy or AS_IT_IS
        corners = [(self.top, self.bottom), (self.left, self.right)]
        return all(
            first * remedy.scale >= -_OVERHANG * size and last * remedy.scale <= (1 + _OVERHANG) * size
            for size, (first, last) in zip(self.shape, corners[::-1] if remedy.swapped else corners, strict=True)
        )

    @property
    def reach(self) -> float:
        """How far down or right they reach, as a share of the slide's side."""
        return max(self.bottom / self.shape[0], self.right / self.shape[1])


@dataclass(frozen=True)
class Remedy:
    """What would bring misplaced outlines where they belong: rows as columns, then `scale` times as large."""

    scale: float = 1.0
    swapped: bool = False

    def __post_init__(self) -> None:
        if not 1e-3 <= self.scale <= 1e3:  # also where it is no number
            raise ConfigError(f"scale is {self.scale:g}; it must lie in 0.001 to 1000. Give how many times as large.")

    @property
    def text(self) -> str:
        """The remedy in words."""
        if self.scale == 1:
            return "with rows and columns swapped" if self.swapped else "as in the file"
        return f"at 1/{1 / self.scale:.4g} of its size" if self.scale < 1 else f"at {self.scale:.4g} times its size"

    def apply(self, contours: Sequence[Contour]) -> list[Contour]:
        """Return the contours after it; pixels are scaled from the corner of the first one."""
        if self == AS_IT_IS:
            return list(contours)
        return [replace(c, exterior=self._move(c.exterior), holes=tuple(map(self._move, c.holes))) for c in contours]

    def _move(self, ring: Points) -> Points:
        turned = ring[:, ::-1] if self.swapped else ring
        moved: Points = np.ascontiguousarray((turned + 0.5) * self.scale - 0.5)
        return moved


AS_IT_IS = Remedy()


def propose(extent: Extent, ratios: Iterable[float] = ()) -> Remedy | None:
    """Return what would make outlines fit that do not, or that all lie in one corner; None where nothing is odd.

    Parameters
    ----------
    extent
        Of the outlines of one file.
    ratios
        Further scales that would be no surprise: pixels per micrometre, mask pixels.
    """
    if not extent.fits():
        tried = [Remedy(swapped=True), *(Remedy(1 / scale) for scale in SCALES)]
        tried += [Remedy(ratio) for ratio in ratios if ratio < 1]
        return next((remedy for remedy in tried if extent.fits(remedy)), None)
    wider = [ratio for ratio in ratios if ratio > 1.5 and extent.fits(Remedy(ratio))]
    if wider and extent.reach <= 1 / max(wider) * 1.02 and max(wider) ** -2 <= CHANCE:
        return Remedy(max(wider))
    fitting = [scale for scale in SCALES if extent.reach <= 1 / scale and scale**-2 <= CHANCE]
    return Remedy(fitting[-1]) if fitting else None
