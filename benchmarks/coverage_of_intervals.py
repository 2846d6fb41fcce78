"""How often the 95 % intervals of the scores cover the true mean, in simulations of many studies.

Each study has patients of one to four slides, whose pixels are labelled and predicted at random: patients differ,
slides of a patient resemble each other, and one slide in six has no tumour.  The scores of a study go through the same
code as those of a project.  The true mean is that of many patients.  Prints one line for each score, and on the last
line one JSON object: the coverage by score, and that of eight patients, whose scores are less often normal.

    python benchmarks/coverage_of_intervals.py [--studies 2000] [--patients 50]
"""

import argparse
import json
from collections.abc import Iterator

import numpy as np

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.engine.evaluation.borders import BorderDistance
from napari_pathseg.engine.evaluation.class_scores import patient_scores
from napari_pathseg.engine.evaluation.intervals import FEWEST_PATIENTS
from napari_pathseg.engine.evaluation.lesions import LesionCounts
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.slide_evidence import SlideEvidence
from napari_pathseg.projects.slide_record import SlideRecord

PIXELS, NEGATIVE, TRUTH = 1_000_000, 1 / 6, 20_000  # of a slide; share without tumour; patients for the true mean
BACKGROUND, TUMOUR = 1, 2
LOW, HIGH = 0.93, 0.97


def slides_of(patients: int, rng: np.random.Generator) -> Iterator[SlideEvidence]:
    """Yield the slides of patients."""
    for patient in range(patients):
        skill, border = rng.beta(12, 3), rng.beta(8, 4)
        for number in range(rng.integers(1, 5)):
            tumour = 0 if rng.random() < NEGATIVE else int(PIXELS * rng.beta(2, 5))
            found = rng.binomial(tumour, rng.beta(40 * skill, 40 * (1 - skill)))
            false = rng.binomial(PIXELS - tumour, rng.beta(2, 60))
            matrix = np.array([[PIXELS - tumour - false, false], [tumour - found, found]])
            length = int(rng.integers(2000, 8000))
            distance = BorderDistance(int(rng.binomial(length, border)), length, float(rng.gamma(6, 5 * (1.5 - skill))))
            truth = int(rng.integers(1, 9)) if tumour else 0
            matched = int(rng.binomial(truth, skill))
            lesions = LesionCounts(truth, matched + int(rng.poisson(1)), (matched, int(rng.binomial(matched, 0.8))))
            record = SlideRecord(
                f"{patient}-{number}", "", "", "", (1000, 1000), 3, 1.0, 1, f"P{patient}", complete=True
            )
            borders = {BACKGROUND: distance, TUMOUR: distance}
            yield SlideEvidence(record, Confusion(matrix), borders, {TUMOUR: lesions})


def scores_of(patients: int, rng: np.random.Generator) -> dict[str, dict[str, object]]:
    """Return the scores of a study."""
    found = patient_scores(DEFAULT_CLASSES, list(slides_of(patients, rng)))["scores"]["Tumour"]
    return {name: score for name, score in found.items() if score is not None}


def coverage(studies: int, patients: int, truth: dict[str, float]) -> dict[str, float]:
    """Return how often the interval of each score covers the true mean."""
    rng, hits = np.random.default_rng(1), dict.fromkeys(truth, 0)
    counted = dict.fromkeys(truth, 0)
    for _ in range(studies):
        for name, score in scores_of(patients, rng).items():
            if score["interval"] is not None:
                low, high = score["interval"]
                counted[name] += 1
                hits[name] += low <= truth[name] <= high
    return {name: hits[name] / max(1, counted[name]) for name in truth}


def main() -> None:
    """Simulate, and print what was covered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--patients", type=int, default=50)
    options = parser.parse_args()
    truth = {name: score["mean"] for name, score in scores_of(TRUTH, np.random.default_rng(0)).items()}
    found = coverage(options.studies, options.patients, truth)
    few = coverage(options.studies, FEWEST_PATIENTS, truth)
    for name, share in found.items():
        print(f"{name:15} mean {truth[name]:.3f}  covered {share:.1%}, with {FEWEST_PATIENTS} patients {few[name]:.1%}")
    within = all(LOW <= share <= HIGH for share in found.values())
    print(json.dumps({"coverage": found, "of_eight": few, "within": within}))


if __name__ == "__main__":
    main()
