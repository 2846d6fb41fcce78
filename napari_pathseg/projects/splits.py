"""The slides of a project, divided by patient into those that teach, validate and test."""

from collections.abc import Mapping
from dataclasses import replace

from napari_pathseg.errors import ConfigError
from napari_pathseg.projects import roles
from napari_pathseg.projects.patients import check_leaks
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes

_NEARLY = 0.005  # of the whole, by which shares may miss it


def proposed_roles(project: Project) -> dict[str, str]:
    """Return the roles, by patient, of slides that have labels and no role yet; see `roles.assign_roles`."""
    return roles.assign_roles([_candidate(project, entry) for entry in project.slides.values()])


def assign_missing_roles(project: Project) -> None:
    """Give slides their :func:`proposed_roles` for good."""
    decided = proposed_roles(project)
    if decided:
        _give(project, decided)


def split_project(project: Project, shares: Mapping[str, float] = roles.SHARES, seed: int = 0) -> dict[str, str]:
    """Divide all slides anew, see `roles.split_dataset`; return the role of each slide."""
    divided = roles.split_dataset([_candidate(project, entry) for entry in project.slides.values()], shares, seed)
    _give(project, divided)
    return divided


def read_shares(given: Mapping[str, float | None]) -> dict[str, float]:
    """Return the share of each role, from fractions that add up to 1 or percents that add up to 100.

    Roles that are None have their usual share, or none where the others make up the whole.

    >>> read_shares({"train": 80, "val": 20, "test": None})
    {'train': 80, 'val': 20, 'test': 0.0}

    Raises
    ------
    ConfigError
        If they add up to anything else.
    """
    told = {role: share for role, share in given.items() if share is not None}
    total = sum(told.values())
    whole = 1.0 if total <= 1 + _NEARLY else 100.0
    left_over = 0.0 if abs(total - whole) <= _NEARLY * whole else whole
    shares = {role: told.get(role, left_over * roles.SHARES[role]) for role in given}
    total = sum(shares.values())
    if not abs(total - whole) <= _NEARLY * whole:  # also where one is no number
        listed = ", ".join(f"{role} {share:g}" for role, share in shares.items())
        raise ConfigError(
            f"The shares add up to {total:g} ({listed}); fractions have to add up to 1, percents to 100. Change one "
            "of them, and name all three."
        )
    return shares


def set_role(project: Project, slide_id: str, role: str) -> list[str]:
    """Give a slide, and so its patient's other slides, a role; return the slides.

    Raises
    ------
    ProjectError
        If there is no such slide.
    """
    patient = project.slide(slide_id).patient
    slides = [entry.id for entry in project.slides.values() if entry.patient == patient]
    _give(project, dict.fromkeys(slides, role))
    return slides


def _give(project: Project, given: Mapping[str, str]) -> None:
    with project.write_lock():
        changed = {name: replace(project.slide(name), role=role) for name, role in given.items()}
        check_leaks({**project.slides, **changed}.values(), {entry.patient for entry in changed.values()})
        project.slides.update(changed)
        project.save()


def _candidate(project: Project, entry: SlideRecord) -> roles.Candidate:
    classes = labelled_classes(entry, project.counts(entry.id))
    return roles.Candidate(entry.id, entry.patient, entry.role, frozenset(classes))
