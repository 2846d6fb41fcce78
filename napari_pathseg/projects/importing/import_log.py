"""Which files were imported into which slides, and with which remedy: the project's own list."""

from dataclasses import asdict, dataclass

from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.projects.project import Project

_SETTING = "imported"


@dataclass(frozen=True)
class ImportRecord:
    """A file that was imported: into which slide, its name and place then, and the remedy."""

    slide: str
    file: str
    path: str
    remedy: AxisScaleTransform = IDENTITY


def import_records(project: Project, slide_id: str | None = None) -> dict[str, ImportRecord]:
    """Return what was imported into a slide, or into all, by the names in ``contours/``."""
    kept = project.settings.get(_SETTING, {})
    found = {
        name: ImportRecord(**{**one, "remedy": AxisScaleTransform.from_json(one["remedy"])})
        for name, one in kept.items()
    }
    return {name: one for name, one in found.items() if slide_id in (None, one.slide)}


def record_import(project: Project, name: str, record: ImportRecord) -> None:
    """Note what a file in ``contours/`` was imported as; who calls it saves the project."""
    project.settings[_SETTING] = {
        **project.settings.get(_SETTING, {}),
        name: {**asdict(record), "remedy": record.remedy.to_json()},
    }
