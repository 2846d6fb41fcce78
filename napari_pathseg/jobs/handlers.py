"""Handle the worker's commands: one function each, which returns a job or computes superpixels.

Each function imports what it needs, so that superpixels do not wait for torch to load.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_pathseg.engine.events import Job, Progress, Trial
from napari_pathseg.geometry import grid_shape
from napari_pathseg.jobs.live import LiveService
from napari_pathseg.jobs.protocol import (
    AugmentationSampled,
    ComputeSuperpixels,
    ExportModel,
    FilesWritten,
    FindDisagreements,
    FindPlaces,
    JobFinished,
    OfferedPlace,
    PlacesFound,
    Predict,
    PredictionFinished,
    Report,
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

_SEARCH_GB = 0.2  # for features during a search, which looks at each tile once; the live model has its own
SAMPLES_FILE = "variation.png"  # augmentation samples, in the runs folder; overwritten each time


def create_job(command: StartJob, live: LiveService) -> Job[JobFinished]:
    """Return the job that a command starts, beside a live model."""
    match command:
        case Train():
            return _train(command, live)
        case Tune():
            return _tune(command)
        case Predict():
            return _predict(command)
        case Score():
            return _score(command)
        case Report():
            return _report(command)
        case ExportModel():
            return _export_model(command)
        case SampleAugmentation():
            return _sample_augmentation(command)
        case FindPlaces():
            return _find_places(command)
        case FindDisagreements():
            return _find_disagreements(command)
    raise AssertionError(command)


def _train(command: Train, live: LiveService) -> Job[TrainingFinished]:
    from napari_pathseg.engine.evaluation.verdict import judge
    from napari_pathseg.jobs.hand_over import train_beside_live
    from napari_pathseg.jobs.training import record_training

    project, live_dice = Project.open(command.project), None
    job = record_training(project, command.config, command.parent, resume=command.resume)
    if command.beside_live:
        bundle, live_dice = yield from train_beside_live(job, project, live)
    else:
        bundle = yield from job
    verdict = judge(project, bundle)
    return TrainingFinished(bundle.id, bundle.mean_dice, bundle.caveat, verdict.text, verdict.reliable, live_dice)


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
    from napari_pathseg.config import ScoreConfig
    from napari_pathseg.engine.evaluation.evaluation import score_job

    project, adapt = Project.open(command.project), command.adapt
    config = ScoreConfig(adapt=adapt)
    answer = yield from score_job(project, command.role, command.model, command.slides, config)
    plain, adapted = answer["scores"], answer["adapted"]["scores"] if adapt else {}
    dice, adapted_dice = ({name: scores["dice"] for name, scores in found.items()} for found in (plain, adapted))
    slides = [scored["slide"] for scored in answer["slides"]]
    finished = ScoringFinished(
        answer["model"], dice, slides, parts=bool(answer["held_out_parts"]), adapted=adapted_dice
    )
    areas = [(project.slide(scored["slide"]).mask_mpp, np.array(scored["confusion"])) for scored in answer["slides"]]
    mm2: list[list[float]] = []
    if all(mpp is not None for mpp, _ in areas):
        mm2 = sum(pixels * ((mpp or 0.0) / 1000) ** 2 for mpp, pixels in areas).tolist()  # type: ignore[union-attr]
    words = {"text": answer["text"], "notes": answer["notes"]}
    return replace(finished, confusion=answer["confusion"], confusion_mm2=mm2, **words)


def _report(command: Report) -> Job[FilesWritten]:
    from napari_pathseg.engine.report.report import report_job

    files = yield from report_job(Project.open(command.project), Path(command.folder), command.model)
    return FilesWritten([str(path) for path in files])


def _export_model(command: ExportModel) -> Job[FilesWritten]:
    from napari_pathseg.engine.bundle import find_bundle
    from napari_pathseg.engine.exchange.model_export import export_model

    yield Progress(f"Writing {command.model}", 0.0, 0.0)
    folder = find_bundle(Project.open(command.project), command.model)
    return FilesWritten([str(path) for path in export_model(folder, command.format, Path(command.folder))])


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


def _find_places(command: FindPlaces) -> Job[PlacesFound]:
    from napari_pathseg.engine.guidance.next_places import next_places

    project = Project.open(command.project)
    memory = min(_SEARCH_GB, command.config.memory_gb)
    found = []
    for place in (yield from next_places(project, command.count, config=command.config.replace(memory_gb=memory))):
        offered = OfferedPlace(place.slide, place.region, place.reason, place.area_mm2, place.between)
        found.append(_with_picture(project, offered))
    return PlacesFound(found)


def _find_disagreements(command: FindDisagreements) -> Job[PlacesFound]:
    from napari_pathseg.engine.guidance.disagreements import disagreements
    from napari_pathseg.masks.disagreement import Question

    project, question = Project.open(command.project), Question(*command.pair) if command.pair else None
    found = yield from disagreements(project, command.count, command.slides, command.model, question)
    places = []
    for place in found.places:
        specs = [project.classes.named(name) for name in (place.labelled, place.predicted)]
        offered = OfferedPlace(place.slide, place.region, place.reason, place.area_mm2)
        pair = tuple(spec.index for spec in specs if spec is not None)
        offered = replace(offered, pair=pair, confidence=place.confidence, model=place.model, learnt=place.learnt)
        places.append(_with_picture(project, offered))
    return PlacesFound(places, found.note)


def _with_picture(project: Project, place: OfferedPlace) -> OfferedPlace:
    from napari_pathseg.engine.guidance.pictures import picture_of
    from napari_pathseg.engine.live.packed import pack

    picture = picture_of(project, place.slide, place.region)
    return place if picture is None else replace(place, sides=picture.shape[:2], pixels=pack(picture))


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
