"""Detection of slides that are in a project twice, under two names."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

_SIDE = 256  # pixels, of the central square that is compared
_ALIKE = 6.0  # mean difference in grey values, up to which two images are the same after JPEG at quality 75


def find_duplicate_slides(project: Project, records: Sequence[SlideRecord]) -> list[list[SlideRecord]]:
    """Return groups of slides with the same image.

    Identical files have the same fingerprint.  Slides of the same size with the same contour file may be one image
    saved twice; the centres of these are compared.
    """
    groups = _alike(records, [record.fingerprint for record in records])
    known = {record.id for group in groups for record in group[1:]}
    rest = [record for record in records if record.id not in known]
    drawn = _drawn(project)
    keys = [(record.shape, drawn[record.id]) if record.id in drawn else "" for record in rest]
    return groups + [same for group in _alike(rest, keys) if len(same := _same_pixels(project, group)) > 1]


def _alike(records: Iterable[SlideRecord], keys: Iterable[Hashable]) -> list[list[SlideRecord]]:
    """Return the groups of two or more slides that share a key; an empty key never matches."""
    groups: dict[Hashable, list[SlideRecord]] = defaultdict(list)
    for record, key in zip(records, keys, strict=True):
        if key:
            groups[key].append(record)
    return [group for group in groups.values() if len(group) > 1]


def _drawn(project: Project) -> dict[str, str]:
    """Return a hash of the imported file of each slide."""
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in project.folder.glob("contours/*.*")}


def _same_pixels(project: Project, records: list[SlideRecord]) -> list[SlideRecord]:
    """Return the first slide and those whose centre looks the same."""
    rows, columns = records[0].shape
    middle = Region((rows - _SIDE) // 2, (columns - _SIDE) // 2, _SIDE, _SIDE).clip(records[0].shape)
    found: list[SlideRecord] = []
    first = np.empty(0)
    for record in records:
        try:
            with project.open_slide(record.id) as slide:
                pixels = slide.read(middle).astype(float)
        except PathsegError:  # reported by another check
            continue
        grey = pixels.mean(axis=-1) if pixels.ndim == 3 else pixels
        if not found:
            first = grey
        if np.abs(grey - first).mean() < _ALIKE:
            found.append(record)
    return found
