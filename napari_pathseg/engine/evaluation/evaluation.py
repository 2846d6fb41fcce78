"""Score a model's predictions on whole slides against the human-confirmed labels."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.engine.bundle import (
    check_classes,
    find_bundle,
    learnt_slides,
    lineage,
    load_bundle,
    slides_to_score,
    weights_mtime,
)
from napari_pathseg.engine.evaluation.instance_metrics import InstanceMetrics, instance_metrics, mean_instance_metrics
from napari_pathseg.engine.evaluation.metrics import Confusion, collapsed_class, mean_dice, pool
from napari_pathseg.engine.events import Job, Progress, Stop, run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.held_out_parts import Parts, boxes_on_mask, parts_to_json
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

_TILE = 2048  # side of the regions that are compared at once
_MAX_INSTANCE_PIXELS = 4096**2  # of a mask; the watershed needs about 30 bytes per pixel

_Instances = dict[str, InstanceMetrics | None]  # by class name


def score(project: Project, role: str = "val", model: str | None = None) -> dict[str, Any]:
    """Score a model against the human-confirmed labels; predict missing slides first.

    With the role "val" and no validation slide, it is scored on the parts of slides that its training held out.

    Returns
    -------
    scores
        ``model``, ``role`` and ``classes`` in order.  Pooled over all labelled pixels: ``scores`` by
        class (None for one that does not occur), ``mean_dice`` over the classes that do, ``pixel_error`` and
        ``confusion`` (rows are true classes, columns predicted ones).
        ``objects`` by class except Background: the mean of the slides' `InstanceMetrics`, None if no
        slide has any.  ``collapsed``: the class that is predicted everywhere, "" if several are.
        ``held_out_parts``: the level-0 boxes that were scored, by slide; empty if whole slides were.  ``learnt``: the
        slides that the model, or one it was trained from, has learnt from, on which scores are too high.
        ``slides``: a list with the scores of each slide.  Instances are compared on complete slides of
        at most 4096 x 4096 mask pixels.

    Raises
    ------
    NothingToLearnError
        If no slide of the role has a labelled pixel.
    """
    return run(score_job(project, role, model))


def score_job(
    project: Project, role: str, model: str | None, slides: Sequence[str] | None = None
) -> Job[dict[str, Any]]:
    """Return the scores of :func:`score`, as a job that reports its progress; `slides` limits it to these."""
    bundle = load_bundle(find_bundle(project, model))
    check_classes(project, bundle)
    records, parts = slides_to_score(project, role, bundle)
    records = [record for record in records if slides is None or record.id in slides]
    if not records:
        on_parts = f"; val scores {bundle.id} on the parts of slides that it held out" if bundle.held_out else ""
        raise NothingToLearnError(
            f"No slide of the role {role} in {project.folder.name} has a contour to score against. Annotate one, "
            f"or choose another role{on_parts}."
        )
    stopped = NothingToLearnError(f"Scoring {bundle.id} was stopped. Score it again for a result.")
    mtime = weights_mtime(project, bundle.id)
    predictions = {record.id: project.find_prediction(bundle.id, record.id) for record in records}
    missing = [name for name, saved in predictions.items() if saved is None or not saved.is_whole(mtime)]
    if missing:
        predicted = yield from predict(project, None, bundle.id, slides=missing)
        if len(predicted) < len(missing):
            raise stopped
    confusions: dict[str, Confusion] = {}
    instances: dict[str, _Instances] = {}
    for number, record in enumerate(records):
        if isinstance((yield Progress(f"Scoring {record.id}", number / len(records), 0.0)), Stop):
            raise stopped
        confusions[record.id], instances[record.id] = _compare(project, bundle.id, record, parts)
    pooled = pool(confusions.values(), project.classes.highest)
    scored = [
        {"slide": name, **_summary(project.classes, confusion, instances[name])}
        for name, confusion in confusions.items()
    ]
    names = list(project.classes.slot_names)
    return {
        "model": bundle.id,
        "role": role,
        "classes": names,
        **_summary(project.classes, pooled, _mean(project.classes, instances)),
        "mean_dice": mean_dice(pooled),
        "slides": scored,
        "collapsed": collapsed_class(pooled, names),
        "held_out_parts": parts_to_json(parts),
        "learnt": learnt_slides(lineage(project, bundle.id), [record.id for record in records], parts),
    }


def _summary(classes: ClassTable, confusion: Confusion, instances: _Instances) -> dict[str, Any]:
    scores = confusion.scores(classes.slot_names)
    return {
        "scores": {name: scores[name] for name in classes.names},
        "pixel_error": confusion.pixel_error,
        "confusion": confusion.to_lists(),
        "objects": {name: metrics.to_json() if metrics else None for name, metrics in instances.items()},
    }


def _mean(classes: ClassTable, slides: dict[str, _Instances]) -> _Instances:
    names = classes.names[BACKGROUND:]
    return {name: mean_instance_metrics(instances[name] for instances in slides.values()) for name in names}


def _compare(project: Project, model: str, record: SlideRecord, parts: Parts) -> tuple[Confusion, _Instances]:
    """Return the confusion matrix and the instance metrics of a slide, or of its held-out parts."""
    prediction = project.find_prediction(model, record.id)
    assert prediction is not None
    read = partial(_read, prediction, GroundTruth(project, record))
    whole = Region(0, 0, *record.mask_shape)
    confusion = Confusion.empty(project.classes.highest)
    for box in boxes_on_mask(record, parts) if parts else [whole]:
        for region in layout(box, _TILE):
            confusion.add(*read(region))
    specs = project.classes.specs[BACKGROUND:]
    if parts or not record.complete or whole.height * whole.width > _MAX_INSTANCE_PIXELS:
        return confusion, {spec.name: None for spec in specs}
    truth, predicted = read(whole)
    return confusion, {spec.name: instance_metrics(truth == spec.index, predicted == spec.index) for spec in specs}


def _read(prediction: Prediction, truth: GroundTruth, region: Region) -> tuple[UInt8Array, UInt8Array]:
    """Return the true and the predicted classes in a region."""
    return truth.labels(region), prediction.read_with_glass(region)
