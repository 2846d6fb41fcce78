"""What a model's scores say, in words: the headline number, whether the model can be trusted, what to do if not.

The headline is the mean Dice over the classes that occur in what was held out, each named.  No torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_pathseg.engine.bundle import Bundle, lineage
from napari_pathseg.projects import roles
from napari_pathseg.projects.held_out_parts import WEAKER, join_names
from napari_pathseg.projects.project import Project

# Overlap above 0.7 is excellent agreement (Zijdenbos et al., IEEE Trans Med Imaging 13:716, 1994).
RELIABLE_DICE, RELIABLE_CLASS = 0.7, 0.5  # of the mean, and of each class: below, predictions are not for accepting
_MOST_CLASSES = 4  # that a headline lists with their Dice

ClassScores = Mapping[str, Mapping[str, float | None]]
ABSENT = "–"


@dataclass(frozen=True)
class Verdict:
    """What to say about a model.

    Attributes
    ----------
    text
        Sentences for the user: its name, headline, what it was scored on, and what to do.
    reliable
        Whether its predictions are good enough to be accepted after a look.
    comparable
        Whether it was scored on the same as the model that it was fine-tuned from.
    """

    text: str
    reliable: bool
    comparable: bool


def present_dice(scores: ClassScores) -> dict[str, float]:
    """Return the Dice of the classes that occur in what was held out."""
    return {name: dice for name, values in scores.items() if (dice := values.get("dice")) is not None}


def headline(scores: ClassScores) -> str:
    """Return the mean Dice over the classes that occur, and what it is a mean of.

    >>> headline({"Background": {"dice": 0.0}, "Tumour": {"dice": 0.9}, "Necrosis": {"dice": None}})
    'Dice 0.45 (mean of Background 0.00 and Tumour 0.90)'
    >>> headline({"Background": {"dice": None}, "Tumour": {"dice": 0.89}})
    'Dice 0.89 (of Tumour, the only class there)'
    """
    dice = present_dice(scores)
    if not dice:
        return "no Dice, since no class occurs there"
    mean = float(np.mean(list(dice.values())))
    if len(dice) == 1:
        return f"Dice {mean:.2f} (of {next(iter(dice))}, the only class there)"
    if len(dice) <= _MOST_CLASSES:
        return f"Dice {mean:.2f} (mean of {join_names([f'{name} {value:.2f}' for name, value in dice.items()])})"
    worst = min(dice, key=lambda name: dice[name])
    return f"Dice {mean:.2f} (mean of {len(dice)} classes, from {worst} {dice[worst]:.2f} up)"


def is_reliable(bundle: Bundle) -> bool:
    """Return whether a model's predictions are good enough to be accepted after a look."""
    dice = list(present_dice(bundle.scores).values())
    mean, worst = (float(np.mean(dice)), min(dice)) if dice else (bundle.mean_dice, bundle.mean_dice)
    return not bundle.collapsed and mean >= RELIABLE_DICE and worst >= RELIABLE_CLASS


def scored_on(bundle: Bundle) -> str:
    """Return the slides, or parts of slides, that a model was scored on."""
    if bundle.held_out:
        return f"held-out parts of {join_names(list(bundle.held_out))}"
    return join_names(bundle.val) if bundle.val else "the held-out slides"


def same_evidence(bundle: Bundle, other: Bundle) -> bool:
    """Return whether two models were scored on the same slides, or the same parts of them."""
    return sorted(bundle.val) == sorted(other.val) and bundle.held_out == other.held_out


def judge(project: Project, bundle: Bundle) -> Verdict:
    """Return what to say about a finished model of a project."""
    name, reliable, limits = bundle.id, is_reliable(bundle), _limits(bundle)
    parent = next(iter(lineage(project, bundle.parent)), None)
    comparable = parent is not None and same_evidence(bundle, parent)
    scores = f"{headline(bundle.scores)} on {scored_on(bundle)}"
    if bundle.collapsed:
        others = [each for each in bundle.class_names if each != bundle.collapsed]
        text = (
            f"{name} has collapsed: it calls everything {bundle.collapsed}. {_upper(scores)}. Outline more "
            f"{join_names(others)} on several slides, then train from scratch for longer."
        )
    elif bundle.is_copy:
        text = (
            f"Nothing learnt scored better than {bundle.parent}, so {name} is a copy of it: {scores}. Outline more "
            "where it is wrong, or train for longer."
        )
    elif reliable:
        text = f"{name} is ready: {scores}."
    else:
        text = f"{name} is not reliable yet: {scores}. Outline more where it is wrong, then train again for longer."
    if parent is not None and not comparable and not bundle.base_scores:
        limits.append(_not_comparable(parent))
    return Verdict(" ".join([text, *limits]), reliable, comparable)


def score_warnings(answer: Mapping[str, Any]) -> list[str]:
    """Return what is to be known of an answer of `evaluation.score` before one relies on it."""
    warnings, model = [], answer["model"]
    if answer["collapsed"]:
        warnings.append(f"{model} has collapsed: it calls everything {answer['collapsed']}.")
    if answer["learnt"] and answer["role"] in (roles.VAL, roles.TEST):
        warnings.append(
            f"{model}, or a model that it was trained from, has learnt from {join_names(answer['learnt'])}: these "
            "scores are too high. Train from scratch (--from none) for scores to rely on."
        )
    return warnings


def _limits(bundle: Bundle) -> list[str]:
    """Return what limits the scores, a sentence each."""
    limits = []
    if bundle.held_out:
        limits.append(f"Parts of slides that it learnt from are {WEAKER}.")
    absent = [name for name, values in bundle.scores.items() if values.get("dice") is None]
    if absent:
        limits.append(f"{join_names(absent)} {'does' if len(absent) == 1 else 'do'} not occur there.")
    if bundle.learnt_before:
        learnt = join_names(bundle.learnt_before)
        limits.append(
            f"An earlier model, from which it was trained, has learnt from {learnt}, so this is too high; train from "
            "scratch for a score to rely on."
        )
    if bundle.scored_tiles < bundle.held_out_tiles:
        limits.append(f"Only {bundle.scored_tiles} of {bundle.held_out_tiles} held-out tiles were scored.")
    return limits


def _not_comparable(parent: Bundle) -> str:
    return (
        f"The Dice {parent.mean_dice:.2f} of {parent.id} is of {scored_on(parent)}: the two do not compare. Compare "
        "under Review, or pathseg score, scores both on the same slides."
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
