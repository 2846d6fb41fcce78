"""The patient of each slide: from a pattern in its name, from a table, or set by hand; never in two roles."""

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

# Naming schemes with a known patient part.  TCGA: project, site, participant
# (https://docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode); CPTAC: C3L or C3N and a number;
# CAMELYON17: patient_000_node_0; scans named by date and time, of which fields were cut out.
_KNOWN = (
    r"^TCGA-\w{2}-\w{4}",
    r"^C3[LN]-\d{5}",
    r"^patient_\d+",
    r"^\d{4}-\d{2}-\d{2}[ _T]\d{2}[.:-]\d{2}[.:-]\d{2}",
)
_SEPARATORS = "-_ ."
# Prefixes whose number is not a patient's: years and dates, magnifications, parts of a data set.
_NOT_A_PATIENT = re.compile(
    r"(19|20)\d\d([-_.]?\d\d){0,2}|\d{1,3}x|(fold|batch|set|part|group|level|page|series|train|val|test)[-_. ]?\d+",
    re.IGNORECASE,
)
_MAX_NAMED = 20  # slides of a role that a message names


def patient_parser(pattern: str) -> Callable[[str], str]:
    """Return a function from a slide's name to its patient.

    Parameters
    ----------
    pattern
        A regular expression, whose first group, or else whole match, is the patient; or the path of a CSV file with
        the columns ``slide,patient``.

    Raises
    ------
    ConfigError
        If the pattern or the table cannot be used; raised by the function if it finds no patient.
    """
    if pattern.lower().endswith(".csv"):
        return _from_table(Path(pattern))
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"patient is {pattern!r}, which is not a regular expression: {error}.") from None

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
    r"""Return a pattern for :func:`patient_parser` that groups some of these slides, or None.

    Known naming schemes come first.  Otherwise it is the part before a separator, if all names have that, and it
    contains a number that is not a date or the like.

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
    """Return the patients that a pattern finds, if it matches every name and groups some slides, but not all."""
    found = [match.group() for name in names if (match := re.search(pattern, name))]
    groups = set(found)
    return groups if len(found) == len(names) and 1 < len(groups) < len(names) else set()


def _may_be_patient(part: str) -> bool:
    return any(character.isdigit() for character in part) and not _NOT_A_PATIENT.fullmatch(part)


def set_patient(project: "Project", slide_ids: Iterable[str], patient: str) -> None:
    """Assign slides to a patient and save.

    Raises
    ------
    ConfigError
        If the name is empty.
    ProjectError
        If the patient would then have slides in two roles; the message names them.
    """
    patient = patient.strip()
    if not patient:
        raise ConfigError("patient is empty; slides of one patient need a common name.")
    with project.write_lock():
        changed = {name: replace(project.slide(name), patient=patient) for name in slide_ids}
        check_leaks({**project.slides, **changed}.values(), {patient})
        project.slides.update(changed)
        project.save()


def set_patients_by_name(project: "Project", pattern: str) -> dict[str, str]:
    """Set the patients of all slides from their names or a table, and save; return the patient of each.

    Raises
    ------
    ConfigError
        As :func:`patient_parser` and its function do; nothing is changed then.
    ProjectError
        If a patient would be in two roles; nothing is changed then.
    """
    patient_of = patient_parser(pattern)
    with project.write_lock():
        found = {name: patient_of(name) for name in project.slides}
        named = {name: replace(record, patient=found[name]) for name, record in project.slides.items()}
        check_leaks(named.values())
        project.slides.update(named)
        project.save()
    return found


def find_leaks(records: Iterable[SlideRecord]) -> dict[str, dict[str, list[str]]]:
    """Return the patients with slides in two or more roles, and these slides by role; "auto" does not count."""
    by_patient: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.role != roles.AUTO:
            by_patient[record.patient][record.role].append(record.id)
    return {patient: dict(by_role) for patient, by_role in by_patient.items() if len(by_role) > 1}


def check_leaks(records: Iterable[SlideRecord], patients: Iterable[str] | None = None) -> None:
    """Raise if one of these patients, or any patient, has slides in two roles.

    Raises
    ------
    ProjectError
        Naming the patient and the slides of each role.
    """
    leaks = find_leaks(records)
    for patient in leaks if patients is None else [name for name in patients if name in leaks]:
        sides = ", ".join(_side(names, role) for role, names in leaks[patient].items())
        raise ProjectError(
            f'Patient "{patient}" would be in two roles: {sides}. Give all slides of a patient one role, or each its '
            "own patient."
        )


def _side(names: Sequence[str], role: str) -> str:
    shown = list(names[:_MAX_NAMED])
    if len(names) > _MAX_NAMED:
        shown.append(f"{len(names) - _MAX_NAMED} more")
    listed = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return f"{listed} {'is' if len(shown) == 1 else 'are'} {role}"
