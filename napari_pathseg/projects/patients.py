"""Patients of the slides: from a pattern in their names or from a table; never in two roles."""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from napari_pathseg.contours.formats import stem_of
from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.projects import roles
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.regular_files import read_regular

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project

# Naming schemes with a known patient part.  TCGA: project, site, participant
# (https://docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode); CPTAC: C3L or C3N and a number;
# CAMELYON17: patient_000_node_0; scans named by date and time, from which fields were cropped.
_KNOWN = (
    r"(?i)^TCGA-\w{2}-\w{4}",
    r"(?i)^C3[LN]-\d{5}",
    r"(?i)^patient_\d+",
    r"^\d{4}-\d{2}-\d{2}[ _T]\d{2}[.:-]\d{2}[.:-]\d{2}",
)
_SEPARATORS = "-_ ."
# Tiles cut from one slide: what comes before the word, or before the place in it, may be the only patient there is.
_TILES = (
    r"^.*?\d.*?(?=[-_ .,\[(]*(?:tile|crop|field|fov|patch|region|roi)s?[-_ .]*\d"
    r"|[-_ .,\[(]+x[-_=]?\d+[-_ .,]+y[-_=]?\d)"
)
# Tiles named by their place alone, such as case7_0_512; the numbers must be multiples of a step for it to be one.
_PLACES = r"^.*?\d.*?(?=[-_ .,\[(]+\d+[-_ .,x]+\d+[\])]?$)"
_PLACE = re.compile(r"(\d+)[-_ .,x]+(\d+)[\])]?$")
_LEAST_STEP = 16  # pixels between two tiles
# Prefixes whose number is not a patient's: years and dates, magnifications, parts of a data set.
_MAX_TABLE_BYTES = 64 << 20
_SEARCH_S = 2  # for a user's pattern in one name
_NOT_A_PATIENT = re.compile(
    r"(19|20)\d\d([-_.]?\d\d){0,2}|\d{1,3}x|(fold|batch|set|part|group|level|page|series|train|val|test)[-_. ]?\d+",
    re.IGNORECASE,
)
_MAX_NAMED = 20  # slides of a role that a message lists


def patient_parser(pattern: str) -> Callable[[str], str]:
    """Return a function from a slide's name to its patient.

    Parameters
    ----------
    pattern
        A regular expression whose first group, or whole match if it has no group, is the patient; or the path of a
        CSV file with the columns ``slide`` and ``patient``, separated by commas, semicolons or tabs.

    Raises
    ------
    ConfigError
        If the pattern or the table cannot be used; the returned function raises it if it finds no patient.
    """
    if pattern.lower().endswith(".csv"):
        return _from_table(Path(pattern))
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ConfigError(f"patient is {pattern!r}, which is not a regular expression: {error}.") from None

    def patient_of(name: str) -> str:
        try:
            match = compiled.search(name, timeout=_SEARCH_S)
        except TimeoutError:
            raise ConfigError(
                f"patient is {pattern!r}; the name {name} takes it longer than {_SEARCH_S} s. Make it simpler: a "
                "repetition within a repetition, such as (a+)+, tries every way to divide the name."
            ) from None
        patient: str | None = match and match.group(min(compiled.groups, 1))
        if not patient:
            raise ConfigError(
                f"patient is {pattern!r}; it matches nothing in the name {name}. Change the pattern, or give a table."
            )
        return patient

    return patient_of


def _from_table(path: Path) -> Callable[[str], str]:
    try:
        text = read_regular(path, _MAX_TABLE_BYTES).decode("utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)  # European versions of Excel write semicolons
        header, *lines = list(csv.reader(text.splitlines(), delimiter=separator)) or [[]]
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist. Check the path of the table of patients.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path} cannot be read as a table of patients ({what}). In Excel, save it as CSV UTF-8."
        ) from error
    columns = [name.strip().casefold() for name in header]
    rows = [dict(zip_longest(columns, line[: len(columns)])) for line in lines if line]
    if not rows or not {"slide", "patient"} <= set(columns):
        raise ConfigError(
            f"{path} needs a first line with the columns slide,patient and a line for each slide. Its first line has: "
            f"{', '.join(filter(None, columns)) or 'nothing'}."
        )
    table: dict[str, str] = {}
    for row in rows:
        name, patient = stem_of(row["slide"] or ""), (row["patient"] or "").strip()
        if table.setdefault(name, patient) != patient:
            raise ConfigError(f"{path} gives the slide {name} to both {table[name]} and {patient}. Delete one line.")

    def patient_of(name: str) -> str:
        if not table.get(name):
            raise ConfigError(f"{path} has no patient for the slide {name}. Add a line for it.")
        return table[name]

    return patient_of


