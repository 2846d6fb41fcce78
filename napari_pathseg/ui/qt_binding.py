"""Whether Qt can be loaded, which only the window needs."""

from napari_pathseg.errors import ConfigError


def check_qt() -> None:
    """Raise if Qt cannot be loaded.

    Raises
    ------
    ConfigError
        With the command that installs it.
    """
    try:
        import qtpy.QtWidgets  # noqa: F401
    except ImportError as error:  # no binding, or one whose system libraries are missing
        raise ConfigError(
            f"The window needs Qt, which cannot be loaded here ({str(error).splitlines()[0]}). Install it with: "
            'pip install "napari-pathseg[all]". All other commands work without it.'
        ) from error
