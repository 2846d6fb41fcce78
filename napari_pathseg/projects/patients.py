"""Whose slide it is: from a pattern of its name, from a table, or by hand; and never in two roles."""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.contours.formats import stem_of
from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.projects import roles
from napari_pathseg.projects.slide_record import SlideRecord

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project

# Names that say where the patient ends.  TCGA: project, site, participant
# (https://docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode); CPTAC: C3L or C3N and a number;
# CAMELYON17: patient_000_node_0; scans named by their date and time, of which fields were cut out.
_KNOWN = (
    r"^TCGA-\w{2}-\w{4}",
    r"^C3[LN]-\d{5}",
    r"^patient_\d+",
    r"^\d{4}-\d{2}-\d{2}[ _T]\d{2}[.:-]\d{2}[.:-]\d{2}",
)
_SEPARATORS = "-_ ."
# Beginnings with a number that tells something else: years and dates, magnifications, parts of a set.
_NO_PATIENT = re.compile(
    r"(19|20)\d\d([-_.]?\d\d){0,2}|\d{1,3}x|(fold|batch|set|part|group|level|page|series|train|val|test)[-_. ]?\d+",
    re.IGNORECASE,
)
_NAMED = 20  # slides of a role that a message names


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
        patient = found and found.group(min(compiled.groups, 1))
        if not patient:
            raise ConfigError(
                f"patient is {pattern!r}; it matches nothing in the name {name}. Change the pattern, or give a table."
            )
        return patient

    return patient_of


def _from_table(path: Path) -> Callable[[str], str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as a table of patients ({error}).") from error
    if not rows or not {"slide", "patient"} <= set(rows[0]):
        raise ConfigError(f"{path} needs a first line with the columns slide,patient.")
    table: dict[str, str] = {}
    for row in rows:
        name, patient = stem_of(row["slide"] or ""), (row["patient"] or "").strip()
        if table.setdefault(name, patient) != patient:
            raise ConfigError(f"{path} gives the slide {name} to both {table[name]} and {patient}. Delete one line.")

    def patient_of(name: str) -> str:
        if not table.get(name):
            raise ConfigError(f"{path} names no patient of the slide {name}. Add a line for it.")
        return table[name]

    return patient_of


def suggest_pattern(names: Sequence[str]) -> str | None:
    r"""Return a pattern for :func:`patients` that puts several of these slides together, or None.

    Known kinds of names come first; else the part before a separator, where it has a number,
    all names have it, and it is no date or the like.

    Examples
    --------
    >>> suggest_pattern(["TCGA-A1-A0SK-01Z-00-DX1", "TCGA-A1-A0SK-01Z-00-DX2", "TCGA-A2-A0YL-01Z-00-DX1"])
    '^TCGA-\\w{2}-\\w{4}'
    >>> suggest_pattern(["P12_a", "P12_b", "P13_a"])
    '^[^_]+'
    >>> suggest_pattern(["normal_001", "tumor_001"])
    """
    for pattern in _KNOWN:
        if _groups(pattern, names):
            return pattern
    for parts in (1, 2):
        for separator in _SEPARATORS:
            between = r"\." if separator == "." else separator
            pattern = "^" + between.join([f"[^{separator}]+"] * parts)
            groups = _groups(pattern, names)
            if groups and all(map(_may_be_patient, groups)) and all(name.count(separator) >= parts for name in names):
                return pattern
    return None


def _groups(pattern: str, names: Sequence[str]) -> set[str]:
    """Return the patients that a pattern tells, if it tells all and puts some slides, not all, together."""
    found = [match.group() for name in names if (match := re.search(pattern, name))]
    groups = set(found)
    return groups if len(found) == len(names) and 1 < len(groups) < len(names) else set()


def _may_be_patient(part: str) -> bool:
    return any(character.isdigit() for character in part) and not _NO_PATIENT.fullmatch(part)


def set_patient(project: "Project", slide_ids: Iterable[str], patient: str) -> None:
    """Give slides to a patient and save.

    Raises
    ------
    ConfigError
        If the name is empty.
    ProjectError
        If the patient would then be in two roles: which slides, and what to do.
    """
    patient = patient.strip()
    if not patient:
        raise ConfigError("patient is empty; slides of one patient need a name that they share.")
    with project.write_lock():
        changed = {name: replace(project.slide(name), patient=patient) for name in slide_ids}
        check_leaks({**project.slides, **changed}.values(), {patient})
        project.slides.update(changed)
        project.save()


def name_patients(project: "Project", pattern: str) -> dict[str, str]:
    """Take the patients of all slides from their names, or a table, and save; return the patient of each.

    Raises
    ------
    ConfigError
        As :func:`patients` and its function do; nothing is changed then.
    ProjectError
        If a patient would be in two roles; nothing is changed then.
    """
    patient_of = patients(pattern)
    with project.write_lock():
        found = {name: patient_of(name) for name in project.slides}
        named = {name: replace(entry, patient=found[name]) for name, entry in project.slides.items()}
        check_leaks(named.values())
        project.slides.update(named)
        project.save()
    return found


def find_leaks(entries: Iterable[SlideRecord]) -> dict[str, dict[str, list[str]]]:
    """Return the patients that are in two roles or more: their slides by role, slides without one aside."""
    by_patient: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        if entry.role != roles.AUTO:
            by_patient[entry.patient][entry.role].append(entry.id)
    return {patient: dict(by_role) for patient, by_role in by_patient.items() if len(by_role) > 1}


def check_leaks(entries: Iterable[SlideRecord], patients: Iterable[str] | None = None) -> None:
    """Refuse that one of these patients, or any, is in two roles.

    Raises
    ------
    ProjectError
        Naming the patient and the slides of each role.
    """
    leaks = find_leaks(entries)
    for patient in leaks if patients is None else [name for name in patients if name in leaks]:
        sides = ", ".join(_side(names, role) for role, names in leaks[patient].items())
        raise ProjectError(
            f'Patient "{patient}" would be in two roles: {sides}. Give all slides of a patient one role, or each its '
            "own patient."
        )


def _side(names: Sequence[str], role: str) -> str:
    shown = list(names[:_NAMED])
    if len(names) > _NAMED:
        shown.append(f"{len(names) - _NAMED} more")
    listed = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return f"{listed} {'is' if len(shown) == 1 else 'are'} {role}"
