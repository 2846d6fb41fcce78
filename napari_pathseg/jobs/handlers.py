"""Handle the worker's commands: one function each, which returns a job or computes superpixels.

Each function imports what it needs, so that superpixels do not wait for torch to load.
"""

from pathlib import Path

import numpy as np

from napari_pathseg.engine.events import Job, Trial
from napari_pathseg.geometry import grid_shape
from napari_pathseg.jobs.protocol import (
    AugmentationSampled,
    ComputeSuperpixels,
    JobFinished,
    Predict,
    PredictionFinished,
    SampleAugmentation,
    Score,
    ScoringFinished,
    StartJob,
    SuperpixelsReady,
    Train,
    TrainingFinished,
    Tune,
    TuningFinished,
)
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import replace_file

SAMPLES_FILE = "variation.png"  # augmentation samples, in the runs folder; overwritten each time


def create_job(command: StartJob) -> Job[JobFinished]:
    """Return the job that a command starts."""
    match command:
        case Train():
            return _train(command)
        case Tune():
            return _tune(command)
        case Predict():
            return _predict(command)
        case Score():
            return _score(command)
        case SampleAugmentation():
            return _sample_augmentation(command)
    raise AssertionError(command)


def _train(command: Train) -> Job[TrainingFinished]:
    from napari_pathseg.engine.evaluation.verdict import judge
    from napari_pathseg.jobs.training import train

    project = Project.open(command.project)
    bundle = yield from train(project, command.config, command.parent, resume=command.resume)
    verdict = judge(project, bundle)
    return TrainingFinished(bundle.id, bundle.mean_dice, bundle.caveat, verdict.text, verdict.reliable)


def _tune(command: Tune) -> Job[TuningFinished]:
    from napari_pathseg.engine.search_space import TuneRequest
    from napari_pathseg.jobs.tuning import tune

    request = TuneRequest.read(command.vary, command.config, trials=command.trials, search=command.search)
    trials = (yield from tune(Project.open(command.project), request)).trials
    ranked = [
        Trial(rank, len(trials), trial.model, trial.settings, trial.score, trial.problem)
        for rank, trial in enumerate(trials, start=1)
    ]
    return TuningFinished(ranked)


def _predict(command: Predict) -> Job[PredictionFinished]:
    from napari_pathseg.engine.inference.predict import predict

    project = Project.open(command.project)
    done = yield from predict(project, command.config, command.model, slides=command.slides, region=command.region)
    return PredictionFinished(stopped=len(done) < len(command.slides))


def _score(command: Score) -> Job[ScoringFinished]:
    from napari_pathseg.engine.evaluation.evaluation import score_job

    answer = yield from score_job(Project.open(command.project), command.role, command.model, command.slides)
    dice = {name: scores["dice"] for name, scores in answer["scores"].items()}
    slides = [scored["slide"] for scored in answer["slides"]]
    return ScoringFinished(answer["model"], dice, slides, parts=bool(answer["held_out_parts"]))


def _sample_augmentation(command: SampleAugmentation) -> Job[AugmentationSampled]:
    """Draw a tile from the training slides and write augmented samples of it to a PNG, without assigning roles."""
    from PIL import Image

    from napari_pathseg.engine.dataset.augmentation_preview import augmentation_grid
    from napari_pathseg.engine.dataset.patches import PatchDataset
    from napari_pathseg.projects.checks.trainability import train_val_split

    yield from ()
    project, config = Project.open(command.project), command.config
    train, _ = train_val_split(project, {name: project.counts(name) for name in project.slides})
    with PatchDataset(project, train, config, cache=False) as dataset:
        samples = augmentation_grid(dataset.draw(np.random.default_rng(command.seed)), config, command.seed)
    path = project.folder / "runs" / SAMPLES_FILE
    path.parent.mkdir(exist_ok=True)
    with replace_file(path) as partial:
        Image.fromarray(samples).save(partial, "PNG")
    return AugmentationSampled(str(path))


def compute_superpixels(command: ComputeSuperpixels) -> SuperpixelsReady:
    """Divide a region of a slide into superpixels and write them as ``.npy``.

    Raises
    ------
    PathsegError
        If the slide cannot be read.
    """
    from napari_pathseg.interactive.superpixels import superpixels

    path = Path(command.path)
    with Project.open(Path(command.project)).open_slide(command.slide) as slide:
        region = command.region.clip(grid_shape(slide.shape, command.downsample))
        labels = superpixels(slide.read_grid(region, command.downsample), command.size)
    with replace_file(path) as partial, partial.open("wb") as file:
        np.save(file, labels)
    return SuperpixelsReady(command.number, str(path), region)
