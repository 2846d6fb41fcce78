"""Score a model's predictions on whole slides against the human-confirmed labels."""

from collections.abc import Sequence
from typing import Any

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.config import PredictConfig, ScoreConfig
from napari_pathseg.engine.bundle import (
    Bundle,
    check_classes,
    find_bundle,
    learnt_slides,
    lineage,
    load_bundle,
    slides_to_score,
)
from napari_pathseg.engine.evaluation.answers import Answers
from napari_pathseg.engine.evaluation.class_scores import (
    area_agreement,
    border_unit,
    calibration,
    class_scores,
    false_positives,
    lesion_counts,
    patient_scores,
    score_notes,
    slide_areas,
)
from napari_pathseg.engine.evaluation.instance_metrics import InstanceMetrics, instance_metrics, mean_instance_metrics
from napari_pathseg.engine.evaluation.metrics import Confusion, collapsed_class, mean_dice, pool
from napari_pathseg.engine.evaluation.score_text import score_sentences
from napari_pathseg.engine.evaluation.slide_evidence import TILE, Answer, SlideEvidence, compare_slide
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
from napari_pathseg.projects.test_uses import log_test_use

_MAX_INSTANCE_PIXELS = 4096**2  # of a mask; the watershed needs about 30 bytes per pixel

_DEFAULT = ScoreConfig()

_Instances = dict[str, InstanceMetrics | None]  # by class name


def score(
    project: Project, role: str = "val", model: str | None = None, *, adapt: bool = False, tolerance_um: float = 10.0
) -> dict[str, Any]:
    """Score a model against the human-confirmed labels; predict missing slides first.

    With the role "val" and no validation slide, it is scored on the parts of slides that its training held out.

    Returns
    -------
    scores
        ``model``, ``role``, ``classes`` in order and ``tolerance_um``.  Pooled over all labelled pixels: ``scores`` by
        class, see `class_scores` for what they are and for those that are missing; ``hd95_unit``, um or px;
        ``mean_dice`` over the classes that occur; ``pixel_error``; ``confusion`` (rows are true classes,
        columns predicted ones).  ``objects`` by class except Background: the mean of the slides' `InstanceMetrics`,
        None if no slide has any.  ``collapsed``: the class that is predicted everywhere, "" if several are.
        ``held_out_parts``: the level-0 boxes that were scored, by slide; empty if whole slides were.  ``learnt``: the
        slides that the model, or one it was trained from, has learnt from, on which scores are too high.
        ``by_patient``: means over patients with intervals, `patient_scores`.  ``areas``: `area_agreement`.
        ``false_positives``, ``lesions`` and ``calibration``: see these functions.  ``text``: the
        main scores in words; ``notes``: what limits them.
        ``slides``: a list with the patient, mpp of the mask, scores and areas of each slide.  Instances are compared
        on complete slides of at most 4096 x 4096 mask pixels.  With `adapt` also ``adapted``: the pooled ``scores``
        and ``mean_dice`` of the model adapted to the scanner of each slide; all others are those of the plain model.

    Raises
    ------
    NothingToLearnError
        If no slide of the role has a labelled pixel.
    """
    return run(score_job(project, role, model, config=ScoreConfig(adapt=adapt, tolerance_um=tolerance_um)))


def score_job(
    project: Project,
    role: str,
    model: str | None,
    slides: Sequence[str] | None = None,
    config: ScoreConfig = _DEFAULT,
) -> Job[dict[str, Any]]:
    """Return the scores of :func:`score`, as a job that reports its progress; `slides` limits it to these."""
    bundle = load_bundle(find_bundle(project, model))
    check_classes(project, bundle)
    records, parts = _to_score(project, role, bundle, slides)
    stopped = NothingToLearnError(f"Scoring {bundle.id} was stopped. Score it again for a result.")
    if not (yield from _predict_missing(project, bundle.id, records)):
        raise stopped
    evidence: list[SlideEvidence] = []
    instances: dict[str, _Instances] = {}
    plain = Answers(project, bundle, PredictConfig())
    for number, record in enumerate(records):
        if isinstance((yield Progress(f"Scoring {record.id}", number / len(records), 0.0)), Stop):
            raise stopped
        answer: Answer | None = project.find_prediction(bundle.id, record.id)
        if isinstance(answer, Prediction) and is_adapted(answer):
            answer = yield from plain.of_slide(record, parts)
        if answer is None:
            raise stopped
        evidence.append(compare_slide(project, answer, record, parts, config.tolerance_um))
        instances[record.id] = _instances(project, answer, record, parts)
    adapted = {}
    if config.adapt:
        found = yield from _adapted_confusion(project, bundle, records, parts)
        if found is None:
            raise stopped
        adapted = {"adapted": {"scores": _class_scores(project.classes, found), "mean_dice": mean_dice(found)}}
    log_test_use(project, bundle.id, "scored", [record.id for record in records])
    scored = {"tolerance_um": config.tolerance_um, **_answer(project.classes, evidence, instances)}
    return {
        "model": bundle.id,
        "role": role,
        **scored,
        "text": score_sentences(scored),
        "held_out_parts": parts_to_json(parts),
        "learnt": learnt_slides(lineage(project, bundle.id), [record.id for record in records], parts),
        **adapted,
    }


