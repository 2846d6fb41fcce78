"""Use models: predict with one, score it, and convert weights from elsewhere."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import (
    CONTOURS,
    add_command,
    add_label_image_options,
    add_model_option,
    add_setting_options,
    add_slide_option,
    expand_patterns,
    given_settings,
    open_project,
    region,
)
from napari_pathseg.cli.output import Answer
from napari_pathseg.cli.progress import follow
from napari_pathseg.config import PredictConfig, ScoreConfig
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project


def add_commands(parsers: Any) -> None:
    """Add ``predict``, ``score`` and ``convert-weights``."""
    command = add_command(
        parsers,
        "predict",
        predict_slides,
        "predict slides and fill unlabelled pixels of their masks",
        project=False,
    )
    command.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PROJECT|IMAGE|FOLDER",
        help="the project folder, or with --bundle images and folders of images",
    )
    command.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="folder of a model, to predict images without a project"
    )
    command.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the files; needs --bundle")
    about = f"{CONTOURS}, mask, ome-tiff, ome-zarr or csv; needs --bundle (mask)"
    command.add_argument("--format", default="mask", metavar="FORMAT", help=about)
    add_label_image_options(command, "; needs --bundle")
    add_model_option(command)
    add_slide_option(command, "the slides of --role")
    command.add_argument(
        "--region", type=region, metavar="ROW,COL,HEIGHT,WIDTH", help="predict only this rectangle, in level-0 pixels"
    )
    command.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="spread the work over the workers of a dask scheduler, see pathseg cluster",
    )
    add_setting_options(command, PredictConfig)

    _add_score(parsers)
    command = add_command(
        parsers,
        "convert-weights",
        convert_weights,
        "convert a .pth file to safetensors without executing code from it",
        project=False,
    )
    command.add_argument("source", type=Path, metavar="IN.pth", help="the torch file")
    command.add_argument("target", type=Path, metavar="OUT.safetensors", help="the new file")


def _add_score(parsers: Any) -> None:
    command = add_command(parsers, "score", score_model, "score a model against the ground truth")
    add_model_option(command)
    command.add_argument(
        "--role", default="test", choices=("all", "train", "val", "test"), help="slides to score (test)"
    )
    add_setting_options(command, ScoreConfig)


def predict_slides(args: argparse.Namespace) -> Answer:
    """Predict slides and fill their masks, or predict images with a bundle."""
    config = given_settings(PredictConfig, args)
    if args.bundle is not None:
        return _predict_images(args, config)
    if args.out is not None or args.suffix or args.probabilities or args.pixels != "index" or args.format != "mask":
        raise ConfigError(
            "out, format, pixels, probabilities and suffix need --bundle. A project's predictions are stored in it; "
            "write them as images with pathseg export --format mask --what prediction."
        )
    if len(args.paths) != 1:
        raise ConfigError(f"predict was given {len(args.paths)} projects. Name one, or give images with --bundle.")
    args.project = args.paths[0]
    project = open_project(args)
    model = check_model(project, args.model)
    for name in args.slide or []:
        project.slide(name)  # raises for an unknown name
    from napari_pathseg.engine.inference.predict import fill_masks, predict
    from napari_pathseg.geometry import Region

    region = Region(*args.region) if args.region else None
    if args.scheduler:
        if region is not None:
            raise ConfigError("region cannot be predicted on a cluster. Leave out --scheduler, or --region.")
        from napari_pathseg.jobs.cluster import predict_on_cluster

        job = predict_on_cluster(project, args.scheduler, config, model, slides=args.slide)
    else:
        job = predict(project, config, model, slides=args.slide, region=region)
    predictions = follow(job)
    fill_masks(project, model, predictions)
    slides = [
        {
            "slide": p.slide,
            "seconds": p.seconds,
            "runtime": p.runtime,
            "pixels": p.pixels,
            "filled": not project.slide(p.slide).complete,
            "failed": [list(box.finer(project.slide(p.slide).downsample)) for box in p.failed],
        }
        for p in predictions
    ]
    return {"model": model, "slides": slides, "failed": sum(len(slide.failed) for slide in predictions)}


def _predict_images(args: argparse.Namespace, config: PredictConfig) -> Answer:
    if args.scheduler:
        raise ConfigError("scheduler needs a project that all workers see. Make one with pathseg new and pathseg add.")
    if args.out is None:
        raise ConfigError("out is missing. With --bundle, name the folder for the label images.")
    from napari_pathseg.engine.bundle import load_bundle
    from napari_pathseg.projects.exporting.export import ExportOptions
    from napari_pathseg.slides.folders import find_slides

    options = ExportOptions(
        format=args.format, what="prediction", pixels=args.pixels, probabilities=args.probabilities, suffix=args.suffix
    )
    load_bundle(args.bundle)  # raises without a model, before torch is loaded
    images, _ = find_slides(expand_patterns(args.paths))
    from napari_pathseg.engine.inference.image_prediction import predict_images

    predicted = follow(predict_images(args.bundle, images, args.out, config, options))
    again = ["The same command goes on with the rest."] if predicted.stopped else []
    return {"files": [str(path) for path in predicted.files], "failed": predicted.failed, "warnings": again}


def score_model(args: argparse.Namespace) -> Answer:
    """Score a model."""
    project = open_project(args)
    model = check_model(project, args.model)
    from napari_pathseg.engine.evaluation.evaluation import score_job
    from napari_pathseg.engine.evaluation.verdict import score_warnings

    answer = follow(score_job(project, args.role, model, config=given_settings(ScoreConfig, args)))
    return {**answer, "warnings": [*score_warnings(answer), *answer["notes"]]}


def convert_weights(args: argparse.Namespace) -> Answer:
    """Convert a torch file to safetensors without executing code from it."""
    from napari_pathseg.engine.networks.convert import convert_weights

    convert_weights(args.source, args.target)
    return {"files": [str(args.target)]}


def check_model(project: "Project", model: str | None) -> str:
    """Return the name of a model, the current one by default, after checking it; torch is not loaded for that."""
    from napari_pathseg.engine.bundle import check_classes, find_bundle, load_bundle

    folder = find_bundle(project, model)
    check_classes(project, load_bundle(folder))
    return folder.name
