"""How well predicted areas agree with labelled ones: bias and limits of agreement.

One pair of areas for each patient, so that a patient with many slides does not count more.  No torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.engine.evaluation.intervals import patient_mean

_NORMAL = 1.959964  # quantile 0.975 of the standard normal distribution


@dataclass(frozen=True)
class AreaPair:
    """The labelled and the predicted area of a class of a patient, of labelled pixels only."""

    patient: str
    truth: float
    found: float

    @property
    def difference(self) -> float:
        """How much more was predicted."""
        return self.found - self.truth

    @property
    def percent(self) -> float | None:
        """The difference in percent of the mean of both; None if both are 0."""
        total = self.truth + self.found
        return 200 * self.difference / total if total else None


def agreement(pairs: Sequence[AreaPair]) -> dict[str, Any]:
    """Return bias and limits of agreement as JSON values.

    Returns
    -------
    found
        ``bias``, the mean difference with its interval, and ``limits``, between which 95 % of the differences are
        expected, None with one patient; ``bias_percent`` and ``limits_percent`` the same in percent of the mean of
        both areas; ``patients``: the areas of each.

    References
    ----------
    .. [1] Bland and Altman, Statistical methods for assessing agreement between two methods of clinical measurement,
       Lancet 327:307, 1986.
    """
    differences = np.array([pair.difference for pair in pairs])
    percents = [pair.percent for pair in pairs]
    bias, relative = patient_mean(differences.tolist()), patient_mean(percents)
    return {
        "bias": bias.to_json() if bias else None,
        "limits": _limits(differences),
        "bias_percent": relative.to_json() if relative else None,
        "limits_percent": _limits(np.array([each for each in percents if each is not None])),
        "patients": [{"patient": pair.patient, "truth": pair.truth, "found": pair.found} for pair in pairs],
    }


def _limits(differences: npt.NDArray[np.float64]) -> list[float] | None:
    if len(differences) < 2:
        return None
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    low, high = mean - _NORMAL * spread, mean + _NORMAL * spread
    return [low, high] if math.isfinite(low) else None
