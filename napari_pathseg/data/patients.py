"""Whose slide it is: from a pattern of its name, or from a table."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

from napari_pathseg.data.formats import stem_of
from napari_pathseg.errors import ConfigError


def patients(pattern: str) -> Callable[[str], str]:
    """Return the function that tells the patient from a slide's name.

    Parameters
    ----------
    pattern
        A regular expression, its first group or all it matches is the patient; or the path
        of a CSV file with the columns ``slide,patient``.

    Raises
    ------
    ConfigError
        If the pattern or the table cannot be used; from the function, if it tells no patient.
    """
    if pattern.lower().endswith(".csv"):
        return _from_table(Path(pattern))
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"patient is {pattern!r}, which is no regular expression: {error}.") from None

    def patient_of(name: str) -> str:
        found = compiled.search(name)
        if found is None:
            raise ConfigError(f"patient is {pattern!r}; it matches nothing in the name {name}.")
        return found.group(1) if compiled.groups else found.group()

    return patient_of


def _from_table(path: Path) -> Callable[[str], str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a table of patients ({error}).") from error
    if not rows or not {"slide", "patient"} <= set(rows[0]):
        raise ConfigError(f"{path} needs a first line with the columns slide,patient.")
    table = {stem_of(row["slide"]): row["patient"] for row in rows}

    def patient_of(name: str) -> str:
        if name not in table:
            raise ConfigError(f"{path} names no patient of the slide {name}. Add a line for it.")
        return table[name]

    return patient_of