def known_patient(name: str) -> str | None:
    """Return the patient in a slide's name if it follows a known naming scheme, else None.

    >>> known_patient("TCGA-A1-A0SK-01Z-00-DX1"), known_patient("patient_017_node_2"), known_patient("biopsy 3")
    ('TCGA-A1-A0SK', 'patient_017', None)
    """
    matches = (re.search(pattern, name) for pattern in _KNOWN)
    return next((match.group() for match in matches if match), None)


def suggest_pattern(names: Sequence[str]) -> str | None:
    r"""Return a pattern for :func:`patient_parser` that groups some of these slides, or None.

    Known naming schemes come first, then tiles of one slide.  Otherwise the patient is the part before a separator,
    if all names have that separator and the part contains a number that is not a date, magnification or part of a
    data set.

    Examples
    --------
    >>> suggest_pattern(["TCGA-A1-A0SK-01Z-00-DX1", "TCGA-A1-A0SK-01Z-00-DX2", "TCGA-A2-A0YL-01Z-00-DX1"])
    '(?i)^TCGA-\\w{2}-\\w{4}'
    >>> suggest_pattern(["P12_a", "P12_b", "P13_a"])
    '^[^_]+'
    >>> pattern = suggest_pattern(["case7_tile_1", "case7_tile_2"])
    >>> patient_parser(pattern)("case7_tile_2")
    'case7'
    >>> pattern = suggest_pattern(["case7_0_512", "case7_512_0", "case7_512_512"])
    >>> patient_parser(pattern)("case7_512_0")
    'case7'
    >>> suggest_pattern(["normal_001", "tumor_001"])
    """
    for pattern in _KNOWN:
        if _groups(pattern, names):
            return pattern
    if _groups(_TILES, names, fewest=1) and all(map(_may_be_patient, _groups(_TILES, names, fewest=1))):
        return _TILES
    if _are_places(names) and all(map(_may_be_patient, _groups(_PLACES, names, fewest=1) or {""})):
        return _PLACES
    for parts in (1, 2):
        for separator in _SEPARATORS:
            escaped = r"\." if separator == "." else separator
            pattern = "^" + escaped.join([f"[^{separator}]+"] * parts)
            groups = _groups(pattern, names)
            if groups and all(map(_may_be_patient, groups)) and all(name.count(separator) >= parts for name in names):
                return pattern
    return None


def ungrouped_patients(records: Iterable[SlideRecord]) -> dict[str, list[str]]:
    """Return the slides, by patient, whose names suggest that they share a patient although none was set for them."""
    records = list(records)
    pattern = suggest_pattern([record.id for record in records])
    return {} if pattern is None else _ungrouped(records, pattern)


def _ungrouped(records: Iterable[SlideRecord], pattern: str) -> dict[str, list[str]]:
    by_name: dict[str, list[SlideRecord]] = defaultdict(list)
    for record in records:
        match = re.search(pattern, record.id)
        assert match is not None  # the pattern matches every name
        by_name[match.group()].append(record)
    return {
        patient: [record.id for record in group]
        for patient, group in by_name.items()
        if len({record.patient for record in group}) > 1 and any(record.patient == record.id for record in group)
    }


