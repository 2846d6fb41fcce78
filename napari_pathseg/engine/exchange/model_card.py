"""The model card: what others need to know of a model, as Markdown beside its weights [1]_.

It names no slide, patient, computer or folder.  What nobody recorded is "not recorded", never left out.

References
----------
.. [1] Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.engine.bundle import CARD_TITLE, MODEL_CARD, Bundle
from napari_pathseg.projects.model_weights import ALL_WEIGHTS, WEIGHTS
from napari_pathseg.slides.look import Look
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.regular_files import open_regular

INTENDED_USE = (
    "Segmentation of tissue on digitised slides, for research only. Not a medical device; not for diagnosis, and not "
    "for decisions on patients."
)
IMPORTED = "imported"  # the key of `Bundle.origin` under which it says what a model was before it was imported
NOT_RECORDED = "not recorded"
_SCORES = {"dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall", "f1": "F1"}
_FEW_PATIENTS = 8  # below it, intervals over patients mean little


def write_card(folder: Path, bundle: Bundle) -> None:
    """Write the card of a model beside its weights.

    Raises
    ------
    ProjectError
        If the file cannot be written.
    """
    with replace_file(folder / MODEL_CARD) as partial:
        partial.write_text(card_of(folder, bundle), encoding="utf8")


def card_of(folder: Path, bundle: Bundle) -> str:
    """Return the card of the model in a folder, as it is now, whatever lies there."""
    return model_card(bundle, hashes(folder))


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the weights in a folder."""
    found = {}
    for name in (WEIGHTS, ALL_WEIGHTS):
        if (folder / name).exists():
            with open_regular(folder / name) as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def model_card(bundle: Bundle, sha256: Mapping[str, str]) -> str:
    """Return the card of a model.

    Parameters
    ----------
    bundle
        The model.
    sha256
        The hash of each file of weights, in hexadecimal digits.
    """
    parts = [
        f"{CARD_TITLE}{bundle.id}",
        INTENDED_USE,
        "## Made for\n\n" + _rows(_made_for(bundle)),
        "## Data\n\n" + _rows(_data(bundle)),
        "## Validation\n\n" + _scores(bundle),
        "## Training\n\n" + _rows(_training(bundle)),
        "## Files\n\n" + _rows({name: f"SHA-256 {digest}" for name, digest in sha256.items()}),
        "## Limits\n\n" + "\n".join(f"- {each}" for each in _limits(bundle)),
    ]
    return "\n\n".join(parts) + "\n"


def stain_of(looks: Sequence[Look]) -> str:
    """Return how learnt slides are stained, as measured: density, and the colours of paler and denser tissue."""
    if not looks:
        return NOT_RECORDED
    density = float(np.mean([look.density for look in looks]))
    pale, dense = (_colour(np.mean([getattr(look, part) for look in looks], axis=0)) for part in ("pale", "dense"))
    return (
        f"measured on {_counted(len(looks), 'slide')}: mean optical density {density:.2g}, paler tissue {pale}, "
        f"denser tissue {dense}; name {NOT_RECORDED}"
    )


def _colour(direction: Any) -> str:
    """Return the colour, as #rrggbb, of light that passes a stain of a density of 1."""
    red, green, blue = (round(255 * float(np.exp(-value))) for value in direction)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _made_for(bundle: Bundle) -> dict[str, str]:
    names, known = bundle.class_names, bundle.network.known
    left_out = [name for number, name in enumerate(names, 1) if known and number not in known]
    return {
        "Classes": ", ".join(names) + (f" (never predicted: {', '.join(left_out)})" if left_out else ""),
        "Pixel size": "the full resolution of each slide" if bundle.mpp is None else f"{bundle.mpp:g} µm per pixel",
        "Stain": stain_of(list(bundle.looks.values())),
        "Stain normalisation": str(bundle.config.get("stain_norm", NOT_RECORDED)),
        "Input": "RGB, 0 to 255" if bundle.network.channels == 3 else "grey, the mean of red, green and blue",
    }


