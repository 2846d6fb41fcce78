"""Places that a person skipped when they were offered to be annotated; they are not offered again.

``skipped_places.json`` in the project folder lists their boxes by slide, in level-0 pixels.
"""

from typing import TypedDict

from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import save_json
from napari_pathseg.storage.json_schema import load_record

FILE = "skipped_places.json"
_FORMAT = 1
_REMEDY = "Delete it: the places that were skipped are offered again then."

Skipped = dict[str, list[Region]]  # boxes in level-0 pixels, by slide


class _Stored(TypedDict):
    format: int
    slides: Skipped


def load_skipped(project: Project) -> Skipped:
    """Return the places that were skipped.

    Raises
    ------
    ProjectError
        If the file is damaged.
    """
    path = project.folder / FILE
    return load_record(path, _Stored, _REMEDY)["slides"] if path.exists() else {}


def skip_place(project: Project, slide: str, region: Region) -> None:
    """Add a place to those that were skipped.

    Raises
    ------
    ProjectError
        If the project is read-only, or the file is damaged or cannot be written.
    """
    with project.write_lock():
        skipped = load_skipped(project)
        if region not in skipped.get(slide, ()):
            skipped.setdefault(slide, []).append(region)
            _save(project, skipped)


def offer_again(project: Project, slide: str, region: Region) -> None:
    """Take a place off those that were skipped.

    Raises
    ------
    ProjectError
        As :func:`skip_place` does.
    """
    with project.write_lock():
        skipped = load_skipped(project)
        skipped[slide] = [each for each in skipped.get(slide, ()) if each != region]
        _save(project, {name: regions for name, regions in skipped.items() if regions})


def offer_all_again(project: Project) -> None:
    """Forget all places that were skipped.

    Raises
    ------
    ProjectError
        If the project is read-only, or the file cannot be written.
    """
    with project.write_lock():
        _save(project, {})


def _save(project: Project, skipped: Skipped) -> None:
    slides = {name: [list(region) for region in regions] for name, regions in skipped.items()}
    save_json(project.folder / FILE, {"format": _FORMAT, "slides": slides})
