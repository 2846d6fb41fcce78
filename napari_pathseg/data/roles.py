"""Which slides train, which are held out: by patient, never one patient on both sides.

Pure decisions on plain values; the project keeps what is decided, so that all models are
scored on the same held-out slides.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

AUTO, TRAIN, VAL, TEST = ROLES = ("auto", "train", "val", "test")
_HELD_OUT = 0.2  # share of the patients that validate


@dataclass(frozen=True)
class Candidate:
    """What the split needs to know of a slide: its patient, its role, its labelled classes."""

    slide: str
    patient: str
    role: str
    classes: frozenset[int]


def settle(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return a role for each slide that has labels and none yet.

    A patient's slides share a role.  About a fifth of the patients validate, at least one of
    two, chosen by a hash of the patient's name so that the choice does not follow the order
    of the files; patients that show every class come first, and no class is taken from
    training altogether.
    """
    settled = {c.patient: c.role for c in candidates if c.role != AUTO}
    roles = {c.slide: settled[c.patient] for c in candidates if c.role == AUTO and c.patient in settled}
    labelled = [c for c in candidates if c.classes and c.patient not in settled]
    patients = _classes_by_patient(labelled)
    training = _classes_by_patient([c for c in candidates if settled.get(c.patient) == TRAIN and c.classes])
    validating = {patient for patient, role in settled.items() if role == VAL}
    wanted = max(1, round(_HELD_OUT * (len(patients) + len(training) + len(validating)))) - len(validating)
    held_out = _held_out(patients, training, wanted)
    roles.update((c.slide, VAL if c.patient in held_out else TRAIN) for c in labelled)
    return {slide: role for slide, role in roles.items() if role != AUTO}


def _classes_by_patient(candidates: Collection[Candidate]) -> dict[str, frozenset[int]]:
    classes: dict[str, frozenset[int]] = {}
    for candidate in candidates:
        classes[candidate.patient] = classes.get(candidate.patient, frozenset()) | candidate.classes
    return classes


def _held_out(patients: Mapping[str, frozenset[int]], training: Mapping[str, frozenset[int]], wanted: int) -> set[str]:
    """Return at most `wanted` of the new patients, leaving every class to some other one."""
    everything = frozenset[int]().union(*patients.values(), *training.values())
    chosen: set[str] = set()
    for patient in sorted(patients, key=lambda name: (-len(patients[name]), _hash(name))):
        left = [classes for name, classes in patients.items() if name not in chosen | {patient}]
        if len(chosen) < wanted and frozenset[int]().union(*left, *training.values()) == everything:
            chosen.add(patient)
    return chosen


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
