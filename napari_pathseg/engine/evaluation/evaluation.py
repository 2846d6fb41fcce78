"""Scores of a model's predictions on whole slides against the human-confirmed labels."""

from functools import partial
from typing import Any

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.engine.bundle import check_classes, find_bundle, load_bundle, weights_mtime
from napari_pathseg.engine.evaluation.instance_metrics import InstanceMetrics, instance_metrics, mean_instance_metrics
from napari_pathseg.engine.evaluation.metrics import Confusion, pool
from napari_pathseg.engine.events import Job, Progress, Stop, run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes

_TILE = 2048  # side of the squares compared at once
_MAX_INSTANCE_PIXELS = 4096**2  # of a mask; the watershed needs some 30 bytes for each

_Instances = dict[str, InstanceMetrics | None]  # by class name


def score(project: Project, role: str = "val", model: str | None = None) -> dict[str, Any]:
    """Score a model against the human-confirmed labels; predict missing slides first.

    Returns
    -------
    scores
        ``model``, ``role`` and ``classes`` in order.  Pooled over all labelled pixels: ``scores`` by
        class, ``pixel_error`` and ``confusion`` (rows are true classes, columns predicted ones).
        ``objects`` by class except Background: the mean of the slides' `InstanceMetrics`, None if no
        slide has any.  ``slides``: a list with all of these for each slide.  Instances are compared on
        complete slides of at most 4096 x 4096 mask pixels.

    Raises
    ------
    NothingToLearnError
        If no slide of the role has a labelled pixel.
    """
    return run(score_job(project, role, model))


def score_job(project: Project, role: str, model: str | None) -> Job[dict[str, Any]]:
    """Do what :func:`score` does as a job that reports its progress."""
    bundle = load_bundle(find_bundle(project, model))
    check_classes(project, bundle)
    records = [e for e in project.slides_with_role(role) if labelled_classes(e, project.counts(e.id))]
    if not records:
        raise NothingToLearnError(
            f"No slide of the role {role} in {project.folder.name} has a contour to score against. Annotate one, "
            "or choose another role."
        )
    stopped = NothingToLearnError(f"Scoring {bundle.id} was stopped. Score again when there is time.")
    mtime = weights_mtime(project, bundle.id)
    predictions = {e.id: project.find_prediction(bundle.id, e.id) for e in records}
    missing = [name for name, found in predictions.items() if found is None or not found.is_whole(mtime)]
    if missing:
        done = yield from predict(project, None, bundle.id, slides=missing)
        if len(done) < len(missing):
            raise stopped
    parts: dict[str, Confusion] = {}
    instances: dict[str, _Instances] = {}
    for number, record in enumerate(records):
        if isinstance((yield Progress(f"Scoring {record.id}", number / len(records), 0.0)), Stop):
            raise stopped
        parts[record.id], instances[record.id] = _compare(project, bundle.id, record)
    pooled = _summary(project.classes, pool(parts.values(), len(project.classes)), _mean(project.classes, instances))
    slides = [{"slide": name, **_summary(project.classes, part, instances[name])} for name, part in parts.items()]
    return {"model": bundle.id, "role": role, "classes": list(project.classes.names), **pooled, "slides": slides}


def _summary(classes: ClassTable, confusion: Confusion, instances: _Instances) -> dict[str, Any]:
    return {
        "scores": confusion.scores(classes.names),
        "pixel_error": confusion.pixel_error,
        "confusion": confusion.to_lists(),
        "objects": {name: found.to_json() if found else None for name, found in instances.items()},
    }


def _mean(classes: ClassTable, slides: dict[str, _Instances]) -> _Instances:
    names = classes.names[BACKGROUND:]
    return {name: mean_instance_metrics(instances[name] for instances in slides.values()) for name in names}


def _compare(project: Project, model: str, record: SlideRecord) -> tuple[Confusion, _Instances]:
    """Return the confusion matrix and the instance metrics of a slide."""
    prediction = project.find_prediction(model, record.id)
    assert prediction is not None
    read = partial(_read, prediction, GroundTruth(project, record))
    whole = Region(0, 0, *record.mask_shape)
    confusion = Confusion.empty(len(project.classes))
    for region in layout(whole, _TILE):
        confusion.add(*read(region))
    specs = project.classes.specs[BACKGROUND:]
    if not record.complete or whole.height * whole.width > _MAX_INSTANCE_PIXELS:
        return confusion, {spec.name: None for spec in specs}
    truth, predicted = read(whole)
    return confusion, {spec.name: instance_metrics(truth == spec.index, predicted == spec.index) for spec in specs}


def _read(prediction: Prediction, truth: GroundTruth, region: Region) -> tuple[UInt8Array, UInt8Array]:
    """Return the true and the predicted classes of a box."""
    return truth.labels(region), prediction.read(region)
