"""Find slides that are in a project twice, under different names."""

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from napari_pathseg.contours.formats.limits import MAX_FILE_BYTES
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.regular_files import open_regular

_SIDE = 256  # pixels; side of the central square that is compared
_MAX_DIFFERENCE = 6.0  # mean, in grey values; two copies of an image differ by less after JPEG at quality 75


def find_duplicate_slides(project: Project, records: Sequence[SlideRecord]) -> list[list[SlideRecord]]:
    """Return groups of slides with the same image.

    Identical files have the same fingerprint; so have the pages of one file, which differ in their page and are never
    duplicates of each other.  Slides of the same size with the same contour file may be one image saved twice, so their
    centres are compared.
    """
    groups = _group_by_key(records, [(record.fingerprint, record.page) for record in records])
    known = {record.id for group in groups for record in group[1:]}
    rest = [record for record in records if record.id not in known]
    hashes = _contour_hashes(project)
    keys = [(record.shape, record.page, hashes[record.id]) if record.id in hashes else "" for record in rest]
    return groups + [same for group in _group_by_key(rest, keys) if len(same := _same_pixels(project, group)) > 1]


def _group_by_key(records: Iterable[SlideRecord], keys: Iterable[Hashable]) -> list[list[SlideRecord]]:
    """Return the groups of two or more slides that share a key; an empty key never matches."""
    groups: dict[Hashable, list[SlideRecord]] = defaultdict(list)
    for record, key in zip(records, keys, strict=True):
        if key:
            groups[key].append(record)
    return [group for group in groups.values() if len(group) > 1]


def _contour_hashes(project: Project) -> dict[str, str]:
    """Return a hash of the imported contour file of each slide that has one."""
    hashes = {}
    for path in project.folder.glob("contours/*.*"):
        with contextlib.suppress(OSError), open_regular(path, MAX_FILE_BYTES) as file:  # else it is like no other
            hashes[path.stem] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _same_pixels(project: Project, records: list[SlideRecord]) -> list[SlideRecord]:
    """Return the first readable slide and those with the same centre."""
    rows, columns = records[0].shape
    centre = Region((rows - _SIDE) // 2, (columns - _SIDE) // 2, _SIDE, _SIDE).clip(records[0].shape)
    matching: list[SlideRecord] = []
    first = np.empty(0)
    for record in records:
        try:
            with project.open_slide(record.id) as slide:
                pixels = slide.read(centre).astype(float)
        except PathsegError:  # reported by another check
            continue
        grey = pixels.mean(axis=-1) if pixels.ndim == 3 else pixels
        if not matching:
            first = grey
        if np.abs(grey - first).mean() < _MAX_DIFFERENCE:
            matching.append(record)
    return matching
