"""``project.json``: the list of a project, read and written whole."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_pathseg.classes import ClassTable, class_table
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.atomic import load_json, save_json

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What the file holds; `mpp` is None where each slide keeps its own."""

    classes: ClassTable
    mpp: float | None
    slides: list[SlideRecord]
    settings: dict[str, Any]


def read_manifest(folder: Path) -> Manifest:
    """Read the list of the project in `folder`.

    Raises
    ------
    ProjectError
        If the folder is no project, is damaged, or was made by a newer version.
    """
    path = folder / "project.json"
    if not path.is_file():
        raise ProjectError(f"{folder} is no project: it has no project.json. Make one with `pathseg new`.")
    content = load_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ProjectError(f"{path} has format {found!r}; this version reads format {FORMAT}. Update napari-pathseg.")
    try:
        classes = class_table([(spec["name"], spec["color"]) for spec in content["classes"]])
        slides = [_entry(entry) for entry in content["slides"]]
        for slide in slides:
            _check_id(path, slide.id)
        return Manifest(classes, content["mpp"], slides, content["settings"])
    except (KeyError, TypeError) as error:
        raise ProjectError(
            f"{path} is damaged: {error} is missing or of another kind. Restore it from a copy."
        ) from error


def _entry(content: dict[str, Any]) -> SlideRecord:
    boxes = tuple(Region(*(int(value) for value in box)) for box in content.get("boxes", ()))
    return SlideRecord(**{**content, "shape": tuple(content["shape"]), "boxes": boxes})


def _plain(entry: SlideRecord) -> dict[str, Any]:
    """Return an entry for the file; without boxes as it was before there were any."""
    content = asdict(entry)
    return content if entry.boxes else {name: value for name, value in content.items() if name != "boxes"}


def _check_id(path: Path, slide_id: str) -> None:
    """Refuse a slide whose name would lead out of the project's folder."""
    if slide_id in ("", ".", "..") or "/" in slide_id or "\\" in slide_id:
        raise ProjectError(f"{path} names a slide {slide_id!r}, which is no file name. Restore it from a copy.")


def write_manifest(folder: Path, content: Manifest) -> None:
    """Write the list of the project in `folder`, whole or not at all."""
    save_json(
        folder / "project.json",
        {
            "format": FORMAT,
            "mpp": content.mpp,
            "classes": [{"name": spec.name, "color": spec.color} for spec in content.classes],
            "slides": [_plain(entry) for entry in content.slides],
            "settings": content.settings,
        },
    )
