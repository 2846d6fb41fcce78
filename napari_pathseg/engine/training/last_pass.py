"""The last pass of a training: what is held out is learnt, too, once the model was scored without it.

A model then has two sets of weights.  Those from before the last pass were scored; they predict the held-out slides,
and further trainings start from them, so that held-out slides stay unseen.  Those from after it predict all other
slides: with few slides, a fifth of them teaches more than the last steps without them would.  Every other tile shows
what was held out, so that a short pass teaches as much of it as of the rest.
"""

import math
from collections.abc import Iterator

from torch import Tensor

from napari_pathseg.config import USUAL_BATCH
from napari_pathseg.engine.bundle_io import save_weights
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.evaluation.metrics import mean_dice
from napari_pathseg.engine.events import LAST_PASS, Event, Note
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.training.budget import LEAST_STEPS
from napari_pathseg.engine.training.trainer import Trainer
from napari_pathseg.projects.held_out_parts import join_names
from napari_pathseg.projects.model_weights import ALL_WEIGHTS

_PEAK = 0.6  # of the learning rate, as a fraction of the training's
_WARM_UP_STEPS = 10
_TOLERANCE = 0.02  # by which the Dice on what was held out may fall, now that it is learnt


def has_last_pass(trainer: Trainer) -> bool:
    """Return whether a training that has used all but its reserve goes on with a last pass."""
    learnt = trainer.history.best_step > 0  # else the parent's weights are the best, and the model is their copy
    return trainer.budget.reserve > 0 and trainer.state.step >= LEAST_STEPS and learnt and not trainer.stopped


def learn_all(trainer: Trainer) -> Iterator[Event]:
    """Train on all labelled slides; the result is saved beside the best weights.

    It starts from the last weights, from the best ones only after early stopping: which of them a few held-out slides
    find best is chance, and these are learnt now.  It is dropped if it finds less of what it has now learnt than the
    weights before it, or is stopped.
    """
    state, budget, plan = trainer.state, trainer.budget, trainer.plan
    records = {record.id: record for record in (*plan.train, *plan.val)}
    ran_to_its_end = budget.stage_progress(state.step) >= 1
    state.restart_from(_copy(state.ema_model) if ran_to_its_end else trainer.history.load_best_weights())
    budget.use_reserve(state.step)
    with PatchDataset(trainer.project, list(records.values()), trainer.config) as everything:
        everything.favour([record.id for record in plan.val])
        trainer.load_from(everything)
        loader = trainer.loader  # gradients of two tiles are too noisy to end with
        loader.accumulate = max(loader.accumulate, -(-USUAL_BATCH // loader.batch))
        try:
            while (progress := budget.stage_progress(state.step)) < 1 and not trainer.stopped:
                warm = min(1.0, (budget.steps_in_stage(state.step) + 1) / _WARM_UP_STEPS)
                learning_rate = trainer.learning_rate * _PEAK * warm * 0.5 * (1 + math.cos(math.pi * progress))
                if not math.isfinite(trainer.training_step(learning_rate)):
                    return
                yield from trainer.report(LAST_PASS, learning_rate)
        finally:
            trainer.loader.discard()
    assert trainer.history.best is not None
    if trainer.stopped or mean_dice(trainer.score()) < mean_dice(trainer.history.best) - _TOLERANCE:
        return
    save_weights(trainer.history.folder, state.ema_model.state_dict(), ALL_WEIGHTS)
    trainer.learnt_all = True
    yield Note(
        f"A last pass also learnt what is held out ({join_names([record.id for record in plan.val])}), to predict all "
        "other slides; the scores, and predictions of held-out slides, are those from before it."
    )


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
