"""How sure a mean is: intervals from patients, never from slides, tiles or pixels.  No torch.

The slides of a patient resemble each other, and the pixels of a slide even more: counted one by one they would make a
mean look surer than it is.  So each patient gives one value.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Intervals of fewer clusters cover less than they claim (Cameron, Gelbach & Miller, 2008).
FEWEST_PATIENTS = 8
_UPPER = 0.975  # quantile of a 95 % interval
_EQUAL, _SYMMETRIC = 1e-12, 1e-6  # spread and skewness that are none but for rounding
NO_INTERVAL = (
    f"fewer than {FEWEST_PATIENTS} patients are too few for a 95 % interval, so the range of the patients is given"
)


@dataclass(frozen=True)
class PatientMean:
    """The mean of one value for each patient.

    Attributes
    ----------
    mean
        The mean over the patients.
    low, high
        The 95 % interval of the mean; with too few patients, the least and the largest value.
    patients
        How many there are, 1 or more.
    """

    mean: float
    low: float
    high: float
    patients: int

    @property
    def has_interval(self) -> bool:
        """Whether there are enough patients for an interval."""
        return self.patients >= FEWEST_PATIENTS

    def to_json(self) -> dict[str, Any]:
        """Return its JSON values; with too few patients there is a `range`, but no `interval`."""
        bounds = [self.low, self.high]
        return {
            "mean": self.mean,
            "interval": bounds if self.has_interval else None,
            "range": None if self.has_interval else bounds,
            "patients": self.patients,
        }


def patient_mean(
    values: Iterable[float | None], limits: tuple[float, float] = (-math.inf, math.inf)
) -> PatientMean | None:
    """Return the mean of patients' values with a 95 % interval: Student's, corrected for skewness [1]_.

    Parameters
    ----------
    values
        One for each patient; None for a patient without one, who does not count.
    limits
        The least and the largest value that there can be; the interval ends there.

    Returns
    -------
    found
        None if no patient has a value.

    Notes
    -----
    Most scores are skewed: many patients near 1, few far below.  In simulations Student's interval alone covers less
    than it claims, and the BCa bootstrap of few patients even less; see `benchmarks/coverage_of_intervals.py`.

    References
    ----------
    .. [1] Hall, On the removal of skewness by transformation, J R Stat Soc B 54:221, 1992.

    Examples
    --------
    >>> patient_mean([0.5, None, 0.75], (0, 1))
    PatientMean(mean=0.625, low=0.5, high=0.75, patients=2)
    """
    known = np.array([value for value in values if value is not None], np.float64)
    if not known.size:
        return None
    mean, number = float(known.mean()), len(known)
    if number < FEWEST_PATIENTS:
        return PatientMean(mean, float(known.min()), float(known.max()), number)
    below, above = _half_widths(known)
    return PatientMean(mean, max(limits[0], mean - below), min(limits[1], mean + above), number)


def _half_widths(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return how far the interval of a mean reaches below and above it."""
    from scipy.special import stdtrit  # 0.2 s, which a list of models does not need

    number, spread = len(values), float(values.std(ddof=1))
    if spread <= _EQUAL * max(1.0, float(np.abs(values).max())):
        return 0.0, 0.0
    quantile = float(stdtrit(number - 1, _UPPER)) / math.sqrt(number)
    skewness = float((((values - values.mean()) / values.std()) ** 3).mean())
    if abs(skewness) < _SYMMETRIC:
        return spread * quantile, spread * quantile
    below, above = (
        3 / skewness * (np.cbrt(1 + skewness * (bound - skewness / (6 * number))) - 1)
        for bound in (quantile, -quantile)
    )
    return spread * float(below), -spread * float(above)


def slides_by_patient(patients: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the slides of each patient; a slide whose patient is unknown counts as a patient."""
    found = dict[str, list[str]]()
    for slide, patient in patients.items():
        found.setdefault(patient, []).append(slide)
    return found


def patient_notes(patients: int, unknown: Sequence[str]) -> list[str]:
    """Return sentences on what limits the intervals: too few patients, and slides of unknown patients."""
    notes = []
    if patients < FEWEST_PATIENTS:
        notes.append(f"{patients} {'patient is' if patients == 1 else 'patients are'} scored; {NO_INTERVAL}.")
    if unknown:
        count = "1 slide is" if len(unknown) == 1 else f"{len(unknown)} slides are"
        notes.append(f"{count} of unknown patients, and each counts as a patient of its own.")
    return notes
