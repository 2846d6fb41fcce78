"""Write the report of a model: ``report.html``, ``report.json`` with the same figures, and places for QuPath."""

import json
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from napari_pathseg.config import ScoreConfig, TrainConfig
from napari_pathseg.engine.bundle import Bundle, check_classes, find_bundle, load_bundle, slides_to_score
from napari_pathseg.engine.evaluation.evaluation import score_job
from napari_pathseg.engine.events import Job
from napari_pathseg.engine.exchange.model_card import INTENDED_USE
from napari_pathseg.engine.inference.unlike_slides import unlike_slides
from napari_pathseg.engine.report import content
from napari_pathseg.engine.report.page import page
from napari_pathseg.engine.report.reload_test import reload_test
from napari_pathseg.engine.report.worst_places import worst_places, write_places
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects import roles
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import replace_file

FORMAT = 1
HTML, JSON = "report.html", "report.json"
_DEFAULT = ScoreConfig()


def report_job(
    project: Project, folder: Path, model: str | None = None, role: str | None = None, config: ScoreConfig = _DEFAULT
) -> Job[list[Path]]:
    """Write the report of a model into a folder; return the files.

    Parameters
    ----------
    project
        The project; what the model has not predicted of the scored slides is predicted.
    folder
        Where the files go; created if need be.
    model
        The model; None for the current one.
    role
        The role of the slides that are scored; None for test, or else val if no test slide is labelled.
    config
        How it is scored.

    Raises
    ------
    BundleError
        If the model does not exist, or has other classes than the project.
    ProjectError
        If the files cannot be written.
    NothingToLearnError
        If scoring was stopped.
    """
    bundle, began = load_bundle(find_bundle(project, model)), time.monotonic()
    check_classes(project, bundle)
    role = role or (roles.TEST if slides_to_score(project, roles.TEST, bundle)[0] else roles.VAL)
    results = None
    if slides_to_score(project, role, bundle)[0]:
        results = yield from score_job(project, role, bundle.id, config=config)
    scored = [each["slide"] for each in results["slides"]] if results else []
    places = (yield from worst_places(project, bundle.id, scored)) if scored else []
    unlike = yield from unlike_slides(project, bundle, list(project.slides.values()))
    again = yield from reload_test(project, bundle.id, scored)
    found: dict[str, Any] = {
        "format": FORMAT,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "version": version("napari-pathseg"),
        "intended_use": INTENDED_USE,
        "identity": content.identity(project, bundle),
        "data": content.data(project),
        "partition": content.partition(project, bundle),
        "training": content.training(project, bundle),
        "results": results,
        "not_scored": "" if results else f"no slide of the role {role} is labelled.",
        "subgroups": content.subgroups(project, results),
        "before_after": content.compared_with_parent(project, bundle),
        "work": content.work(project),
        "unlike": [
            {"slide": slide, "difference": f"{each.kind} ({each.amount})"}
            for slide, differences in unlike.items()
            for each in differences
        ],
        "looks_known": bool(bundle.looks),
        "places": places,
        "reload": again,
        "commands": _commands(project, bundle, role, config),
        "effort": _effort(bundle, time.monotonic() - began),
    }
    found["warnings"] = content.warnings(found)
    return _write(project, found, folder)


def _effort(bundle: Bundle, seconds: float) -> dict[str, Any]:
    """Return the time and memory that training and this report took, and what computed the latter."""
    return {
        "training_seconds": bundle.seconds,
        "report_seconds": seconds,
        "report_peak_mb": _peak_bytes() / 1e6,
        "system": platform.platform(),
        "cores": psutil.cpu_count(),
    }


def _peak_bytes() -> int:
    """Return the most memory that this process had."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _commands(project: Project, bundle: Bundle, role: str, config: ScoreConfig) -> list[str]:
    """Return the command lines that train such a model, score it, and write this report."""
    name = shlex.quote(project.folder.name)
    scored = f"--model {bundle.id} --role {role} --tolerance-um {config.tolerance_um:g}"
    train = f"pathseg train {name} --from {bundle.parent or 'none'}"
    options = [_option(key, value) for key, value in bundle.config.items() if _is_chosen(key, value)]
    return [
        " ".join([train, *options]),
        f"pathseg score {name} {scored}",
        f"pathseg report {name} {scored} --out report",
    ]


def _is_chosen(key: str, value: object) -> bool:
    """Return whether a setting of a training differs from its default."""
    return any(field.name == key and field.default != value for field, _ in TrainConfig.described())


def _option(key: str, value: object) -> str:
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"


def _write(project: Project, found: Mapping[str, Any], folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        geojson = write_places(project, found["places"], folder)
        texts = {slide: path.read_text(encoding="utf8") for slide, path in geojson.items()}
        written = {HTML: page(found, texts), JSON: json.dumps(_without_pictures(found), indent=1) + "\n"}
        for name, text in written.items():
            with replace_file(folder / name) as partial:
                partial.write_text(text, encoding="utf8")
    except OSError as error:
        raise ProjectError(
            f"{folder} could not be written ({error.strerror or error}). Choose a folder that you may write to."
        ) from error
    return [*(folder / name for name in written), *geojson.values()]


def _without_pictures(found: Mapping[str, Any]) -> dict[str, Any]:
    places = [{key: value for key, value in place.items() if key != "picture"} for place in found["places"]]
    return {**found, "places": places}
