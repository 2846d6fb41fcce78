"""Which slides train, which are held out: by patient, never one patient on both sides.

Pure decisions on plain values; the project keeps what is decided, so that all models are
scored on the same held-out slides.  Nothing follows the order of the slides: where patients
are alike, a hash of their names decides.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from napari_pathseg.errors import ConfigError

AUTO, TRAIN, VAL, TEST = ROLES = ("auto", "train", "val", "test")
SHARES: Mapping[str, float] = {TRAIN: 0.7, VAL: 0.15, TEST: 0.15}
_SETTLED_SHARES = {TRAIN: 0.8, VAL: 0.2}

Patients = Mapping[str, frozenset[int]]  # the labelled classes of each


@dataclass(frozen=True)
class Candidate:
    """What the split needs to know of a slide: its patient, its role, its labelled classes."""

    slide: str
    patient: str
    role: str
    classes: frozenset[int]


def assign_roles(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return a role for each slide that has labels and none yet; roles that are given stay.

    A patient's slides share a role.  About a fifth of the patients validate, of each class
    as of all, at least one of two; no class is taken from training altogether.  Test slides
    are not counted, and none becomes one.
    """
    # A patient who is in two roles already stays out of training with what is new.
    settled = {c.patient: c.role for c in sorted(candidates, key=lambda c: ROLES.index(c.role)) if c.role != AUTO}
    roles = {c.slide: settled[c.patient] for c in candidates if c.role == AUTO and c.patient in settled}
    labelled = [c for c in candidates if c.classes and c.patient not in settled]
    there = {
        role: _classes_by_patient([c for c in candidates if settled.get(c.patient) == role]) for role in _SETTLED_SHARES
    }
    given = _StratifiedGroupSplit(_SETTLED_SHARES, there, _classes_by_patient(labelled), "").divide()
    return roles | {c.slide: given[c.patient] for c in labelled}


def split_dataset(
    candidates: Sequence[Candidate], shares: Mapping[str, float] = SHARES, seed: int = 0
) -> dict[str, str]:
    """Divide all slides anew, labelled or not, whatever roles they have; return the role of each.

    A patient's slides share a role.  Every class is in train, and in val, then test, where
    train can spare a patient who shows it; of each class as of all, the roles get their
    shares as far as whole patients allow.  A model that was trained before has seen what
    leaves train: its scores on it are worth nothing.

    Parameters
    ----------
    candidates
        The slides.
    shares
        How much of the patients "train", "val" and "test" get, in any unit; a role that is
        left out gets none.
    seed
        Another number gives another division, the same one the same.

    Raises
    ------
    ConfigError
        If a share is of no role, negative or not finite, or train's is not above 0.
    """
    for role, share in shares.items():
        if role not in (TRAIN, VAL, TEST) or not (math.isfinite(share) and share >= 0):
            raise ConfigError(
                f"shares has {role}: {share:g}; the roles are {TRAIN}, {VAL} and {TEST}, and a share is 0 or more."
            )
    if not shares.get(TRAIN):
        raise ConfigError("shares has train: 0; without training slides nothing is learnt. Give train a share.")
    positive = {role: shares[role] for role in (TRAIN, VAL, TEST) if shares.get(role)}
    given = _StratifiedGroupSplit(positive, {}, _classes_by_patient(candidates), f"{seed}:").divide()
    return {c.slide: given[c.patient] for c in candidates}


class _StratifiedGroupSplit:
    """Patients on their way into roles."""

    def __init__(self, shares: Mapping[str, float], settled: Mapping[str, Patients], new: Patients, salt: str) -> None:
        """Take `shares` by role, train first; `settled` patients, by role, only count."""
        self.roles: dict[str, str] = {}
        self._shares, self._new, self._salt = shares, new, salt
        # How many patients show a class; None stands for all patients.
        self._counts = {role: _count(settled.get(role, {})) for role in shares}
        self._left = _count(new)
        self._quotas = {key: self._quota(key) for key in {None, *self._left}}

    def divide(self) -> dict[str, str]:
        """Return a role for each new patient, given to those of the rarest class first.

        Notes
        -----
        The greedy iterative stratification of Sechidis et al. [1]_, of patients instead of
        samples; then patients are moved where a class is missing.

        References
        ----------
        .. [1] Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data,
           ECML PKDD 2011, LNCS 6913, 145-158.
        """
        waiting = sorted(self._new, key=lambda name: (-len(self._new[name]), self._hash(name)))
        while waiting:
            rarest = min(
                (key for key in self._left if key is not None and self._left[key]), key=self._rarity, default=None
            )
            patient = next(name for name in waiting if rarest is None or rarest in self._new[name])
            waiting.remove(patient)
            self._left.subtract(_keys(self._new[patient]))
            self._give(patient, max(self._shares, key=lambda role: (self._lack(role, rarest), self._lack(role, None))))
        self._complete_training()
        for role in self._shares:
            if role != TRAIN:
                self._complete(role)
        return self.roles

    def _quota(self, key: int | None) -> dict[str, int]:
        """Return how many of the patients that show a class each role should have.

        Each gets at least one where there are enough, the first roles first.
        """
        total = self._left[key] + sum(counts[key] for counts in self._counts.values())
        exact = {role: total * share / sum(self._shares.values()) for role, share in self._shares.items()}
        quota = {role: math.floor(number) for role, number in exact.items()}
        by_rest = sorted(exact, key=lambda role: quota[role] - exact[role])
        for role in by_rest[: total - sum(quota.values())]:
            quota[role] += 1
        for role in list(self._shares)[:total]:
            if not quota[role]:
                quota[max(quota, key=lambda other: quota[other])] -= 1
                quota[role] = 1
        return quota

    def _rarity(self, key: int) -> tuple[int, int]:
        return self._left[key], key

    def _lack(self, role: str, key: int | None) -> int:
        return self._quotas[key][role] - self._counts[role][key]

    def _give(self, patient: str, role: str) -> None:
        """Give a patient a role, instead of another they may have."""
        keys = _keys(self._new[patient])
        if patient in self.roles:
            self._counts[self.roles[patient]].subtract(keys)
        self._counts[role].update(keys)
        self.roles[patient] = role

    def _complete_training(self) -> None:
        """Move patients to train until every class that a new one shows is there."""
        classes = frozenset[int]().union(*self._new.values())
        while missing := {key for key in classes if not self._counts[TRAIN][key]}:
            self._give(max(self._new, key=lambda name: (len(self._new[name] & missing), self._hash(name))), TRAIN)

    def _complete(self, role: str) -> None:
        """Move patients from train to a role until it shows every class that train can spare."""
        while movable := [name for name, given in self.roles.items() if given == TRAIN and self._helps(role, name)]:
            self._give(min(movable, key=self._hash), role)

    def _helps(self, role: str, patient: str) -> bool:
        """Whether a training patient shows what a role lacks and no class that only they teach."""
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
