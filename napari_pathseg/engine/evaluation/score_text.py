"""Scores of a model in words, for the terminal, the window and the report.  No torch."""

from collections.abc import Mapping
from typing import Any

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.engine.evaluation.verdict import ABSENT

_UNITS = {"um": "µm", "px": "px", "mm2": "mm²", "Mpx": "Mpx"}
_DICE_DIGITS = 3


def number(value: float | None, digits: int = _DICE_DIGITS) -> str:
    """Return a number with so many digits after the point, or a dash."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def unit(name: str) -> str:
    """Return the sign of a unit of the scores."""
    return _UNITS[name]


def bounds(mean: Mapping[str, Any] | None, digits: int = _DICE_DIGITS) -> str:
    """Return the interval of a mean over patients, or their range, in words.

    >>> bounds({"mean": 0.5, "interval": None, "range": [0.25, 0.75], "patients": 2})
    'range 0.250 to 0.750 of 2 patients'
    """
    if mean is None:
        return ABSENT
    low, high = (number(each, digits) for each in mean["interval"] or mean["range"])
    patients = "1 patient" if mean["patients"] == 1 else f"{mean['patients']} patients"
    return f"{'95 % interval' if mean['interval'] else 'range'} {low} to {high} of {patients}"


def score_sentences(answer: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each class that is labelled on the scored slides, Background left out."""
    sentences = []
    for name in answer["classes"][BACKGROUND:]:
        scores = answer["scores"].get(name)
        if scores is None or scores["dice"] is None:
            continue
        tolerance = f"{answer['tolerance_um']:g} {'µm' if answer['hd95_unit'] == 'um' else 'px'}"
        lesions = scores["lesion_f1_50"]
        parts = [
            f"Dice {number(scores['dice'])} ({bounds(answer['by_patient']['scores'][name]['dice'])})",
            f"{number(scores['nsd'])} of its border within {tolerance}",
            f"95 % Hausdorff {number(scores['hd95'], 1)} {unit(answer['hd95_unit'])}",
            *([f"lesion F1 {number(lesions)}"] if lesions is not None else []),
        ]
        sentences.append(f"{name}: {', '.join(parts)}.")
    for name, found in answer["false_positives"].items():
        if found["slides"] and found["mm2"]:
            where = "1 slide" if len(found["slides"]) == 1 else f"{len(found['slides'])} slides"
            sentences.append(
                f"False {name} on {where} without it: {found['mm2']['mean']:.3g} mm² per patient "
                f"({bounds(found['mm2'])})."
            )
    if answer["calibration"]["ece"] is not None:
        sentences.append(
            f"Calibration error {number(answer['calibration']['ece'])}: probabilities and shares that are right."
        )
    return sentences
