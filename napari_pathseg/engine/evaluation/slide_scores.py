"""A model's scores slide by slide, each with a fingerprint of the labels that it was scored on.  No torch.

Two scores of a slide compare if their fingerprints are equal: the same pixels, with the same labels.
"""

import hashlib
from dataclasses import dataclass, field

from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.json_schema import Count, Fraction

_DIGITS = 6  # of a stored Dice
_HASH_BYTES = 12


@dataclass(frozen=True)
class SlideScore:
    """How a model scores on one held-out slide, or on its parts that are held out.

    Attributes
    ----------
    dice
        The Dice of each output of the network; None for a class that does not occur there.
    truth
        A hash of the labels and of where they lie.
    confusion
        Labelled pixels of the working grid by true class and predicted one, both counted from class 1; empty in
        models of older versions.
    """

    dice: list[Fraction | None]
    truth: str
    confusion: list[list[Count]] = field(default_factory=list)


class SlideTally:
    """Sums up the tiles of held-out slides, slide by slide.

    Parameters
    ----------
    classes
        The number of classes.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._confusions: dict[str, Confusion] = {}
        self._truths: dict[str, list[bytes]] = {}

    def add(self, slide: str, region: Region, labels: UInt8Array, found: UInt8Array) -> None:
        """Count a tile: a box of the mask's grid, its labels, 0 where unlabelled, and the classes found."""
        self._confusions.setdefault(slide, Confusion.empty(self._classes)).add(labels, found)
        text = f"{region.top} {region.left} {region.height} {region.width} "
        digest = hashlib.blake2b(text.encode() + labels.tobytes(), digest_size=_HASH_BYTES).digest()
        self._truths.setdefault(slide, []).append(digest)

    def scores(self) -> dict[str, SlideScore]:
        """Return the scores by slide; in which order the tiles came makes no difference."""
        return {
            slide: SlideScore(self._dice(slide), self._truth(slide), confusion.to_lists())
            for slide, confusion in self._confusions.items()
        }

    def _dice(self, slide: str) -> list[float | None]:
        found = [counts.scores()["dice"] for counts in self._confusions[slide].counts()]
        return [None if dice is None else round(dice, _DIGITS) for dice in found]

    def _truth(self, slide: str) -> str:
        return hashlib.blake2b(b"".join(sorted(self._truths[slide])), digest_size=_HASH_BYTES).hexdigest()
