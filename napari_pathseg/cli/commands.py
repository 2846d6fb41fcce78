"""The commands: each takes the parsed arguments and returns the answer that ``--json`` prints.

Slow imports are made where they are needed.
"""

import argparse
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_pathseg.cli.add import describe, expand, listed
from napari_pathseg.cli.output import Answer
from napari_pathseg.cli.progress import follow, follow_search
from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.errors import ConfigError
from napari_pathseg.settings import Settings

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project

_SettingsT = TypeVar("_SettingsT", bound=Settings)
_SEARCH_SECONDS = 600.0  # for moved files; longer than in the window, where the user waits


def new_project(args: argparse.Namespace) -> Answer:
    """Create a project."""
    from napari_pathseg.classes import DEFAULT_CLASSES, class_table
    from napari_pathseg.projects.project import Project

    classes = DEFAULT_CLASSES
    if args.classes:
        pairs = [text.partition("=") for text in args.classes]
        classes = class_table([(name, color or None) for name, _, color in pairs])
    project = Project.create(args.project, classes, args.mpp)
    return {"project": str(project.folder), "classes": list(classes.names)}


def add_to_project(args: argparse.Namespace) -> Answer:
    """Add slides with their contours."""
    from napari_pathseg.contours.alignment import AxisScaleTransform
    from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
    from napari_pathseg.projects.importing.contour_import import ImportOptions

    project = _open(args)
    chosen = {"contours": args.contours, "partial": args.partial, "negative": args.negative, "role": args.role}
    import_options = ImportOptions(_meanings(project, args.map or []), AxisScaleTransform(args.scale, args.swapped))
    options = AddOptions(**chosen, patient=args.patient, import_options=import_options)
    return describe(project, add_slides(project, expand(args.slides), options), args.contours)


def _meanings(project: "Project", pairs: list[str]) -> dict[str, int]:
    """Return the class index of each name in a file, from NAME=CLASS."""
    from napari_pathseg.classes import UNLABELLED

    numbers = {}
    for pair in pairs:
        name, _, wanted = pair.rpartition("=")
        spec = project.classes.find(wanted)
        if spec is None and wanted.casefold() != "unlabelled":
            known = ", ".join(project.classes.names)
            raise ConfigError(f'map is "{pair}"; {wanted!r} is not a class. The project has: {known}, Unlabelled.')
        numbers[name] = UNLABELLED if spec is None else spec.index
    return numbers


def split_project(args: argparse.Namespace) -> Answer:
    """Split the slides again, by patient."""
    from napari_pathseg.projects.splits import read_shares, split_project

    shares = read_shares({"train": args.train, "val": args.val, "test": args.test})
    given = split_project(_open(args), shares, args.seed)
    return {"roles": {role: [slide for slide in given if given[slide] == role] for role in ("train", "val", "test")}}


def relink_project(args: argparse.Namespace) -> Answer:
    """Find and relink slides whose files were moved."""
    from napari_pathseg.projects.relink import find_moved, missing, relink

    project = _open(args)
    begin = time.monotonic()
    found = follow_search(find_moved(project, args.folder, _SEARCH_SECONDS))
    relink(project, found)
    still = [record.id for record in missing(project)]
    answer = {"found": {slide: str(path) for slide, path in found.items()}, "missing": still}
    if not still:
        return answer
    ended = "" if time.monotonic() - begin < _SEARCH_SECONDS else f", in the {_SEARCH_SECONDS / 60:.0f} min of a search"
    text = f"Still missing: {listed(still)}; nothing in {args.folder} or below it has the same content{ended}. "
    return {**answer, "warnings": [text + "Name the folder that the files went to, or put them back."]}


def check_project(args: argparse.Namespace) -> Answer:
    """Report what would go wrong in training, and estimate its cost."""
    from napari_pathseg.engine.cost_model import estimate
    from napari_pathseg.projects.checks.checks import check

    project = _open(args)
    problems = check(project)
    answer: dict[str, Any] = {
        "ready": not any(problem.blocks for problem in problems),
        "problems": [{"text": problem.text, "blocks": problem.blocks} for problem in problems],
    }
    if answer["ready"]:
        found = estimate(project, TrainConfig())
        answer["estimate"] = {"minutes": found.minutes, "memory_gb": round(found.memory_gb, 2), "text": found.text}
    return answer


