"""How far a slide has been reviewed: the share of its tissue that a person labelled, accepted or corrected.

It follows from the pixel counts of the mask and, where it is known, the area of the tissue; no pixels are read.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_pathseg.errors import PathsegError
from napari_pathseg.masks.provenance import Counts, Provenance
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes
from napari_pathseg.projects.tissue_masks import load_tissue, tissue_path

_DONE = 0.9  # share from which on a slide counts as reviewed: tissue and annotation rarely have the same edge
_MANY_PIXELS = 10_000  # from here on they are given in millions
_SMALL_MM2 = 0.05  # below this areas are given in µm²


@dataclass(frozen=True)
class ReviewProgress:
    """The progress on one slide.

    Attributes
    ----------
    reviewed, unreviewed
        Pixels of the mask that a person set, and those of a model that nobody has looked at.
    area
        Pixels of tissue; of the whole slide if its tissue is unknown.
    mask_mpp
        Micrometres per pixel of the mask, if known.
    """

    reviewed: int
    unreviewed: int
    area: float
    mask_mpp: float | None = None

    @property
    def share(self) -> float:
        """The share of the tissue that was reviewed, 0 to 1."""
        return self.reviewed / max(self.area, self.reviewed + self.unreviewed, 1)

    @property
    def done(self) -> bool:
        """Whether nothing is left to review."""
        return not self.unreviewed and self.share >= _DONE

    @property
    def unreviewed_mm2(self) -> float | None:
        """The area of a model's pixels that nobody has looked at, if the pixel size is known."""
        return None if self.mask_mpp is None else self.unreviewed * self.mask_mpp**2 / 1e6


def review_progress(record: SlideRecord, counts: Counts, tissue_pixels: float | None = None) -> ReviewProgress:
    """Return the progress on a slide from the counts of its mask and, if known, its tissue in mask pixels.

    A complete slide is reviewed as a whole.
    """
    rows, columns = record.mask_shape
    unreviewed = int(counts[1:, Provenance.MODEL].sum())
    if record.complete:
        return ReviewProgress(rows * columns - unreviewed, unreviewed, rows * columns, record.mask_mpp)
    in_boxes = sum(box.height * box.width for box in record.mask_boxes)
    reviewed = max(int(counts[:, Provenance.ACCEPTED :].sum()), in_boxes)
    return ReviewProgress(reviewed, unreviewed, tissue_pixels or rows * columns, record.mask_mpp)


def slide_state(record: SlideRecord, counts: Counts, progress: ReviewProgress) -> str:
    """Return "new", "annotated", "predicted" or "corrected".

    A slide is *predicted* as long as pixels of a model wait for review, and *corrected* once it has been reviewed.
    """
    if progress.unreviewed:
        return "predicted"
    if not labelled_classes(record, counts):
        return "new"
    judged = counts[:, Provenance.CORRECTED].any() or counts[:, Provenance.ACCEPTED].any()
    return "corrected" if judged and progress.done else "annotated"


class TissueAreas:
    """The tissue of a project's slides in mask pixels, as far as it has been detected; each file is read once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._paths: dict[str, str] = {}  # to make one takes longer than all the rest
        self._known: dict[str, tuple[int, float | None]] = {}  # when the file was written, and level-0 pixels of tissue

    def pixels(self, record: SlideRecord) -> float | None:
        """Return the tissue of a slide; None if it was not detected yet, is empty, or cannot be read."""
        if record.id not in self._paths:
            self._paths[record.id] = str(tissue_path(self._project, record.id))
        try:
            written = os.stat(self._paths[record.id]).st_mtime_ns
        except OSError:
            return None
        if self._known.get(record.id, (0,))[0] != written:
            self._known[record.id] = written, self._read(record)
        found = self._known[record.id][1]
        return None if found is None else found / record.downsample**2

    def _read(self, record: SlideRecord) -> float | None:
        try:
            tissue = load_tissue(self._project, record.id)
        except PathsegError:  # reported when the user shows the tissue
            return None
        return float(np.count_nonzero(tissue.pixels)) * tissue.downsample**2 or None


def project_progress(project: Project) -> dict[str, ReviewProgress]:
    """Return the progress on each slide as it was last saved; a slide whose mask cannot be read is left out."""
    areas, found = TissueAreas(project), {}
    for record in project.slides.values():
        with contextlib.suppress(PathsegError):  # a check reports it
            found[record.id] = review_progress(record, project.counts(record.id), areas.pixels(record))
    return found


def describe_review(project: Project) -> dict[str, Any]:
    """Return the progress on each slide as JSON values, and what is left of the project as a sentence."""
    progress = project_progress(project)
    slides = [
        {
            "slide": name,
            "state": slide_state(project.slide(name), project.counts(name), one),
            "reviewed": round(one.share, 4),
            "unreviewed_pixels": one.unreviewed,
            "unreviewed_mm2": one.unreviewed_mm2,
        }
        for name, one in progress.items()
    ]
    return {"text": unreviewed_sentence(progress.values()), "slides": slides}


def unreviewed_sentence(all_progress: Iterable[ReviewProgress]) -> str:
    """Return how much of a project waits for review, as in "12.4 mm² unreviewed on 3 slides".

    The area is in pixels if one of the slides has no pixel size.
    """
    waiting = [progress for progress in all_progress if progress.unreviewed]
    if not waiting:
        return "Nothing unreviewed"
    areas = [progress.unreviewed_mm2 for progress in waiting]
    known = [area for area in areas if area is not None]
    pixels = sum(progress.unreviewed for progress in waiting)
    area = format_mm2(sum(known)) if len(known) == len(areas) else _format_pixels(pixels)
    return f"{area} unreviewed on {len(waiting)} slide{'' if len(waiting) == 1 else 's'}"


def _format_pixels(pixels: int) -> str:
    return f"{pixels / 1e6:.2f} Mpx" if pixels >= _MANY_PIXELS else f"{pixels} px"


def format_mm2(area: float) -> str:
    """Return an area in mm², a small one in µm².

    >>> format_mm2(12.44), format_mm2(0.0021)
    ('12.4 mm²', '2,100 µm²')
    """
    return f"{area:.1f} mm²" if area >= _SMALL_MM2 else f"{area * 1e6:,.0f} µm²"