def _data(bundle: Bundle) -> dict[str, str]:
    held_out = _slides(bundle.val, bundle.val_patients)
    return {
        "Learnt": _slides(bundle.train, bundle.train_patients),
        "Held out": f"parts of {held_out}" if bundle.held_out else held_out,
        "Scanner": NOT_RECORDED,
        "Annotators": NOT_RECORDED,
        "Labels": f"hash {bundle.labels}" if bundle.labels else NOT_RECORDED,
    }


def _slides(slides: Sequence[str], patients: int | None) -> str:
    known = f"number of patients {NOT_RECORDED}" if patients is None else _counted(patients, "patient")
    return f"{_counted(len(slides), 'slide')}, {known}" if slides else NOT_RECORDED


def _scores(bundle: Bundle) -> str:
    if not bundle.scores:
        return f"Scores: {NOT_RECORDED}."
    rows = [["class", *_SCORES.values()], ["---"] * (1 + len(_SCORES))]
    for name, scores in bundle.scores.items():
        rows.append([name, *(_number(scores.get(key)) for key in _SCORES)])
    if bundle.held_out_tiles:
        tiles = f", {bundle.scored_tiles} of {bundle.held_out_tiles} tiles"
    else:
        tiles = f", number of tiles {NOT_RECORDED}"
    return (
        "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)
        + f"\n\nPooled over the labelled pixels of what was held out (n = {_slides(bundle.val, bundle.val_patients)}"
        f"{tiles}). Mean Dice {bundle.mean_dice:.4f}. Score it on slides of your own, which it has not seen, before "
        "you rely on it."
    )


def _training(bundle: Bundle) -> dict[str, str]:
    versions, former = bundle.origin.get("versions"), bundle.origin.get(IMPORTED)
    encoder = f", encoder {bundle.network.encoder}" if bundle.network.encoder else ""
    rows = {
        "Network": bundle.network.architecture + encoder,
        "Trained from": bundle.parent or ("an imported model" if former else "no other model"),
        "Date": str(bundle.origin.get("date") or NOT_RECORDED),
        "Steps": f"{bundle.steps:,}, {bundle.seconds:.0f} s",
        "Versions": ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else NOT_RECORDED,
        "Settings": ", ".join(f"{k} {v}" for k, v in bundle.config.items() if k != "weights") or NOT_RECORDED,
    }
    if isinstance(former, dict):
        rows["Imported"] = ", ".join(f"{key} {value}" for key, value in former.items())
    return rows


def _limits(bundle: Bundle) -> Iterator[str]:
    yield "It knows the classes, the stain and the pixel size above, and nothing else: other tissue gets one of them."
    if bundle.caveat:
        yield f"It {bundle.caveat}."
    if bundle.is_copy:
        yield "Nothing that its training learnt scored better, so that its weights are those of the model before it."
    if not bundle.val:
        yield "Nothing was held out that is known here: no score says how good it is."
    elif bundle.held_out:
        yield "It was scored on parts of slides whose rest it has learnt, weaker evidence than another patient."
    elif bundle.val_patients is None:
        yield "Patients are not recorded, so that it may have learnt those that it was scored on."
    elif bundle.val_patients < _FEW_PATIENTS:
        yield f"It was scored on {_counted(bundle.val_patients, 'patient')}, too few to say how sure the scores are."
    if bundle.learnt_before:
        yield f"A model before it has learnt {_counted(len(bundle.learnt_before), 'slide')} that it was scored on."
    if bundle.last_pass:
        yield "A last pass also taught it what was held out; these weights, without a score, predict new slides."


def _rows(values: Mapping[str, str]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in values.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _cell(text: str) -> str:
    """Return a text that Markdown shows in a cell of a table as it is."""
    plain = " ".join(text.split())
    for sign, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`"), ("[", "\\[")):
        plain = plain.replace(sign, safe)
    return plain


def _number(score: float | None) -> str:
    return "–" if score is None else f"{score:.4f}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