def train_model(args: argparse.Namespace) -> Answer:
    """Fine-tune a model."""
    config = _settings(TrainConfig, args)
    project = _open(args)
    from napari_pathseg.engine.training.training import train
    from napari_pathseg.jobs.run_log import record_run
    from napari_pathseg.projects.versions import TRAINING, create_versions

    parent = None if args.parent == "none" else args.parent
    create_versions(project, TRAINING)
    bundle = follow(record_run(train(project, config, parent, resume="" if args.resume else None), project))
    return {
        "model": bundle.id,
        "parent": bundle.parent,
        "scores": bundle.scores,
        "steps": bundle.steps,
        "seconds": bundle.seconds,
        "run": bundle.run,
        "folder": str(project.folder / "models" / bundle.id),
    }


def tune_model(args: argparse.Namespace) -> Answer:
    """Train with several combinations of settings."""
    from napari_pathseg.engine.search_space import TuneRequest

    config, parent = _settings(TrainConfig, args), None if args.parent == "none" else args.parent
    request = TuneRequest.read(args.vary, config, trials=args.trials, search=args.search, name=args.name, parent=parent)
    project = _open(args)
    from napari_pathseg.jobs.tuning import tune

    return follow(tune(project, request)).to_json()


def predict_slides(args: argparse.Namespace) -> Answer:
    """Predict slides into their masks, or images with a bundle."""
    config = _settings(PredictConfig, args)
    if args.bundle is not None:
        return _predict_images(args, config)
    if len(args.paths) != 1:
        raise ConfigError(f"predict was given {len(args.paths)} projects; name one, or give images with --bundle.")
    args.project = args.paths[0]
    project = _open(args)
    from napari_pathseg.engine.bundle import find_bundle
    from napari_pathseg.engine.inference.predict import fill_masks, predict
    from napari_pathseg.geometry import Region

    region = Region(*args.region) if args.region else None
    model = find_bundle(project, args.model).name
    done = follow(predict(project, config, model, slides=args.slide, region=region))
    fill_masks(project, model, done)
    slides = [
        {"slide": s.slide, "seconds": s.seconds, "pixels": s.pixels, "filled": not project.slide(s.slide).complete}
        for s in done
    ]
    return {"model": model, "slides": slides}


def _predict_images(args: argparse.Namespace, config: PredictConfig) -> Answer:
    if args.out is None:
        raise ConfigError("out is missing; with --bundle name the folder for the label images.")
    from napari_pathseg.engine.inference.predict import predict_images

    images = [Path(name) for name in expand(args.paths)]
    files = follow(predict_images(args.bundle, images, args.out, config))
    return {"files": [str(path) for path in files]}


def score_model(args: argparse.Namespace) -> Answer:
    """Score a model."""
    project = _open(args)
    from napari_pathseg.engine.evaluation.evaluation import score_job

    return follow(score_job(project, args.role, args.model))


def convert_weights(args: argparse.Namespace) -> Answer:
    """Convert a torch file to safetensors, without running code from it."""
    from napari_pathseg.engine.networks.convert import convert_weights

    convert_weights(args.source, args.target)
    return {"files": [str(args.target)]}


def export_project(args: argparse.Namespace) -> Answer:
    """Export masks or predictions."""
    from napari_pathseg.projects.exporting.export import ExportOptions, export

    chosen = {"what": args.what, "model": args.model, "slides": args.slide, "smooth_um": args.smooth_um}
    files = export(_open(args), args.out, ExportOptions(format=args.format, **chosen))
    return {"files": [str(path) for path in files]}


def convert_contours(args: argparse.Namespace) -> Answer:
    """Convert contours to another format."""
    from napari_pathseg.contours.conversion import convert_contours

    contours = convert_contours(args.source, args.target, args.slide, args.format)
    classes = Counter(contour.class_name or "(no class)" for contour in contours)
    return {"file": str(args.target), "contours": len(contours), "classes": dict(classes)}


def open_window(args: argparse.Namespace) -> Answer:
    """Open the window."""
    from napari_pathseg.ui.launch import open_window

    open_window(args.paths)
    return {}


def demo(args: argparse.Namespace) -> Answer:
    """Demonstrate annotation, training and correction."""
    from napari_pathseg.ui.demo.demo import run_demo, show_demo

    if args.headless is None:
        show_demo()
        return {}
    return run_demo(args.headless)


def _open(args: argparse.Namespace) -> "Project":
    from napari_pathseg.projects.project import Project

    return Project.open(args.project)


def _settings(kind: type[_SettingsT], args: argparse.Namespace) -> _SettingsT:
    given = {field.name: getattr(args, field.name) for field, _ in kind.described()}
    return kind(**{name: value for name, value in given.items() if value is not None})