def grouping_advice(project: "Project", remedy: str = "run pathseg split with --patient '{pattern}'") -> str:
    """Return a sentence that says how slides would be grouped by their names; "" if they need not be.

    `remedy` says what to do; ``{pattern}`` in it is the pattern that finds the patients.
    """
    pattern = suggest_pattern(list(project.slides))
    groups = {} if pattern is None else _ungrouped(project.slides.values(), pattern)
    if not groups:
        return ""
    patient, slides = next(iter(groups.items()))
    more = f" and {len(groups) - 1} other patients" if len(groups) > 1 else ""
    return (
        f"The names suggest that slides share patients: {', '.join(slides[:_MAX_NAMED])} would be {patient}{more}. If "
        f"that is right, {remedy.format(pattern=pattern)}, so that no patient is both learnt and scored."
    )


def _groups(pattern: str, names: Sequence[str], fewest: int = 2) -> set[str]:
    """Return the patients that a pattern finds, if they are `fewest` or more, all have names and some several."""
    matches = [match.group() for name in names if (match := re.search(pattern, name))]
    groups = set(matches)
    return groups if len(matches) == len(names) and fewest <= len(groups) < len(names) else set()


def _are_places(names: Sequence[str]) -> bool:
    """Return whether all names end with two numbers that are places of tiles: multiples of a step, and several."""
    found = [match for name in names if (match := _PLACE.search(name))]
    places = {(int(match[1]), int(match[2])) for match in found}
    return (
        len(found) == len(names)
        and len(places) > 1
        and math.gcd(*(n for place in places for n in place)) >= (_LEAST_STEP)
    )


def _may_be_patient(part: str) -> bool:
    return any(character.isdigit() for character in part) and not _NOT_A_PATIENT.fullmatch(part)


def set_patients_by_name(project: "Project", pattern: str) -> dict[str, str]:
    """Set the patients of all slides from their names or a table, and save; return the patient of each.

    Raises
    ------
    ConfigError
        As :func:`patient_parser` and its function do; nothing is changed then.
    ProjectError
        If a patient would be in two roles; nothing is changed then.
    """
    patient_parser(pattern)  # wrong ones need no lock
    with project.write_lock():
        patients = patients_by_name(project, pattern)
        project.slides = project.slides | _with_patients(project, patients)
        project.save()
    return patients


def patients_by_name(project: "Project", pattern: str) -> dict[str, str]:
    """Return the patient of each slide as :func:`set_patients_by_name` would set it, and raise what it would raise."""
    patient_of = patient_parser(pattern)
    patients = {name: patient_of(name) for name in project.slides}
    check_leaks(_with_patients(project, patients).values())
    return patients


def count_patients(records: Iterable[SlideRecord]) -> int | None:
    """Return how many patients slides are of; None if that of one is unknown, as its patient is its own name."""
    records = list(records)
    if any(record.patient == record.id for record in records):
        return None
    return len({record.patient for record in records})


def _with_patients(project: "Project", patients: Mapping[str, str]) -> dict[str, SlideRecord]:
    return {name: replace(record, patient=patients[name]) for name, record in project.slides.items()}


def find_leaks(records: Iterable[SlideRecord]) -> dict[str, dict[str, list[str]]]:
    """Return the patients with slides in two or more roles, and these slides by role; "auto" does not count."""
    by_patient: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.role != roles.AUTO:
            by_patient[record.patient][record.role].append(record.id)
    return {patient: dict(by_role) for patient, by_role in by_patient.items() if len(by_role) > 1}


def check_leaks(records: Iterable[SlideRecord], patients: Iterable[str] | None = None) -> None:
    """Raise if one of these patients has slides in two roles; None checks all patients.

    Raises
    ------
    ProjectError
        Naming the patient and the slides of each role.
    """
    leaks = find_leaks(records)
    for patient in leaks if patients is None else [name for name in patients if name in leaks]:
        by_role = ", ".join(_describe_role(names, role) for role, names in leaks[patient].items())
        raise ProjectError(
            f'Patient "{patient}" would be in two roles: {by_role}. Give all slides of a patient one role, or give '
            "each slide its own patient."
        )


def _describe_role(names: Sequence[str], role: str) -> str:
    shown = list(names[:_MAX_NAMED])
    if len(names) > _MAX_NAMED:
        shown.append(f"{len(names) - _MAX_NAMED} more")
    listed = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return f"{listed} {'is' if len(shown) == 1 else 'are'} {role}"
