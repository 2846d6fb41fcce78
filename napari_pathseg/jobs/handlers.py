"""The handlers of the worker's commands: one function each, which returns a job or computes superpixels.

Each function imports what it needs, so that superpixels need not wait for torch to load.
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

SAMPLES_FILE = "variation.png"  # of augmentation, in the folder of the runs; overwritten each time


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
    from napari_pathseg.engine.training.training import train
    from napari_pathseg.jobs.run_log import record_run

    project = Project.open(command.project)
    job = train(project, command.config, command.parent, resume=command.resume)
    bundle = yield from record_run(job, project)
    return TrainingFinished(bundle.id, bundle.mean_dice)


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
    yield from predict(project, command.config, command.model, slides=command.slides, region=command.region)
    return PredictionFinished()


def _score(command: Score) -> Job[ScoringFinished]:
    from napari_pathseg.engine.evaluation.evaluation import score_job

    answer = yield from score_job(Project.open(command.project), command.role, command.model)
    return ScoringFinished(answer["model"], {name: found["dice"] for name, found in answer["scores"].items()})


def _sample_augmentation(command: SampleAugmentation) -> Job[AugmentationSampled]:
    """Draw a tile of the training slides, write augmented samples of it to a PNG; assign no roles."""
    from PIL import Image

    from napari_pathseg.engine.dataset.augmentation_preview import preview
    from napari_pathseg.engine.dataset.patches import PatchDataset
    from napari_pathseg.projects.checks.trainability import train_val_split

    yield from ()
    project, config = Project.open(command.project), command.config
    train, _ = train_val_split(project, {name: project.counts(name) for name in project.slides})
    with PatchDataset(project, train, config, cache=False) as dataset:
        samples = preview(dataset.draw(np.random.default_rng(command.seed)), config, command.seed)
    path = project.folder / "runs" / SAMPLES_FILE
    path.parent.mkdir(exist_ok=True)
    with replace_file(path) as partial:
        Image.fromarray(samples).save(partial, "PNG")
    return AugmentationSampled(str(path))


def compute_superpixels(command: ComputeSuperpixels) -> SuperpixelsReady:
    """Divide a box of a slide into superpixels and write them as ``.npy``.

    Raises
    ------
    PathsegError
        If the slide cannot be read.
    """
    from napari_pathseg.interactive.superpixels import superpixels

    path = Path(command.path)
    with Project.open(Path(command.project)).open_slide(command.slide) as slide:
        region = command.region.clip(grid_shape(slide.shape, command.downsample))
        patches = superpixels(slide.read_grid(region, command.downsample), command.size)
    with replace_file(path) as partial, partial.open("wb") as file:
        np.save(file, patches)
    return SuperpixelsReady(command.number, str(path), region)
