"""What a report says, as JSON values: of the project, its model and how the model was trained.

What nobody recorded is null here, and "not recorded" on the page.  Scores are added by `report.py`.
"""

import csv
import hashlib
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.engine.bundle import Bundle, lineage, load_bundle
from napari_pathseg.engine.evaluation.before_after import before_after
from napari_pathseg.errors import PathsegError
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.projects import roles
from napari_pathseg.projects.annotation_log import read_rounds, stop_sentence
from napari_pathseg.projects.ground_truth import labelled_pixel_counts
from napari_pathseg.projects.patients import find_leaks
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.test_uses import read_test_uses
from napari_pathseg.storage.names import PROJECT_FILE

_BLOCK = 1 << 20  # bytes that are read at once
_MAX_CURVE_BYTES = 16 << 20
_CURVES = ("step", "training_accuracy", "accuracy", "loss", "validation_loss")


def identity(project: Project, bundle: Bundle) -> dict[str, Any]:
    """Return what the report is about: names, versions and SHA-256 hashes."""
    folder = project.folder / "models" / bundle.id
    files = [project.folder / PROJECT_FILE, *sorted(each for each in folder.iterdir() if each.is_file())]
    return {
        "project": project.folder.name,
        "model": bundle.id,
        "parent": bundle.parent,
        "lineage": [each.id for each in lineage(project, bundle.id)],
        "run": bundle.run,
        "architecture": bundle.network.architecture,
        "encoder": bundle.network.encoder,
        "classes": bundle.class_names,
        "mpp": bundle.mpp,
        "trained": bundle.origin.get("date"),
        "versions": bundle.origin.get("versions"),
        "sha256": {file.relative_to(project.folder).as_posix(): sha256(file) for file in files},
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def data(project: Project) -> dict[str, Any]:
    """Return the slides with what is labelled on them, and sums by role."""
    rows = [_slide_row(project, record) for record in project.slides.values()]
    by_role = {}
    for role in roles.ROLES:
        chosen = [row for row in rows if row["role"] == role]
        if chosen:
            by_role[role] = {
                "slides": len(chosen),
                "labelled_slides": sum(any(row["labelled_pixels"].values()) for row in chosen),
                "patients": len({row["patient"] or f"slide {row['slide']}" for row in chosen}),
                "unknown_patients": sum(row["patient"] is None for row in chosen),
                "labelled_mm2": _sum(row["labelled_mm2"] for row in chosen),
            }
    imported = sorted({each.file for each in project.state.imports.values()})
    return {"slides": rows, "by_role": by_role, "imported_files": imported, "scanner": None, "annotators": None}


def _slide_row(project: Project, record: SlideRecord) -> dict[str, Any]:
    counts = project.counts(record.id)
    pixels = labelled_pixel_counts(project, record, counts)
    labelled = {spec.name: int(pixels[spec.index]) for spec in project.classes}
    size = None if record.mask_mpp is None else (record.mask_mpp / 1000) ** 2
    by_kind = counts[1:].sum(axis=0)
    return {
        "slide": record.id,
        "role": record.role,
        "patient": record.patient if record.patient != record.id else None,
        "file": record.file_name,
        "fingerprint": record.fingerprint,
        "rows": record.shape[0],
        "columns": record.shape[1],
        "mpp": record.mpp,
        "complete": record.complete,
        "labelled_pixels": labelled,
        "labelled_mm2": None if size is None else sum(labelled.values()) * size,
        "provenance": {kind.name.lower(): int(by_kind[kind]) for kind in Provenance if kind is not Provenance.NONE},
    }


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def partition(project: Project, bundle: Bundle) -> dict[str, Any]:
    """Return which slides are in which role, patients in several, and how often test slides were scored."""
    uses = read_test_uses(project)
    later = [model for model in project.model_ids() if uses and _is_later(project, model, uses[0]["time"])]
    return {
        "roles": {role: [r.id for r in project.slides_with_role(role)] for role in roles.ROLES},
        "leaks": find_leaks(project.slides.values()),
        "learnt": bundle.train,
        "held_out": bundle.val,
        "held_out_parts": bundle.held_out,
        "test_uses": uses,
        "trained_after_test": later,
    }


def _is_later(project: Project, model: str, time: str) -> bool:
    """Return whether a model was trained after a time."""
    with suppress(PathsegError, TypeError, ValueError):
        date = load_bundle(project.folder / "models" / model).origin["date"]
        return datetime.fromisoformat(date).astimezone() > datetime.fromisoformat(time).astimezone()
    return False


def training(project: Project, bundle: Bundle) -> dict[str, Any]:
    """Return the settings of the training, its length and curves."""
    return {
        "settings": bundle.config,
        "steps": bundle.steps,
        "seconds": bundle.seconds,
        "command": bundle.origin.get("command"),
        "processor": bundle.origin.get("machine", {}).get("processor"),
        "gpu": bundle.origin.get("machine", {}).get("gpu"),
        "held_out_scores": bundle.scores,
        "mean_dice": bundle.mean_dice,
        "caveat": bundle.caveat,
        "curves": _curves(project.folder / "models" / bundle.id / "curves.csv"),
    }


def _curves(path: Path) -> list[dict[str, float]]:
    if not path.is_file() or path.stat().st_size > _MAX_CURVE_BYTES:
        return []
    rows = []
    with path.open(newline="", encoding="utf8") as file, suppress(csv.Error, UnicodeError):
        for row in csv.DictReader(file):
            numbers = {}
            for name in _CURVES:
                with suppress(TypeError, ValueError):
                    number = float(row.get(name) or "nan")
                    if math.isfinite(number):
                        numbers[name] = number
            if "step" in numbers:
                rows.append(numbers)
    return rows


def work(project: Project) -> dict[str, Any]:
    """Return the rounds of work with the prequential scores, and what to think of the last ones."""
    rounds = read_rounds(project)
    rows = [
        {
            "model": each.model or None,
            "minutes": each.total.seconds / 60,
            "strokes": each.total.strokes,
            "mm2": each.total.mm2,
            "slides": len(each.work),
            "dice_before_learning": each.dice,
            "held_out_dice": each.held_out,
            "gain": each.gain,
        }
        for each in rounds
        if each.model or each.total
    ]
    return {"rounds": rows, "minutes": sum(row["minutes"] for row in rows), "text": stop_sentence(rounds)}


def compared_with_parent(project: Project, bundle: Bundle) -> dict[str, Any] | None:
    """Return the comparison with the model before it, if there is one."""
    compared = before_after(project, bundle)
    return None if compared is None else compared.to_json()


def subgroups(project: Project, results: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the mean Dice of each class over the scored slides of each pixel size, with their number.

    Scanner and stain are not recorded in a project, so that there are no groups by these.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for scored in results["slides"] if results else ():
        mpp = project.slide(scored["slide"]).mpp
        groups.setdefault("unknown" if mpp is None else f"{mpp:.3g}", []).append(scored)
    found = []
    for size, slides in sorted(groups.items()):
        dice = {}
        for name in project.classes.names:
            known = [value for each in slides if (value := each["scores"][name]["dice"]) is not None]
            dice[name] = {"mean": float(np.mean(known)) if known else None, "slides": len(known)}
        patients = len({each["patient"] or f"slide {each['slide']}" for each in slides})
        numbers = {"slides": len(slides), "patients": patients, "dice": dice}
        found.append({"group": "pixel size", "value": size, **numbers})
    return found


def warnings(content: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know first, a sentence each."""
    results, split, found = content["results"], content["partition"], list[str]()
    if results is None:
        found.append(f"Nothing was scored: {content['not_scored']}")
    else:
        found += results["by_patient"]["notes"]
        if results["learnt"]:
            found.append(f"The model has learnt from {', '.join(results['learnt'])}: scores there are too high.")
        if results["held_out_parts"]:
            found.append("Scores are of parts of slides that it learnt from: weaker evidence than another patient.")
        if results["collapsed"]:
            found.append(f"The model has collapsed: it calls everything {results['collapsed']}.")
        accepted = [row["slide"] for row in content["data"]["slides"] if row["provenance"]["accepted"]]
        scored = [each["slide"] for each in results["slides"] if each["slide"] in accepted]
        if scored:
            found.append(f"Labels of {', '.join(scored)} were accepted from a model: it is compared with itself there.")
    if split["leaks"]:
        found.append(f"Patients with slides in two roles: {', '.join(split['leaks'])}.")
    if split["trained_after_test"]:
        found.append(
            f"Test slides were scored before {', '.join(split['trained_after_test'])} was trained: if that decided "
            "how, they are no test any more."
        )
    return found