def _to_score(
    project: Project, role: str, bundle: Bundle, slides: Sequence[str] | None
) -> tuple[list[SlideRecord], Parts]:
    """Return the slides to score and the parts of them, see `slides_to_score`; `slides` limits it to these."""
    records, parts = slides_to_score(project, role, bundle)
    records = [record for record in records if slides is None or record.id in slides]
    if not records:
        on_parts = f"; val scores {bundle.id} on the parts of slides that it held out" if bundle.held_out else ""
        raise NothingToLearnError(
            f"No slide of the role {role} in {project.folder.name} has a contour to score against. Annotate one, "
            f"or choose another role{on_parts}."
        )
    return records, parts


def _answer(classes: ClassTable, evidence: Sequence[SlideEvidence], instances: dict[str, _Instances]) -> dict[str, Any]:
    """Return what was found on slides, as JSON values."""
    pooled, names = pool((slide.confusion for slide in evidence), classes.highest), list(classes.slot_names)
    by_patient = patient_scores(classes, evidence)
    scored = [
        {
            "slide": slide.record.id,
            "patient": slide.record.patient if slide.patient_is_known else None,
            "mask_mpp": slide.record.mask_mpp,
            **_summary(classes, [slide], instances[slide.record.id]),
            "areas": slide_areas(classes, slide),
        }
        for slide in evidence
    ]
    return {
        "classes": names,
        **_summary(classes, evidence, _mean(classes, instances)),
        "mean_dice": mean_dice(pooled),
        "slides": scored,
        "collapsed": collapsed_class(pooled, names),
        "by_patient": by_patient,
        "areas": area_agreement(classes, evidence),
        "false_positives": false_positives(classes, evidence),
        "lesions": lesion_counts(classes, evidence),
        "calibration": calibration(evidence),
        "notes": score_notes(evidence, by_patient),
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


def _summary(classes: ClassTable, slides: Sequence[SlideEvidence], instances: _Instances) -> dict[str, Any]:
    confusion = pool((slide.confusion for slide in slides), classes.highest)
    return {
        "scores": class_scores(classes, slides),
        "hd95_unit": border_unit(slides),
        "pixel_error": confusion.pixel_error,
        "confusion": confusion.to_lists(),
        "objects": {name: metrics.to_json() if metrics else None for name, metrics in instances.items()},
    }


def _mean(classes: ClassTable, slides: dict[str, _Instances]) -> _Instances:
    names = classes.names[BACKGROUND:]
    return {name: mean_instance_metrics(instances[name] for instances in slides.values()) for name in names}


def _instances(project: Project, answer: Answer, record: SlideRecord, parts: Parts) -> _Instances:
    """Return the instance metrics of a slide."""
    whole, specs = Region(0, 0, *record.mask_shape), project.classes.specs[BACKGROUND:]
    if parts or not record.complete or whole.height * whole.width > _MAX_INSTANCE_PIXELS:
        return {spec.name: None for spec in specs}
    truth, predicted = GroundTruth(project, record).labels(whole), answer.read_with_glass(whole)
    return {spec.name: instance_metrics(truth == spec.index, predicted == spec.index) for spec in specs}


def _confusion(project: Project, answer: Answer, record: SlideRecord, parts: Parts) -> Confusion:
    truth, confusion = GroundTruth(project, record), Confusion.empty(project.classes.highest)
    for box in boxes_on_mask(record, parts) if parts else [Region(0, 0, *record.mask_shape)]:
        for region in layout(box, TILE):
            confusion.add(truth.labels(region), answer.read_with_glass(region))
    return confusion
