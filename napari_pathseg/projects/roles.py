"""Assign slides to training, validation and test by patient; no patient is ever in two roles.

Pure functions of plain values; the project stores the result, so that all models are scored on the same held-out
slides.  The order of the slides does not matter: ties are broken by a hash of the patient names.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from napari_pathseg.errors import ConfigError

AUTO, TRAIN, VAL, TEST = ROLES = ("auto", "train", "val", "test")
Role = Annotated[str, Meta(pattern=f"^({'|'.join(ROLES)})$")]
SHARES: Mapping[str, float] = {TRAIN: 0.7, VAL: 0.15, TEST: 0.15}
_DEFAULT_SHARES = {TRAIN: 0.8, VAL: 0.2}

Patients = Mapping[str, frozenset[int]]  # patient to labelled classes


@dataclass(frozen=True)
class Candidate:
    """A slide to be assigned: its patient, current role and labelled classes."""

    slide: str
    patient: str
    role: str
    classes: frozenset[int]


def assign_roles(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return a role for each labelled slide that has none yet; existing roles stay.

    All slides of a patient share a role.  About a fifth of the patients go to validation, overall and for each class,
    and at least one if there are two or more; every class stays in training.  Test slides are not counted, and no
    slide becomes one.
    """
    # If a patient is already in two roles, new slides do not go to training.
    existing = {c.patient: c.role for c in sorted(candidates, key=lambda c: ROLES.index(c.role)) if c.role != AUTO}
    roles = {c.slide: existing[c.patient] for c in candidates if c.role == AUTO and c.patient in existing}
    labelled = [c for c in candidates if c.classes and c.patient not in existing]
    fixed = {
        role: _classes_by_patient([c for c in candidates if existing.get(c.patient) == role])
        for role in _DEFAULT_SHARES
    }
    assigned = _StratifiedGroupSplit(_DEFAULT_SHARES, fixed, _classes_by_patient(labelled), "").assign()
    return roles | {c.slide: assigned[c.patient] for c in labelled}


def split_dataset(
    candidates: Sequence[Candidate], shares: Mapping[str, float] = SHARES, seed: int = 0
) -> dict[str, str]:
    """Split all slides, labelled or not, regardless of their present roles; return the role of each.

    All slides of a patient share a role.  Every class is in train, and also in val, then test, if train can spare a
    patient who has it.  Overall and for each class, the roles get their shares as far as whole patients allow.  An
    existing model has been trained on the slides that leave train, so its scores on them are meaningless.

    Parameters
    ----------
    candidates
        The slides.
    shares
        The shares of the patients for "train", "val" and "test", in any unit; a missing role gets no patients.
    seed
        Seed of the tie-breaking hash; the same seed gives the same split.

    Raises
    ------
    ConfigError
        If a share has an unknown role, is negative or not finite, or the share of train is 0.
    """
    for role, share in shares.items():
        if role not in (TRAIN, VAL, TEST) or not (math.isfinite(share) and share >= 0):
            raise ConfigError(
                f"shares has {role}: {share:g}; the roles are {TRAIN}, {VAL} and {TEST}, and a share is 0 or more."
            )
    if not shares.get(TRAIN):
        raise ConfigError("shares has train: 0; without training slides no model can be trained. Give train a share.")
    positive = {role: shares[role] for role in (TRAIN, VAL, TEST) if shares.get(role)}
    assigned = _StratifiedGroupSplit(positive, {}, _classes_by_patient(candidates), f"{seed}:").assign()
    return {c.slide: assigned[c.patient] for c in candidates}


