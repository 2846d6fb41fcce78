"""Split a project's slides into train, validation and test, by patient."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from napari_pathseg.errors import ConfigError
from napari_pathseg.projects import roles
from napari_pathseg.projects.patients import check_leaks, patient_parser
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import role_candidates

_TOLERANCE = 0.005  # relative, of the sum of the shares


def proposed_roles(project: Project) -> dict[str, str]:
    """Return roles for labelled slides that have none yet; see `roles.assign_roles`."""
    return roles.assign_roles(_candidates(project))


def assign_missing_roles(project: Project) -> None:
    """Assign the :func:`proposed_roles` permanently."""
    proposed = proposed_roles(project)
    if proposed:
        _set_roles(project, proposed)


def split_project(
    project: Project, shares: Mapping[str, float] = roles.SHARES, seed: int = 0, patient: str | None = None
) -> dict[str, str]:
    """Split all slides again, see `roles.split_dataset`; return the role of each slide.

    With `patient`, see `patients.patient_parser`, the patients are set from the names of the slides first.
    """
    with project.write_lock():
        records = dict(project.slides)
        if patient is not None:
            patient_of = patient_parser(patient)
            records = {name: replace(record, patient=patient_of(name)) for name, record in records.items()}
        counts = {name: project.counts(name) for name in records}
        divided = roles.split_dataset(role_candidates(records.values(), counts), shares, seed)
        split = {name: replace(record, role=divided.get(name, record.role)) for name, record in records.items()}
        check_leaks(split.values())
        project.slides = project.slides | split
        project.save()
    return divided


def read_shares(given: Mapping[str, float | None]) -> dict[str, float]:
    """Return the share of each role, from fractions that add up to 1 or percentages that add up to 100.

    A role without a number gets its default share, or 0 if the others add up to the whole.

    >>> read_shares({"train": 80, "val": 20, "test": None})
    {'train': 80, 'val': 20, 'test': 0.0}

    Raises
    ------
    ConfigError
        If the shares add up to anything else.
    """
    given_shares = {role: share for role, share in given.items() if share is not None}
    total = sum(given_shares.values())
    whole = 1.0 if total <= 1 + _TOLERANCE else 100.0
    default_scale = 0.0 if abs(total - whole) <= _TOLERANCE * whole else whole
    shares = {role: given_shares.get(role, default_scale * roles.SHARES[role]) for role in given}
    total = sum(shares.values())
    if not abs(total - whole) <= _TOLERANCE * whole:  # also if one is NaN
        listed = ", ".join(f"{role} {share:g}" for role, share in shares.items())
        raise ConfigError(
            f"The shares add up to {total:g} ({listed}); fractions must add up to 1, percentages to 100. "
            "Change them, and name all three."
        )
    return shares


def learn_from(project: Project, slide_id: str, learnt: Collection[str] = ()) -> list[str]:
    """Give the slides of a held-out slide's patient the role train, and hold out another patient's instead.

    Another patient is one without whom every class can still be learnt; preferably one of whom no model has `learnt`
    a slide, and then one with most of the classes of the slide that is given up.

    Returns
    -------
    held_out
        The labelled slides that are held out instead; empty if no patient can be spared.
    """
    assigned = proposed_roles(project)
    slides = [replace(each, role=assigned.get(each.slide, each.role)) for each in _candidates(project)]
    patient = project.slide(slide_id).patient
    wanted = _classes(each for each in slides if each.patient == patient)
    learning = [each for each in slides if each.role == roles.TRAIN or each.patient == patient]
    spare = []
    for other in {each.patient for each in learning if each.classes} - {patient}:
        own = [each for each in learning if each.patient == other]
        if _classes(learning) == _classes(each for each in learning if each.patient != other):
            known = any(each.slide in learnt for each in own)
            spare.append((known, -len(_classes(own) & wanted), other))
    new_roles = {each.slide: roles.TRAIN for each in slides if each.patient == patient}
    held_out = [each for each in slides if spare and each.patient == min(spare)[2]]
    _set_roles(project, new_roles | {each.slide: roles.VAL for each in held_out})
    return [each.slide for each in held_out if each.classes]


def _classes(candidates: Iterable[roles.Candidate]) -> frozenset[int]:
    return frozenset[int]().union(*(each.classes for each in candidates))


def _set_roles(project: Project, new_roles: Mapping[str, str]) -> None:
    with project.write_lock():
        changed = {name: replace(project.slide(name), role=role) for name, role in new_roles.items()}
        check_leaks({**project.slides, **changed}.values(), {record.patient for record in changed.values()})
        project.slides = project.slides | changed
        project.save()


def _candidates(project: Project) -> list[roles.Candidate]:
    return role_candidates(project.slides.values(), {name: project.counts(name) for name in project.slides})
