"""The projects that were open last, remembered for the user of this computer."""

from pathlib import Path

from napari_pathseg.ui.widgets.user_settings import user_settings

_KEY, _MAX_PROJECTS = "recent_projects", 8


def recent_projects() -> list[Path]:
    """Return the projects that were open last and are still there, the newest first."""
    kept = user_settings().value(_KEY) or []
    names = [kept] if isinstance(kept, str) else kept
    return [Path(name) for name in names if (Path(name) / "project.json").is_file()]


def remember_project(folder: Path) -> None:
    """Put a project first in the list."""
    others = [path for path in recent_projects() if path != folder]
    user_settings().setValue(_KEY, [str(path) for path in [folder, *others][:_MAX_PROJECTS]])
