"""`pathseg add`: expand its file patterns, and describe the slides that were added."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project
    from napari_pathseg.projects.slide_record import SlideRecord

_MOST = 20  # names in a sentence


def expand(words: Iterable[str | Path]) -> list[str]:
    """Return the files named by `words`, with patterns expanded in order, as not every shell does that.

    Raises
    ------
    ConfigError
        If a pattern matches nothing.
    """
    files: list[str] = []
    for word in map(str, words):
        if not glob.has_magic(word) or Path(word).exists():  # as "stack[2].tif" may
            files.append(word)
            continue
        found = sorted(glob.glob(word, recursive=True))
        if not found:
            raise ConfigError(f"{word}: no file matches this pattern, seen from {Path.cwd()}. Check folder and suffix.")
        files += found
    return files


def describe(project: "Project", records: Sequence["SlideRecord"], given: Path | None) -> dict[str, Any]:
    """Return the answer of `pathseg add`; `given` is the contour file or folder, or None."""
    slides: list[dict[str, Any]] = []
    for record in records:
        contours = _taken(project, record, given)
        fields = {"slide": record.id, "patient": record.patient, "role": record.role, "complete": record.complete}
        slides.append(
            {**fields, "mpp": record.mpp, "contours": contours, "classes": _classes(project, record, contours)}
        )
    alone = [slide["slide"] for slide in slides if slide["contours"] is None]
    warnings = [_unpaired(alone, len(slides), given)] if given is not None and alone else []
    return {"slides": slides, "warnings": warnings}


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _taken(project: "Project", record: "SlideRecord", given: Path | None) -> str | None:
    """Return the name of the given file that was imported into a slide, or None."""
    if given is None:
        return None
    files = {path.resolve() for path in (given.iterdir() if given.is_dir() else [given])}
    taken = [one.file for one in project.state.imports_into(record.id).values() if Path(one.path) in files]
    return taken[-1] if taken else None


def _classes(project: "Project", record: "SlideRecord", contours: str | None) -> list[str]:
    """Return the classes that were imported into a slide's mask; includes Background if it is complete."""
    from napari_pathseg.classes import BACKGROUND
    from napari_pathseg.masks.counts import Provenance

    imported = project.counts(record.id)[:, Provenance.IMPORTED]
    return [
        spec.name
        for spec in project.classes
        if (contours is not None and imported[spec.index]) or (record.complete and spec.index == BACKGROUND)
    ]


def _unpaired(alone: Sequence[str], slides: int, folder: Path) -> str:
    from napari_pathseg.contours.formats import CONTOUR_SUFFIXES

    suffixes, stem = ", ".join(CONTOUR_SUFFIXES), alone[0]
    return (
        f"No contours in {folder} for {listed(alone)} ({len(alone)} of {slides} slides). A slide goes with the file of "
        f"its own stem: {stem} with {suffixes}, or a label image {stem}_mask.png, {stem}.png or mask_{stem}.png. "
        "Rename the files, or add slides one by one with --contours FILE."
    )
