"""How much of the slide in view is of each class, as a person reads it while painting; no Qt."""

from dataclasses import dataclass

import numpy as np

from napari_pathseg.data.classes import BACKGROUND
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import Mask, Provenance
from napari_pathseg.data.slide_entry import SlideEntry
from napari_pathseg.data.tissue import load_tissue
from napari_pathseg.data.tissue.store import tissue_path
from napari_pathseg.errors import PathsegError
from napari_pathseg.ui.session import Session
from napari_pathseg.ui.summary import area_text

_LOOKED_AT = 500_000  # pixels of a complete box; of a larger one coarser pixels are counted


@dataclass(frozen=True)
class ClassArea:
    """How much of the slide in view is of a class, in words, and as a share."""

    area: str
    percent: str


class Areas:
    """The areas of a session's slide; they are asked for at every stroke, so that the window never waits for them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: tuple[str, int] | None = None  # the tissue's file and when it was written
        self._tissue: float | None = None

    @property
    def of_tissue(self) -> bool:
        """Whether shares are of the tissue, and not of what is labelled."""
        return self._tissue_pixels() is not None

    def by_class(self) -> dict[int, ClassArea]:
        """Return the areas by class; where it is complete the rest is Background.

        Shares are of the tissue, where that was found, else of what is labelled.
        """
        entry, project, mask = self._session.slide, self._session.project, self._session.mask
        if entry is None or project is None:
            return {}
        pixels = self._session.counts(entry.id).sum(axis=1)
        tissue = self._tissue_pixels()
        found = int(pixels[BACKGROUND + 1 :].sum())
        if entry.complete:
            rows, columns = entry.mask_shape
            pixels[BACKGROUND] = rows * columns - found
        elif entry.boxes and mask is not None:
            pixels[BACKGROUND] += rest_of_boxes(entry, mask)
        whole = int(pixels[1:].sum()) if tissue is None else tissue
        shares = pixels / max(whole, 1)
        if tissue is not None:  # glass is Background too, but no tissue
            shares[BACKGROUND] = max(0.0, min(shares[BACKGROUND], 1 - found / max(whole, 1)))
        areas = {}
        for spec in project.classes:
            number = int(pixels[spec.index])
            percent = f"{100 * shares[spec.index]:.0f} %" if number else ""
            areas[spec.index] = ClassArea(area_text(number, entry.mask_mpp), percent)
        return areas

    def _tissue_pixels(self) -> float | None:
        """Return the tissue of the slide in view in pixels of its mask, None where it was not found yet."""
        entry, project = self._session.slide, self._session.project
        if entry is None or project is None:
            return None
        path = tissue_path(project, entry.id)
        try:
            now = str(path), path.stat().st_mtime_ns
        except OSError:
            return None
        if now != self._read:
            self._read, self._tissue = now, None
            try:
                tissue = load_tissue(project, entry.id)
                self._tissue = float(np.count_nonzero(tissue.pixels)) * (tissue.downsample / entry.downsample) ** 2
            except PathsegError:  # who asks to see it is told
                pass
        return self._tissue or None


def rest_of_boxes(entry: SlideEntry, mask: Mask) -> int:
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
