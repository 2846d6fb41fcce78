"""Read and write ``project.json``, the manifest of a project."""

from dataclasses import asdict, dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, NotRequired, TypedDict

from napari_pathseg.classes import ClassSpec, ClassTable, RemovedClass, checked_table, palette_color
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.project_state import ProjectState, StoredState
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.atomic import load_json, save_json
from napari_pathseg.storage.json_schema import Count, Name, PixelSize, SchemaError, conform
from napari_pathseg.storage.names import PROJECT_FILE

FORMAT = 2  # 1 if no class was moved or removed, which older versions read


class _StoredClass(TypedDict):
    name: Name
    color: str | None
    number: NotRequired[int]
    into: NotRequired[Count]
    after: NotRequired[Count]


class _StoredProject(TypedDict):
    mpp: PixelSize | None
    classes: list[_StoredClass]
    removed: NotRequired[list[_StoredClass]]
    slides: list[SlideRecord]
    settings: StoredState


@dataclass(frozen=True)
class Manifest:
    """The content of ``project.json``; without `mpp`, each mask has the pixel size of its slide."""

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
    path = folder / PROJECT_FILE
    if not path.is_file():
        raise ProjectError(f"{folder} is not a project: it has no project.json. Create a project with `pathseg new`.")
    content = load_json(path)
    version = content.get("format") if isinstance(content, dict) else None
    if not isinstance(version, int) or version < 1:
        raise ProjectError(
            f"{path} is not a project of napari-pathseg, or is damaged: its format is {version!r}, not {FORMAT}. "
            "Restore it from a copy."
        )
    if version > FORMAT:
        raise ProjectError(f"{path} has format {version}; this version reads format {FORMAT}. Update napari-pathseg.")
    try:
        stored = conform(content, _StoredProject)
    except SchemaError as error:
        raise ProjectError(f"{path} is damaged: {error}. Restore it from a copy.") from error
    for slide in (*stored["slides"], *stored["settings"].get("removed_slides", ())):
        _check_name(path, "a slide", slide.id)
    for name in stored["settings"].get("imported", ()):
        _check_name(path, "an import recorded as", name)
    names = [slide.id for slide in stored["slides"]]
    if len(set(names)) != len(names):
        raise ProjectError(f"{path} is damaged: two of its slides have the same id. Restore it from a copy.")
    settings = content["settings"]  # with the keys of a newer version, which the schema leaves out
    return Manifest(_classes_from_json(stored), stored["mpp"], stored["slides"], ProjectState(settings))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of the project in `folder`, whole or not at all."""
    save_json(
        folder / PROJECT_FILE,
        {
            **_classes_to_json(manifest.classes),
            "mpp": manifest.mpp,
            "slides": [record_to_json(record) for record in manifest.slides],
            "settings": manifest.state.values,
        },
    )


def _classes_from_json(content: _StoredProject) -> ClassTable:
    specs = [_class_from_json(spec, number) for number, spec in enumerate(content["classes"], 1)]
    removed = [
        RemovedClass(_class_from_json(gone, 0), gone.get("into", 0), gone.get("after", 0))
        for gone in content.get("removed", ())
    ]
    if len(specs) < 2:
        raise ProjectError(f"A project has {len(specs)} classes; it needs Background and what the model should find.")
    return checked_table(specs, removed)


def _class_from_json(spec: _StoredClass, place: int) -> ClassSpec:
    number = spec.get("number", place)
    return ClassSpec(number, spec["name"], spec["color"] or palette_color(number))


def _classes_to_json(classes: ClassTable) -> dict[str, Any]:
    """Return the classes as JSON values, their numbers only where they are not their places in the list."""
    if not classes.removed and all(spec.index == place for place, spec in enumerate(classes, 1)):
        return {"format": 1, "classes": [{"name": spec.name, "color": spec.color} for spec in classes]}
    specs = [{"name": spec.name, "color": spec.color, "number": spec.index} for spec in classes]
    removed = [
        {
            "name": gone.spec.name,
            "color": gone.spec.color,
            "number": gone.spec.index,
            "into": gone.into,
            "after": gone.after,
        }
        for gone in classes.removed
    ]
    return {"format": FORMAT, "classes": specs, "removed": removed}


def record_to_json(record: SlideRecord) -> dict[str, Any]:
    """Return a record as JSON values; ``boxes`` is left out if empty, as in files of older versions."""
    content = asdict(record)
    return content if record.boxes else {name: value for name, value in content.items() if name != "boxes"}


def _check_name(path: Path, what: str, name: str) -> None:
    """Reject a name that would point outside the project folder, on this system or on Windows, as ``C:a`` does."""
    if name in (".", "..") or "\0" in name or PureWindowsPath(name).name != name:
        raise ProjectError(f"{path} contains {what} {name!r}, which is not a file name. Restore it from a copy.")
