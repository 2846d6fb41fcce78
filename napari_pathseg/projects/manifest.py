"""``project.json``, the manifest of a project, read and written whole."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_pathseg.classes import ClassTable, class_table
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project_state import ProjectState
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.atomic import load_json, save_json

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """The content of ``project.json``; without `mpp` each slide keeps its own pixel size."""

    classes: ClassTable
    mpp: float | None
    slides: list[SlideRecord]
    state: ProjectState


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the project in `folder`.

    Raises
    ------
    ProjectError
        If the folder is not a project, is damaged, or was written by a newer version.
    """
    path = folder / "project.json"
    if not path.is_file():
        raise ProjectError(f"{folder} is not a project: it has no project.json. Make one with `pathseg new`.")
    content = load_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ProjectError(f"{path} has format {found!r}; this version reads format {FORMAT}. Update napari-pathseg.")
    try:
        classes = class_table([(spec["name"], spec["color"]) for spec in content["classes"]])
        slides = [_record_from_json(record) for record in content["slides"]]
        for slide in slides:
            _check_id(path, slide.id)
        return Manifest(classes, content["mpp"], slides, ProjectState(content["settings"]))
    except (KeyError, TypeError) as error:
        raise ProjectError(
            f"{path} is damaged: {error} is missing or of the wrong type. Restore it from a copy."
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the project in `folder`, whole or not at all."""
    save_json(
        folder / "project.json",
        {
            "format": FORMAT,
            "mpp": manifest.mpp,
            "classes": [{"name": spec.name, "color": spec.color} for spec in manifest.classes],
            "slides": [_record_to_json(record) for record in manifest.slides],
            "settings": manifest.state.values,
        },
    )


def _record_from_json(content: dict[str, Any]) -> SlideRecord:
    boxes = tuple(Region(*(int(value) for value in box)) for box in content.get("boxes", ()))
    return SlideRecord(**{**content, "shape": tuple(content["shape"]), "boxes": boxes})


def _record_to_json(record: SlideRecord) -> dict[str, Any]:
    """Return a record as plain values, without ``boxes`` where it has none, as older versions wrote it."""
    content = asdict(record)
    return content if record.boxes else {name: value for name, value in content.items() if name != "boxes"}


def _check_id(path: Path, slide_id: str) -> None:
    """Reject a slide name that would lead out of the project folder."""
    if slide_id in ("", ".", "..") or "/" in slide_id or "\\" in slide_id:
        raise ProjectError(f"{path} names a slide {slide_id!r}, which is not a file name. Restore it from a copy.")
