"""A model's output on whole slides, scored against what a person stands for."""

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

_STRIP = 2048  # side of what is compared at once
_LARGEST_FOR_OBJECTS = 4096**2  # mask pixels; the watershed holds some 30 bytes of each

_Objects = dict[str, InstanceMetrics | None]  # by class name


def score(project: Project, role: str = "val", model: str | None = None) -> dict[str, Any]:
    """Score a model's output against what a person stands for; predict first where that is missing.

    Returns
    -------
    scores
        ``model``, ``role``, ``classes`` in order, and pooled over all labelled pixels ``scores``
        by class, ``pixel_error`` and ``confusion`` (rows are true classes, columns predicted
        ones); ``objects`` by class above Background, the mean over slides of
        `engine.objects.InstanceMetrics`, None where no slide allows them; ``slides``, a list with
        all of this slide by slide.  Objects are told on slides that are complete and no larger
        than 4096 x 4096 mask pixels.

    Raises
    ------
    NothingToLearnError
        If no slide of the role has a labelled pixel.
    """
    return run(score_job(project, role, model))


def score_job(project: Project, role: str, model: str | None) -> Job[dict[str, Any]]:
    """Do what :func:`score` does, telling how far it is."""
    bundle = load_bundle(find_bundle(project, model))
    check_classes(project, bundle)
    entries = [e for e in project.slides_with_role(role) if labelled_classes(e, project.counts(e.id))]
    if not entries:
        raise NothingToLearnError(
            f"No slide of the role {role} in {project.folder.name} has a contour to score against. Annotate one, "
            "or choose another role."
        )
    stopped = NothingToLearnError(f"Scoring {bundle.id} was stopped. Score again when there is time.")
    stamp = weights_mtime(project, bundle.id)
    predictions = {e.id: project.find_prediction(bundle.id, e.id) for e in entries}
    missing = [name for name, kept in predictions.items() if kept is None or not kept.is_whole(stamp)]
    if missing:
        done = yield from predict(project, None, bundle.id, slides=missing)
        if len(done) < len(missing):
            raise stopped
    parts: dict[str, Confusion] = {}
    objects: dict[str, _Objects] = {}
    for number, entry in enumerate(entries):
        if isinstance((yield Progress(f"Scoring {entry.id}", number / len(entries), 0.0)), Stop):
            raise stopped
        parts[entry.id], objects[entry.id] = _compare(project, bundle.id, entry)
    answer = _answer(project.classes, pool(parts.values(), len(project.classes)), _mean(project.classes, objects))
    slides = [{"slide": name, **_answer(project.classes, part, objects[name])} for name, part in parts.items()]
    return {"model": bundle.id, "role": role, "classes": list(project.classes.names), **answer, "slides": slides}


def _answer(classes: ClassTable, confusion: Confusion, objects: _Objects) -> dict[str, Any]:
    return {
        "scores": confusion.scores(classes.names),
        "pixel_error": confusion.pixel_error,
        "confusion": confusion.to_lists(),
        "objects": {name: found.to_json() if found else None for name, found in objects.items()},
    }


def _mean(classes: ClassTable, objects: dict[str, _Objects]) -> _Objects:
    names = classes.names[BACKGROUND:]
    return {name: mean_instance_metrics(of_slide[name] for of_slide in objects.values()) for name in names}


def _compare(project: Project, model: str, entry: SlideRecord) -> tuple[Confusion, _Objects]:
    """Return a slide's pixels by true and predicted class, and how well its objects are told."""
    prediction = project.find_prediction(model, entry.id)
    assert prediction is not None
    read = partial(_read, prediction, GroundTruth(project, entry))
    whole = Region(0, 0, *entry.mask_shape)
    confusion = Confusion.empty(len(project.classes))
    for region in layout(whole, _STRIP):
        confusion.add(*read(region))
    specs = project.classes.specs[BACKGROUND:]
    if not entry.complete or whole.height * whole.width > _LARGEST_FOR_OBJECTS:
        return confusion, {spec.name: None for spec in specs}
    truth, predicted = read(whole)
    return confusion, {spec.name: instance_metrics(truth == spec.index, predicted == spec.index) for spec in specs}


def _read(prediction: Prediction, truth: GroundTruth, region: Region) -> tuple[UInt8Array, UInt8Array]:
    """Return the true and the predicted classes of a box."""
    return truth.labels(region), prediction.read(region)
