"""Settings of the user on this computer, independent of the project, and the list of recent projects."""

from pathlib import Path

from qtpy.QtCore import QSettings

from napari_pathseg.storage.names import is_project

_RECENT, _MAX_RECENT = "recent_projects", 8


def user_settings() -> QSettings:
    """Return the stored settings."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-pathseg", "napari-pathseg")


def recent_projects() -> list[Path]:
    """Return the projects opened last that still exist, newest first."""
    stored = user_settings().value(_RECENT) or []
    names = [stored] if isinstance(stored, str) else stored
    return [Path(name) for name in names if is_project(Path(name))]


def remember_project(folder: Path) -> None:
    """Move a project to the top of the recent ones."""
    others = [path for path in recent_projects() if path != folder]
    user_settings().setValue(_RECENT, [str(path) for path in [folder, *others][:_MAX_RECENT]])
