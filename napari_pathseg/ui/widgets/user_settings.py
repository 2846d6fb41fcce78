"""What is remembered for the user of this computer, whatever the project."""

from qtpy.QtCore import QSettings


def user_settings() -> QSettings:
    """Return the settings of the user of this computer."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-pathseg", "napari-pathseg")
