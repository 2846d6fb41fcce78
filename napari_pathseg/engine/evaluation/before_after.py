"""Before and after: a model and the one before it, paired slide by slide on identical held-out labels.  No torch.

The slides of a patient resemble each other, so the interval of the mean difference comes from resampling patients, not
slides.  Of few patients it would be far too narrow; then the range of the slides' differences is given instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.evaluation.intervals import FEWEST_PATIENTS
from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.projects.model_versions import make_current
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.removed_slides import removed_slides

NOISE = 0.02  # of the mean Dice, with fewer patients: trainings that differ only in their seed lie as far apart
RESAMPLES = 4000
_QUANTILES = 0.025, 0.975


@dataclass(frozen=True)
class SlidePair:
    """A held-out slide, its patient, and the mean Dice of the model before and of the new one on it."""

    slide: str
    patient: str
    before: float
    after: float

    @property
    def difference(self) -> float:
        """How much better the new model is."""
        return self.after - self.before


@dataclass(frozen=True)
class BeforeAfter:
    """A new model compared with the one before it.

    Attributes
    ----------
    model, base
        The new model, and the one before it.
    pairs
        The slides on which both were scored, with identical labels; at least one.
    left_out
        Held-out slides of the new model on which they do not compare.
    seed
        Of the bootstrap.
    """

    model: str
    base: str
    pairs: tuple[SlidePair, ...]
    left_out: tuple[str, ...] = ()
    seed: int = 0

    @property
    def mean(self) -> float:
        """The mean difference over the slides."""
        return float(np.mean([pair.difference for pair in self.pairs]))

    @property
    def worst(self) -> SlidePair:
        """The slide on which the new model lost most, or gained least."""
        return min(self.pairs, key=lambda pair: pair.difference)

    @property
    def patients(self) -> int:
        """The number of patients that the slides are of."""
        return len({pair.patient for pair in self.pairs})

    @property
    def has_interval(self) -> bool:
        """Whether there are enough patients for a confidence interval."""
        return self.patients >= FEWEST_PATIENTS

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The 95 % interval of the mean difference; with too few patients, the least and the largest difference."""
        differences = np.array([pair.difference for pair in self.pairs])
        if not self.has_interval:
            return float(differences.min()), float(differences.max())
        return interval(differences, [pair.patient for pair in self.pairs], self.seed)

    @property
    def worse(self) -> bool:
        """Whether the new model is worse by more than noise.

        That is if the whole interval lies below 0 or, with too few patients for one, the mean below -`NOISE`.
        """
        return self.bounds[1] < 0 if self.has_interval else self.mean < -NOISE

    def to_json(self) -> dict[str, Any]:
        """Return its JSON values; with too few patients there is a `range` of the slides, but no `interval`."""
        differences = [pair.difference for pair in self.pairs]
        return {
            "before": self.base,
            "after": self.model,
            "mean_difference": self.mean,
            "interval": list(self.bounds) if self.has_interval else None,
            "range": [min(differences), max(differences)],
            "patients": self.patients,
            "worst_slide": self.worst.slide,
            "worse": self.worse,
            "slides": [
                {
                    "slide": pair.slide,
                    "patient": pair.patient,
                    "before": pair.before,
                    "after": pair.after,
                    "difference": pair.difference,
                }
                for pair in self.pairs
            ],
            "left_out": list(self.left_out),
            "text": self.text,
        }

    @property
    def warning(self) -> str:
        """What to know of a model that is worse; "" for another one."""
        if not self.worse:
            return ""
        return f"{self.model} is worse than {self.base} by more than noise, so {self.base} stays the current model."

    @property
    def text(self) -> str:
        """The comparison in words, two short sentences at most."""
        low, high = self.bounds
        count, noun = len(self.pairs), "slide" if len(self.pairs) == 1 else "slides"
        text = f"{self.model} against {self.base}: Dice {self.mean:+.3f} on {count} held-out {noun}"
        if self.has_interval:
            text += f" (95 % interval {low:+.3f} to {high:+.3f}, {self.patients} patients)"
        elif count > 1:
            text += f" (from {low:+.3f} to {high:+.3f}; no interval with fewer than {FEWEST_PATIENTS} patients)"
        worst = f" Worst: {self.worst.slide} {self.worst.difference:+.3f}." if count > 1 else ""
        return f"{text}.{worst}"


def interval(differences: npt.NDArray[np.float64], patients: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of slides' differences, from resampling their patients.

    Parameters
    ----------
    differences
        One for each slide.
    patients
        The patient of each slide; all slides of a patient are drawn together.
    seed
        Of the resampling.
    """
    _, number = np.unique(patients, return_inverse=True)
    sums, counts = np.bincount(number, weights=differences), np.bincount(number)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, _QUANTILES)
    return float(low), float(high)


def before_after(project: Project, bundle: Bundle) -> BeforeAfter | None:
    """Compare a model with the one before it; None if it was compared with none, or no slide has identical labels."""
    common = [
        slide
        for slide, score in bundle.slide_scores.items()
        if slide in bundle.base_scores and bundle.base_scores[slide].truth == score.truth
    ]
    pairs = [(slide, _mean_dice(bundle.base_scores[slide], bundle.slide_scores[slide])) for slide in common]
    patients = _patients(project)
    found = tuple(SlidePair(slide, patients.get(slide, slide), *dice) for slide, dice in pairs if dice is not None)
    if not bundle.base or not found:
        return None
    compared = {pair.slide for pair in found}
    left_out = tuple(slide for slide in bundle.slide_scores if slide not in compared)
    return BeforeAfter(bundle.id, bundle.base, found, left_out)


def choose_current(project: Project, bundle: Bundle) -> BeforeAfter | None:
    """Make a new model the current one or, if it is worse by more than noise, the one before it.

    Returns
    -------
    compared
        The two models; None if they do not compare, and then the new one is current.

    Raises
    ------
    ProjectError
        If the choice cannot be saved.
    """
    compared = before_after(project, bundle)
    stays = compared is not None and compared.worse and compared.base in project.model_ids()
    make_current(project, bundle.base if stays else bundle.id)
    return compared


def _patients(project: Project) -> Mapping[str, str]:
    records = {**removed_slides(project), **project.slides}
    return {slide: record.patient for slide, record in records.items()}


def _mean_dice(before: SlideScore, after: SlideScore) -> tuple[float, float] | None:
    """Return the mean Dice of two models over the classes of a slide; None if none occurs.

    A class that a model does not know counts as 0: it cannot find it.
    """
    longest = max(before.dice, after.dice, key=len)
    occurring = [index for index, dice in enumerate(longest) if dice is not None]
    if not occurring:
        return None
    first, second = (
        sum((score.dice[index] or 0.0) if index < len(score.dice) else 0.0 for index in occurring) / len(occurring)
        for score in (before, after)
    )
    return first, second
