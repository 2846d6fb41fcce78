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


def find_duplicate_slides(project: Project, entries: Sequence[SlideRecord]) -> list[list[SlideRecord]]:
    """Return groups of slides with the same image.

    Identical files have the same fingerprint.  Slides of the same size with the same contour file may be one image
    saved twice; the centres of these are compared.
    """
    groups = _alike(entries, [entry.fingerprint for entry in entries])
    known = {entry.id for group in groups for entry in group[1:]}
    rest = [entry for entry in entries if entry.id not in known]
    drawn = _drawn(project)
    keys = [(entry.shape, drawn[entry.id]) if entry.id in drawn else "" for entry in rest]
    return groups + [twins for group in _alike(rest, keys) if len(twins := _same_pixels(project, group)) > 1]


def _alike(entries: Iterable[SlideRecord], keys: Iterable[Hashable]) -> list[list[SlideRecord]]:
    """Return the groups of two or more slides that share a key; an empty key never matches."""
    groups: dict[Hashable, list[SlideRecord]] = defaultdict(list)
    for entry, key in zip(entries, keys, strict=True):
        if key:
            groups[key].append(entry)
    return [group for group in groups.values() if len(group) > 1]


def _drawn(project: Project) -> dict[str, str]:
    """Return a hash of the imported file of each slide."""
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in project.folder.glob("contours/*.*")}


def _same_pixels(project: Project, entries: list[SlideRecord]) -> list[SlideRecord]:
    """Return the first slide and those whose centre looks the same."""
    rows, columns = entries[0].shape
    middle = Region((rows - _SIDE) // 2, (columns - _SIDE) // 2, _SIDE, _SIDE).clip(entries[0].shape)
    found: list[SlideRecord] = []
    first = np.empty(0)
    for entry in entries:
        try:
            with project.open_slide(entry.id) as slide:
                pixels = slide.read(middle).astype(float)
        except PathsegError:  # reported by another check
            continue
        grey = pixels.mean(axis=-1) if pixels.ndim == 3 else pixels
        if not found:
            first = grey
        if np.abs(grey - first).mean() < _ALIKE:
            found.append(entry)
    return found
