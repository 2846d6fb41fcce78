"""The projects that were open last, remembered for the user of this computer."""

from pathlib import Path

from qtpy.QtCore import QSettings

_KEY, _MOST = "recent_projects", 8


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-pathseg", "napari-pathseg")


def recent_projects() -> list[Path]:
    """Return the projects that were open last and are still there, the newest first."""
    kept = _settings().value(_KEY) or []
    names = [kept] if isinstance(kept, str) else kept
    return [Path(name) for name in names if (Path(name) / "project.json").is_file()]


def remember_project(folder: Path) -> None:
    """Put a project first in the list."""
    others = [path for path in recent_projects() if path != folder]
    _settings().setValue(_KEY, [str(path) for path in [folder, *others][:_MOST]])
