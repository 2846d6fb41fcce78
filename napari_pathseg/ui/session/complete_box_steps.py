"""What is done to the complete boxes of a slide, step by step, and what becomes of a model's pixels in them.

They go where a box comes, and are given back where that is undone.  No Qt here.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numcodecs.zstd import Zstd

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.masks.label_rules import Locked, reassign_provenance
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep

_MOST_STEPS = 50  # that can be undone on a slide
_ZSTD = Zstd(level=1)

Boxes = tuple[Region, ...]
Found = list[tuple[Region, bytes]]  # a model's classes that were taken out of parts of a mask, packed


class BoxStep(NamedTuple):
    """The boxes of a slide before and after, and what a model had found where new ones came."""

    before: Boxes
    after: Boxes
    found: Found


BoxSteps = defaultdict[str, deque[BoxStep]]  # by slide, the last one last


def no_steps() -> BoxSteps:
    """Return a history in which nothing was done; it forgets the oldest of many steps."""
    return defaultdict(lambda: deque(maxlen=_MOST_STEPS))


def clearing(region: Region, found: Found, locked: Locked) -> MaskOperation:
    """Take a model's pixels out of a box, for a person has spoken there; they are added to `found`."""

    def pieces(mask: Editable) -> Iterator[OperationStep]:
        boxes = list(mask.nonempty_chunks(region))
        for number, box in enumerate(boxes, 1):
            before = np.stack(mask.read(box))
            after = reassign_provenance(before, Provenance.MODEL, Provenance.NONE, locked)
            gone = np.where(after[0] != before[0], before[0], np.uint8(0))
            if gone.any():
                found.append((box, _ZSTD.encode(gone)))
            yield OperationStep(mask.edit(box, *after), number / len(boxes))

    return MaskOperation("Clearing the complete box", pieces, can_be_cancelled=False)


def giving_back(found: Found, complete_in: Callable[[Region], bool | BoolArray], locked: Locked) -> MaskOperation:
    """Fill in again what a model had found, unless a person has spoken there since; see `merge_prediction`."""

    def pieces(mask: Editable) -> Iterator[OperationStep]:
        for number, (box, packed) in enumerate(found, 1):
            classes = np.frombuffer(_ZSTD.decode(packed), np.uint8).reshape(box.height, box.width)
            changed = fill_from_model(mask, box, classes, complete_in(box), locked)
            yield OperationStep(changed, number / len(found))

    return MaskOperation("Giving back what the model found", pieces, can_be_cancelled=False)
