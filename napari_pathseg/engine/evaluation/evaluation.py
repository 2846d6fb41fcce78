"""Score a model's predictions on whole slides against the human-confirmed labels."""

from collections.abc import Sequence
from typing import Any

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import (
    Bundle,
    check_classes,
    find_bundle,
    learnt_slides,
    lineage,
    load_bundle,
    slides_to_score,
)
from napari_pathseg.engine.evaluation.answers import Answers, ScratchAnswer
from napari_pathseg.engine.evaluation.instance_metrics import InstanceMetrics, instance_metrics, mean_instance_metrics
from napari_pathseg.engine.evaluation.metrics import Confusion, collapsed_class, mean_dice, pool
from napari_pathseg.engine.events import Job, Progress, Stop, run
from napari_pathseg.engine.inference.predict import is_adapted, predict
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.held_out_parts import Parts, boxes_on_mask, parts_to_json
from napari_pathseg.projects.model_weights import weights_mtime
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

_TILE = 2048  # side of the regions that are compared at once
_MAX_INSTANCE_PIXELS = 4096**2  # of a mask; the watershed needs about 30 bytes per pixel

_Answer = Prediction | ScratchAnswer
_Instances = dict[str, InstanceMetrics | None]  # by class name


def score(project: Project, role: str = "val", model: str | None = None, *, adapt: bool = False) -> dict[str, Any]:
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
        at most 4096 x 4096 mask pixels.  With `adapt` also ``adapted``: the pooled ``scores`` and ``mean_dice`` of the
        model adapted to the scanner of each slide; all others are those of the plain model.

    Raises
    ------
    NothingToLearnError
        If no slide of the role has a labelled pixel.
    """
    return run(score_job(project, role, model, adapt=adapt))


def score_job(
    project: Project, role: str, model: str | None, slides: Sequence[str] | None = None, *, adapt: bool = False
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
    if not (yield from _predict_missing(project, bundle.id, records)):
        raise stopped
    confusions: dict[str, Confusion] = {}
    instances: dict[str, _Instances] = {}
    plain = Answers(project, bundle, PredictConfig())
    for number, record in enumerate(records):
        if isinstance((yield Progress(f"Scoring {record.id}", number / len(records), 0.0)), Stop):
            raise stopped
        answer: _Answer | None = project.find_prediction(bundle.id, record.id)
        if isinstance(answer, Prediction) and is_adapted(answer):
            answer = yield from plain.of_slide(record, parts)
        if answer is None:
            raise stopped
        confusions[record.id], instances[record.id] = _compare(project, answer, record, parts)
    pooled = pool(confusions.values(), project.classes.highest)
    scored = [
        {"slide": name, **_summary(project.classes, confusion, instances[name])}
        for name, confusion in confusions.items()
    ]
    names = list(project.classes.slot_names)
    adapted = {}
    if adapt:
        found = yield from _adapted_confusion(project, bundle, records, parts)
        if found is None:
            raise stopped
        adapted = {"adapted": {"scores": _class_scores(project.classes, found), "mean_dice": mean_dice(found)}}
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
        **adapted,
    }


def _predict_missing(project: Project, model: str, records: Sequence[SlideRecord]) -> Job[bool]:
    """Predict the slides that the model has not seen all of; return whether it was not stopped."""
    mtime = weights_mtime(project, model)
    predictions = {record.id: project.find_prediction(model, record.id) for record in records}
    missing = [name for name, saved in predictions.items() if saved is None or not saved.is_whole(mtime)]
    if not missing:
        return True
    return len((yield from predict(project, None, model, slides=missing))) == len(missing)


def _adapted_confusion(
    project: Project, bundle: Bundle, records: Sequence[SlideRecord], parts: Parts
) -> Job[Confusion | None]:
    """Return the pooled confusion matrix of a model that is adapted to each slide; None after a stop."""
    answers, confusions = Answers(project, bundle, PredictConfig(adapt=True)), list[Confusion]()
    for number, record in enumerate(records):
        if isinstance((yield Progress(f"Scoring {record.id} adapted", number / len(records), 0.0)), Stop):
            return None
        answer = yield from answers.of_slide(record, parts)
        if answer is None:
            return None
        confusions.append(_confusion(project, answer, record, parts))
    return pool(confusions, project.classes.highest)


def _class_scores(classes: ClassTable, confusion: Confusion) -> dict[str, dict[str, float | None]]:
    scores = confusion.scores(classes.slot_names)
    return {name: scores[name] for name in classes.names}


def _summary(classes: ClassTable, confusion: Confusion, instances: _Instances) -> dict[str, Any]:
    return {
        "scores": _class_scores(classes, confusion),
        "pixel_error": confusion.pixel_error,
        "confusion": confusion.to_lists(),
        "objects": {name: metrics.to_json() if metrics else None for name, metrics in instances.items()},
    }


def _mean(classes: ClassTable, slides: dict[str, _Instances]) -> _Instances:
    names = classes.names[BACKGROUND:]
    return {name: mean_instance_metrics(instances[name] for instances in slides.values()) for name in names}


def _compare(project: Project, answer: _Answer, record: SlideRecord, parts: Parts) -> tuple[Confusion, _Instances]:
    """Return the confusion matrix and the instance metrics of a slide, or of its held-out parts."""
    whole, specs = Region(0, 0, *record.mask_shape), project.classes.specs[BACKGROUND:]
    confusion = _confusion(project, answer, record, parts)
    if parts or not record.complete or whole.height * whole.width > _MAX_INSTANCE_PIXELS:
        return confusion, {spec.name: None for spec in specs}
    truth, predicted = GroundTruth(project, record).labels(whole), answer.read_with_glass(whole)
    return confusion, {spec.name: instance_metrics(truth == spec.index, predicted == spec.index) for spec in specs}


def _confusion(project: Project, answer: _Answer, record: SlideRecord, parts: Parts) -> Confusion:
    truth, confusion = GroundTruth(project, record), Confusion.empty(project.classes.highest)
    for box in boxes_on_mask(record, parts) if parts else [Region(0, 0, *record.mask_shape)]:
        for region in layout(box, _TILE):
            confusion.add(truth.labels(region), answer.read_with_glass(region))
    return confusion
