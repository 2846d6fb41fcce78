"""Settings from a file: TOML, or JSON such as the ``config.json`` of a training."""

import tomllib
from pathlib import Path
from typing import Any

from napari_pathseg.errors import ConfigError
from napari_pathseg.storage.atomic import load_json

_OF_A_RUN = ("config", "parent")  # keys of its file, see `engine.training.stored_run`


def load_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a file by name, whether they are known or not.

    Raises
    ------
    ConfigError, ProjectError
        If the file cannot be read, or is no TOML or JSON.
    """
    values = _load(path)
    return values["config"] if _is_of_a_run(values) else values


def parent_in(path: Path) -> str | None:
    """Return the model from which the training of a file started, "none" for none; None if no training wrote it.

    Raises
    ------
    ConfigError, ProjectError
        As `load_settings`.
    """
    values = _load(path)
    return (values["parent"] or "none") if _is_of_a_run(values) else None


def _load(path: Path) -> dict[str, Any]:
    if path.suffix.lower() != ".toml":
        values = load_json(path)
    else:
        try:
            values = tomllib.loads(path.read_text(encoding="utf8"))
        except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"{path} could not be read ({reason}). Give a file of lines such as minutes = 5."
            ) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} has no settings by name. Give a TOML file, or the config.json of a training.")
    return values


def _is_of_a_run(values: dict[str, Any]) -> bool:
    return all(key in values for key in _OF_A_RUN) and isinstance(values["config"], dict)
