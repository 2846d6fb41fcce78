"""Places that a person skipped when they were offered; they are not offered again.

``skipped_places.json`` in the project folder lists the boxes, in level-0 pixels, of those that were to be annotated, by
slide; ``skipped_disagreements.json`` those at which a model contradicts the labels.
"""

from typing import TypedDict

from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import save_json
from napari_pathseg.storage.json_schema import load_record

FILE = "skipped_places.json"
DISAGREEMENTS_FILE = "skipped_disagreements.json"
_FORMAT = 1
_REMEDY = "Delete it: the places that were skipped are offered again then."

Skipped = dict[str, list[Region]]  # boxes in level-0 pixels, by slide


class _Stored(TypedDict):
    format: int
    slides: Skipped


def load_skipped(project: Project, file: str = FILE) -> Skipped:
    """Return the places that were skipped; `file` is one of both.

    Raises
    ------
    ProjectError
        If the file is damaged.
    """
    path = project.folder / file
    return load_record(path, _Stored, _REMEDY)["slides"] if path.exists() else {}


def skip_place(project: Project, slide: str, region: Region, file: str = FILE) -> None:
    """Add a place to those that were skipped.

    Raises
    ------
    ProjectError
        If the project is read-only, or the file is damaged or cannot be written.
    """
    with project.write_lock():
        skipped = load_skipped(project, file)
        if region not in skipped.get(slide, ()):
            skipped.setdefault(slide, []).append(region)
            _save(project, skipped, file)


def offer_again(project: Project, slide: str, region: Region, file: str = FILE) -> None:
    """Take a place off those that were skipped.

    Raises
    ------
    ProjectError
        As :func:`skip_place` does.
    """
    with project.write_lock():
        skipped = load_skipped(project, file)
        skipped[slide] = [each for each in skipped.get(slide, ()) if each != region]
        _save(project, {name: regions for name, regions in skipped.items() if regions}, file)


def offer_all_again(project: Project, file: str = FILE) -> None:
    """Forget all places that were skipped.

    Raises
    ------
    ProjectError
        If the project is read-only, or the file cannot be written.
    """
    with project.write_lock():
        _save(project, {}, file)


def _save(project: Project, skipped: Skipped, file: str) -> None:
    slides = {name: [list(region) for region in regions] for name, regions in skipped.items()}
    save_json(project.folder / file, {"format": _FORMAT, "slides": slides})