class _StratifiedGroupSplit:
    """Greedy stratified split of patients into roles."""

    def __init__(self, shares: Mapping[str, float], fixed: Mapping[str, Patients], new: Patients, salt: str) -> None:
        """Split into `shares` by role, train first; `fixed` patients keep their role and are only counted."""
        self.roles: dict[str, str] = {}
        self._shares, self._new, self._salt = shares, new, salt
        # Number of patients who have a class; the key None counts all patients.
        self._counts = {role: _count(fixed.get(role, {})) for role in shares}
        self._remaining = _count(new)
        self._quotas = {key: self._quota(key) for key in {None, *self._remaining}}

    def assign(self) -> dict[str, str]:
        """Return a role for each new patient, assigning those with the rarest class first.

        Notes
        -----
        Greedy iterative stratification [1]_ of patients instead of samples; afterwards patients are moved to roles
        that lack a class.

        References
        ----------
        .. [1] Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data,
           ECML PKDD 2011, LNCS 6913, 145-158.
        """
        unassigned = sorted(self._new, key=lambda name: (-len(self._new[name]), self._hash(name)))
        while unassigned:
            rarest = min(
                (key for key in self._remaining if key is not None and self._remaining[key]),
                key=self._rarity,
                default=None,
            )
            patient = next(name for name in unassigned if rarest is None or rarest in self._new[name])
            unassigned.remove(patient)
            self._remaining.subtract(_keys(self._new[patient]))
            role = max(self._shares, key=lambda role: (self._shortfall(role, rarest), self._shortfall(role, None)))
            self._assign(patient, role)
        self._complete_training()
        for role in self._shares:
            if role != TRAIN:
                self._complete(role)
        return self.roles

    def _quota(self, key: int | None) -> dict[str, int]:
        """Return the number of patients with a class that each role should have.

        Each role gets at least one if there are enough patients, the first roles first.
        """
        total = self._remaining[key] + sum(counts[key] for counts in self._counts.values())
        exact = {role: total * share / sum(self._shares.values()) for role, share in self._shares.items()}
        quota = {role: math.floor(number) for role, number in exact.items()}
        by_remainder = sorted(exact, key=lambda role: quota[role] - exact[role])
        for role in by_remainder[: total - sum(quota.values())]:
            quota[role] += 1
        for role in list(self._shares)[:total]:
            if not quota[role]:
                quota[max(quota, key=lambda other: quota[other])] -= 1
                quota[role] = 1
        return quota

    def _rarity(self, key: int) -> tuple[int, int]:
        return self._remaining[key], key

    def _shortfall(self, role: str, key: int | None) -> int:
        return self._quotas[key][role] - self._counts[role][key]

    def _assign(self, patient: str, role: str) -> None:
        """Assign a patient to a role, replacing any earlier one."""
        keys = _keys(self._new[patient])
        if patient in self.roles:
            self._counts[self.roles[patient]].subtract(keys)
        self._counts[role].update(keys)
        self.roles[patient] = role

    def _complete_training(self) -> None:
        """Move patients to train until it has every class of the new patients."""
        classes = frozenset[int]().union(*self._new.values())
        while missing := {key for key in classes if not self._counts[TRAIN][key]}:
            self._assign(max(self._new, key=lambda name: (len(self._new[name] & missing), self._hash(name))), TRAIN)

    def _complete(self, role: str) -> None:
        """Move patients from train to a role until it has every class that train can spare."""
        while movable := [name for name, current in self.roles.items() if current == TRAIN and self._helps(role, name)]:
            self._assign(min(movable, key=self._hash), role)

    def _helps(self, role: str, patient: str) -> bool:
        """Return whether a training patient has a class that a role lacks, and no class that train would lose."""
        classes = self._new[patient]
        lacking = any(not self._counts[role][key] for key in classes)
        return lacking and all(self._counts[TRAIN][key] > 1 for key in classes)

    def _hash(self, name: str) -> str:
        return hashlib.sha256(f"{self._salt}{name}".encode()).hexdigest()


def _keys(classes: frozenset[int]) -> list[int | None]:
    return [None, *classes]


def _count(patients: Patients) -> Counter[int | None]:
    return Counter(key for classes in patients.values() for key in _keys(classes))


def _classes_by_patient(candidates: Collection[Candidate]) -> dict[str, frozenset[int]]:
    classes: dict[str, frozenset[int]] = {}
    for candidate in candidates:
        classes[candidate.patient] = classes.get(candidate.patient, frozenset()) | candidate.classes
    return classes
