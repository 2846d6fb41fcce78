"""Train, validation and test split of a project's slides, by patient."""

from collections.abc import Mapping
from dataclasses import replace

from napari_pathseg.errors import ConfigError
from napari_pathseg.projects import roles
from napari_pathseg.projects.patients import check_leaks
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import role_candidates

_TOLERANCE = 0.005  # relative, of the sum of the shares


def proposed_roles(project: Project) -> dict[str, str]:
    """Return roles for labelled slides that have none yet; see `roles.assign_roles`."""
    return roles.assign_roles(_candidates(project))


def assign_missing_roles(project: Project) -> None:
    """Assign the :func:`proposed_roles` permanently."""
    decided = proposed_roles(project)
    if decided:
        _set_roles(project, decided)


def split_project(project: Project, shares: Mapping[str, float] = roles.SHARES, seed: int = 0) -> dict[str, str]:
    """Split all slides again, see `roles.split_dataset`; return the role of each slide."""
    divided = roles.split_dataset(_candidates(project), shares, seed)
    _set_roles(project, divided)
    return divided


def read_shares(given: Mapping[str, float | None]) -> dict[str, float]:
    """Return the share of each role, from fractions that add up to 1 or percents that add up to 100.

    A role without a fraction gets its default share, or none if the others add up to the whole.

    >>> read_shares({"train": 80, "val": 20, "test": None})
    {'train': 80, 'val': 20, 'test': 0.0}

    Raises
    ------
    ConfigError
        If they add up to anything else.
    """
    given_shares = {role: share for role, share in given.items() if share is not None}
    total = sum(given_shares.values())
    whole = 1.0 if total <= 1 + _TOLERANCE else 100.0
    left_over = 0.0 if abs(total - whole) <= _TOLERANCE * whole else whole
    shares = {role: given_shares.get(role, left_over * roles.SHARES[role]) for role in given}
    total = sum(shares.values())
    if not abs(total - whole) <= _TOLERANCE * whole:  # also if one is NaN
        listed = ", ".join(f"{role} {share:g}" for role, share in shares.items())
        raise ConfigError(
            f"The shares add up to {total:g} ({listed}); fractions have to add up to 1, percents to 100. Change one "
            "of them, and name all three."
        )
    return shares


def set_role(project: Project, slide_id: str, role: str) -> list[str]:
    """Set the role of a slide and of its patient's other slides; return these slides.

    Raises
    ------
    ProjectError
        If there is no such slide.
    """
    patient = project.slide(slide_id).patient
    slides = [record.id for record in project.slides.values() if record.patient == patient]
    _set_roles(project, dict.fromkeys(slides, role))
    return slides


def _set_roles(project: Project, given: Mapping[str, str]) -> None:
    with project.write_lock():
        changed = {name: replace(project.slide(name), role=role) for name, role in given.items()}
        check_leaks({**project.slides, **changed}.values(), {record.patient for record in changed.values()})
        project.slides.update(changed)
        project.save()


def _candidates(project: Project) -> list[roles.Candidate]:
    return role_candidates(project.slides.values(), {name: project.counts(name) for name in project.slides})
