"""How much of complete boxes nobody labelled, so that it counts as Background; quick enough to ask while painting."""

import numpy as np

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask, Provenance
from napari_pathseg.projects.slide_record import SlideRecord

_LOOKED_AT = 500_000  # pixels of a complete box; of a larger one coarser pixels are counted


def rest_of_boxes(entry: SlideRecord, mask: Mask) -> int:
    """Return about how many pixels in complete boxes nobody labelled; those of small boxes exactly."""
    found = 0
    for number, box in enumerate(entry.mask_boxes):
        level = 0
        while box.height * box.width > _LOOKED_AT * 4**level and level < len(mask.shapes) - 1:
            level += 1
        step = 2**level
        window = box.coarser(step).clip(mask.shapes[level])
        if window.empty:
            continue
        provenance = mask.preview(window, level)[1]
        counted = provenance < Provenance.ACCEPTED
        for other in entry.mask_boxes[:number]:
            counted[_within(window, other.coarser(step))] = False
        found += int(np.count_nonzero(counted)) * step**2
    return found


def _within(window: Region, box: Region) -> tuple[slice, slice]:
    return box.intersect(window).shift(-window.top, -window.left).slices
