"""The model before a new one, scored on the same held-out labels.

Its stored scores are used on slides whose labels are still those that it was scored on.  On the others it is scored
again, in the way that it reads slides itself.
"""

import logging
from collections.abc import Generator, Mapping

import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle, learnt_slides, lineage
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation.slide_scores import SlideScore, SlideTally
from napari_pathseg.engine.evaluation.validation import Validator
from napari_pathseg.engine.events import SCORING, Progress
from napari_pathseg.engine.training.plan import TrainingPlan
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project import Project

_logger = logging.getLogger(__name__)
Scores = Mapping[str, SlideScore]


def score_base(
    project: Project, plan: TrainingPlan, scores: Scores, device: Device
) -> Generator[Progress, None, Scores]:
    """Return how the model before a new one scores on the labels that the new one was scored on.

    Slides of which that model, or one that it was trained from, has learnt are left out: it would have an advantage.

    Parameters
    ----------
    project, plan
        The training, with the model before it.
    scores
        Of the new model, by slide.
    device
        Where the network computes.
    """
    try:
        models = lineage(project, plan.base) if plan.base else []
        if not models:
            return {}
        learnt = learnt_slides(models, list(scores), plan.held_out)
        wanted = {slide: score for slide, score in scores.items() if slide not in learnt}
        known = {slide: score for slide, score in models[0].slide_scores.items() if _fits(wanted, slide, score)}
        again = [slide for slide in wanted if slide not in known]
        if again:
            known |= yield from _score_again(project, plan, models[0], again, device)
        return known
    except PathsegError as error:  # the new model can be used without the comparison
        _logger.warning("%s is not compared with %s: %s", plan.model_id, plan.base, error)
        return {}


def _fits(wanted: Scores, slide: str, score: SlideScore) -> bool:
    return slide in wanted and wanted[slide].truth == score.truth


def _score_again(
    project: Project, plan: TrainingPlan, base: Bundle, slides: list[str], device: Device
) -> Generator[Progress, None, Scores]:
    network = load_network(project.folder / "models" / base.id)
    network.to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    config, classes = TrainConfig.known(base.config), max(base.network.classes, plan.spec.classes)
    tally = SlideTally(classes)
    records = [record for record in plan.val if record.id in slides]
    with PatchDataset(project, records, config, cache=False, held_out=plan.held_out, scored=True) as held_out:
        validator = Validator(held_out, classes, 1)
        total = validator.coverage.of
        for number, _ in enumerate(validator.scores_on_all(network, device, lambda tile: tile.count_in(tally)), 1):
            yield Progress(SCORING, number / total, 0.0)
    return tally.scores()
