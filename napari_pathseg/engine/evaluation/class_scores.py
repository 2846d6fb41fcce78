"""The scores of each class on a slide, of a patient, and of all slides, from what was counted.  No torch.

Only labelled pixels count.  What is scored where a class is not labelled, or not predicted:

===================  =================  ==================  ==================  ===================================
score                neither            labelled only       predicted only      otherwise
===================  =================  ==================  ==================  ===================================
dice, iou, f1        None               0                   None                1 if all pixels agree
precision            None               0                   None                right of those that were predicted
recall               None               0                   None                found of those that are labelled
specificity          1                  1                   below 1             None if nothing else is labelled
nsd                  None               0                   None                None if neither has a border
hd95                 None               None                None                None if one of them has no border
lesion_f1_10, _50    None               0                   None                None on slides that are not complete
areas                0 and 0            found is 0          a false positive    both, in mm2
===================  =================  ==================  ==================  ===================================

*Predicted only* has no score on the slide, but its pixels, its border and its lesions count as errors where slides
are pooled, and its area is reported as a false positive.  `f1` equals `dice`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.engine.evaluation.agreement import AreaPair, agreement
from napari_pathseg.engine.evaluation.intervals import patient_mean, patient_notes, slides_by_patient
from napari_pathseg.engine.evaluation.lesions import OVERLAPS, LesionCounts
from napari_pathseg.engine.evaluation.metrics import ClassCounts, pool
from napari_pathseg.engine.evaluation.reliability import expected_calibration_error, reliability_curve
from napari_pathseg.engine.evaluation.slide_evidence import SlideEvidence
from napari_pathseg.projects.held_out_parts import join_names

LESION_F1 = tuple(f"lesion_f1_{100 * overlap:.0f}" for overlap in OVERLAPS)
MICROMETRES, PIXELS = "um", "px"
_SHARE = (0.0, 1.0)  # the limits of all scores but the Hausdorff distance

Scores = dict[str, float | None]


def class_scores(classes: ClassTable, slides: Sequence[SlideEvidence], unit: str = "") -> dict[str, Scores]:
    """Return the scores by class name, pooled over the pixels, borders and lesions of slides.

    The Hausdorff distance is the mean over the slides that are measured in `unit`, by default that of `border_unit`.
    """
    counts, unit = pool((slide.confusion for slide in slides), classes.highest).counts(), unit or border_unit(slides)
    return {spec.name: _scores(counts[spec.index - 1], spec.index, slides, unit) for spec in classes}


def _scores(counts: ClassCounts, number: int, slides: Sequence[SlideEvidence], unit: str) -> Scores:
    negatives = counts.true_negatives + counts.false_positives
    occurs = bool(counts.true_positives + counts.false_negatives)
    borders = [slide.borders[number] for slide in slides]
    pixels = sum(border.pixels for border in borders)
    lesions = sum((slide.lesions.get(number, LesionCounts()) for slide in slides), LesionCounts())
    return {
        **counts.scores(),
        "specificity": counts.true_negatives / negatives if negatives else None,
        "nsd": sum(border.within for border in borders) / pixels if occurs and pixels else None,
        "hd95": _hausdorff(number, slides, unit) if occurs else None,
        **{name: lesions.f1(index) for index, name in enumerate(LESION_F1)},
    }


def border_unit(slides: Sequence[SlideEvidence]) -> str:
    """Return the unit of the Hausdorff distance of slides: micrometres if the pixel size of one is known."""
    return MICROMETRES if any(slide.record.mask_mpp is not None for slide in slides) else PIXELS


def _hausdorff(number: int, slides: Sequence[SlideEvidence], unit: str) -> float | None:
    same = [slide for slide in slides if border_unit([slide]) == unit]
    found = [each for slide in same if (each := slide.borders[number].hausdorff) is not None]
    return float(np.mean(found)) if found else None


def patient_scores(classes: ClassTable, slides: Sequence[SlideEvidence]) -> dict[str, Any]:
    """Return the mean over patients of each score of each class, with its 95 % interval, as JSON values.

    The scores of a patient are pooled over the patient's slides.

    Returns
    -------
    found
        ``patients``: how many; ``unknown``: slides whose patient is unknown, each of which counts as one; ``notes``:
        what limits the intervals; ``scores`` by class and score: `PatientMean.to_json`, None if no patient has it.
    """
    groups = _groups(slides)
    unit = border_unit(slides)
    by_patient = [class_scores(classes, group, unit) for group in groups.values()]
    unknown = [slide.record.id for slide in slides if not slide.patient_is_known]
    found = {
        name: {score: _mean([each[name][score] for each in by_patient], score) for score in by_patient[0][name]}
        for name in classes.names
    }
    notes = patient_notes(len(groups), unknown)
    return {"patients": len(groups), "unknown": unknown, "notes": notes, "scores": found}


def _mean(values: Sequence[float | None], score: str) -> dict[str, Any] | None:
    mean = patient_mean(values, (0.0, np.inf) if score == "hd95" else _SHARE)
    return mean.to_json() if mean else None


def _groups(slides: Sequence[SlideEvidence]) -> dict[str, list[SlideEvidence]]:
    by_name = {slide.record.id: slide for slide in slides}
    groups = slides_by_patient({name: slide.record.patient for name, slide in by_name.items()})
    return {patient: [by_name[name] for name in names] for patient, names in groups.items()}


def slide_areas(classes: ClassTable, slide: SlideEvidence) -> dict[str, dict[str, float | None]]:
    """Return the labelled and predicted area of each class on a slide: pixels, and mm2 if the pixel size is known."""
    size, found = slide.mm2_per_pixel, {}
    for spec in classes:
        counts = slide.confusion.counts()[spec.index - 1]
        truth, predicted = _areas(counts)
        found[spec.name] = {
            "truth_pixels": truth,
            "found_pixels": predicted,
            "truth_mm2": None if size is None else truth * size,
            "found_mm2": None if size is None else predicted * size,
        }
    return found


def area_agreement(classes: ClassTable, slides: Sequence[SlideEvidence]) -> dict[str, Any]:
    """Return bias and limits of agreement of each class's area over patients, and their unit.

    The unit is mm2; if no pixel size is known, it is a million pixels.  Of some slides with a pixel size and some
    without, only the former count; ``left_out`` names the others.
    """
    measured = [slide for slide in slides if slide.mm2_per_pixel is not None]
    used = measured or list(slides)
    left_out = [slide.record.id for slide in slides if slide not in used]
    found = {}
    for spec in classes:
        pairs = []
        for patient, group in _groups(used).items():
            areas = [(_areas(slide.confusion.counts()[spec.index - 1]), slide.mm2_per_pixel or 1e-6) for slide in group]
            truth, predicted = (sum(area[which] * size for area, size in areas) for which in (0, 1))
            pairs.append(AreaPair(patient, truth, predicted))
        found[spec.name] = agreement(pairs)
    return {"unit": "mm2" if measured else "Mpx", "left_out": left_out, "classes": found}


def false_positives(classes: ClassTable, slides: Sequence[SlideEvidence]) -> dict[str, Any]:
    """Return, for each class but Background, what was predicted of it on the slides that have no pixel of it.

    ``slides``: the predicted pixels and mm2 on each of these slides; ``mm2``: the mean over patients.
    """
    found = {}
    for spec in classes.specs[BACKGROUND:]:
        without = [slide for slide in slides if not _areas(slide.confusion.counts()[spec.index - 1])[0]]
        rows = [{"slide": slide.record.id, **_false_positive(slide, spec.index)} for slide in without]
        means = []
        for group in _groups(without).values():
            known = [area for slide in group if (area := _false_positive(slide, spec.index)["mm2"]) is not None]
            means.append(sum(known) if known else None)
        mean = patient_mean(means, (0.0, np.inf))
        found[spec.name] = {"slides": rows, "mm2": mean.to_json() if mean else None}
    return found


def _false_positive(slide: SlideEvidence, number: int) -> dict[str, float | None]:
    pixels, size = slide.confusion.counts()[number - 1].false_positives, slide.mm2_per_pixel
    return {"pixels": pixels, "mm2": None if size is None else pixels * size}


def _areas(counts: ClassCounts) -> tuple[int, int]:
    """Return the labelled and the predicted pixels of a class."""
    return counts.true_positives + counts.false_negatives, counts.true_positives + counts.false_positives


def lesion_counts(classes: ClassTable, slides: Sequence[SlideEvidence]) -> dict[str, dict[str, int]]:
    """Return how many lesions of each class but Background are labelled and predicted, and how many pairs match."""
    found = {}
    for spec in classes.specs[BACKGROUND:]:
        total = sum((slide.lesions.get(spec.index, LesionCounts()) for slide in slides), LesionCounts())
        matched = {f"matched_{100 * each:.0f}": count for each, count in zip(OVERLAPS, total.matched, strict=True)}
        found[spec.name] = {"truth": total.truth, "predicted": total.predicted, **matched}
    return found


def calibration(slides: Sequence[SlideEvidence]) -> dict[str, Any]:
    """Return the expected calibration error over all labelled pixels that were predicted, and the curve it is from."""
    right = sum((slide.right for slide in slides), np.zeros(256, np.int64))
    counted = sum((slide.counted for slide in slides), np.zeros(256, np.int64))
    curve = reliability_curve(right, counted)
    return {"ece": expected_calibration_error(curve), "pixels": int(counted.sum()), "curve": curve}


def score_notes(slides: Sequence[SlideEvidence], patients: Mapping[str, Any]) -> list[str]:
    """Return sentences on what limits the scores: patients, pixel sizes, coarse borders and incomplete slides."""
    notes = list(patients["notes"])
    unknown = [slide.record.id for slide in slides if slide.record.mask_mpp is None]
    if unknown:
        notes.append(
            f"The pixel size of {join_names(unknown)} is unknown: distances there are in mask pixels, and areas have "
            "no mm²."
        )
    coarse = [slide.record.id for slide in slides if any(border.grid > 1 for border in slide.borders.values())]
    if coarse:
        notes.append(f"The borders of {join_names(coarse)} are long and were compared on a coarser grid.")
    partial = [slide.record.id for slide in slides if not slide.record.complete]
    if partial:
        notes.append(f"Lesions are not counted on {join_names(partial)}: not complete.")
    return notes
