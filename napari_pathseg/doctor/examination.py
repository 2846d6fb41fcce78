"""All checks, in the order in which they are made, and what they found without anything private."""

import getpass
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from napari_pathseg.doctor.computer import check_cores, check_memory
from napari_pathseg.doctor.finding import Finding
from napari_pathseg.doctor.folders import check_disk, check_folder, check_locks, check_temporary
from napari_pathseg.doctor.software import (
    check_napari,
    check_packages,
    check_python,
    check_readers,
    check_torch,
    check_weights,
)
from napari_pathseg.doctor.whole import check_trial, check_worker
from napari_pathseg.doctor.window import check_opengl, check_qt

CHECKS: dict[str, Callable[[Path], Finding]] = {  # by name; the quick ones first
    "Python": check_python,
    "Packages": check_packages,
    "napari": check_napari,
    "Memory": check_memory,
    "Cores": check_cores,
    "Disk": check_disk,
    "Folder": check_folder,
    "Locks": check_locks,
    "Temporary": check_temporary,
    "Qt": check_qt,
    "OpenGL": check_opengl,
    "Readers": check_readers,
    "torch": check_torch,
    "Weights": check_weights,
    "Worker": check_worker,
    "Trial": check_trial,
}
_SIGNS = {"ok": "ok", "warning": "warning", "fault": "FAULT"}
_USERS_FOLDER = re.compile(r"(?i)(/home/|/Users/|\\Users\\|\\\\)([^/\\\n\"':]+(?=[/\\])|[^/\\\s\"':]+)")


def examine(folder: Path, names: Sequence[str] = ()) -> Iterator[Finding]:
    """Make the checks and yield what each has found, without anything private.

    Parameters
    ----------
    folder
        Where projects are kept, or one of them: its disk is checked.
    names
        Names of checks; empty for all.
    """
    for name, check in CHECKS.items():
        if names and name not in names:
            continue
        try:
            found = check(folder)
        except Exception as error:  # the other checks must be made all the same
            found = Finding.fault(f"The check failed: {type(error).__name__}: {error}.", "Report this.")
        what, remedy = (without_private(text, folder) for text in (found.what, found.remedy))
        yield replace(found, what=what, remedy=remedy, name=name)


def without_private(text: str, folder: Path) -> str:
    """Replace the names of the user, the computer and their folders in a text."""
    places = {str(folder.resolve()): "<folder>", str(folder): "<folder>", str(Path.home()): "<home>"}
    for place, word in sorted(places.items(), key=lambda one: -len(one[0])):
        if len(place) > 1:  # not / or .
            text = text.replace(place, word)
    text = _USERS_FOLDER.sub(r"\1<user>", text)
    host = socket.gethostname()
    for name, word in ((_user(), "<user>"), (host, "<host>"), (host.partition(".")[0], "<host>")):
        if name:
            text = re.sub(rf"(?i)(?<![\w-]){re.escape(name)}(?![\w-])", word, text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may have no name for its user
        return ""


def report(findings: Sequence[Finding]) -> list[str]:
    """Return the lines of a report: a sign, a name and a sentence for each finding, and below it what to do."""
    width = max((len(one.name) for one in findings), default=0)
    lines = []
    for one in findings:
        lines.append(f"{_SIGNS[one.state]:<7}  {one.name:<{width}}  {one.what}")
        if one.remedy:
            lines.append(f"{'':<7}  {'':<{width}}  To do: {one.remedy}")
    return [*lines, "", summary(findings)]


def summary(findings: Sequence[Finding]) -> str:
    """Return how many faults and warnings there are, as a sentence."""
    faults, warnings = (sum(one.state == state for one in findings) for state in ("fault", "warning"))
    if not faults and not warnings:
        return "All is well."
    counts = ((faults, "fault"), (warnings, "warning"))
    parts = [f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts if number]
    return f"{' and '.join(parts)} in {len(findings)} checks."
