"""Fine-tuning: the stages of a training, in order.

First the decoder is trained on cached features of the frozen encoder, so that a first overlay appears within seconds;
then the whole network is trained on freshly drawn tiles, at the end also on those that were held out (`last_pass`).
The exponential moving average (EMA) of the weights is validated and saved.  The best weights are written after each
validation and a checkpoint after each epoch, so that a killed run loses little and can resume.
"""

import math
from collections.abc import Generator, Iterator
from contextlib import ExitStack

from napari_pathseg.config import LIVE, LiveConfig, TrainConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import is_out_of_memory
from napari_pathseg.engine.evaluation.metrics import mean_dice
from napari_pathseg.engine.events import Event, Job, Note, Progress, Started
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.engine.live.tile_features import TileEncoder
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS
from napari_pathseg.engine.networks.linear_head import LinearHead
from napari_pathseg.engine.training.budget import LEAST_STEPS
from napari_pathseg.engine.training.last_pass import has_last_pass, learn_all
from napari_pathseg.engine.training.linear_fit import FindFeatures, LinearFit
from napari_pathseg.engine.training.plan import TrainingPlan, plan_resume, plan_training
from napari_pathseg.engine.training.trainer import Trainer
from napari_pathseg.errors import OutOfMemoryError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.portable import remove_tree

_LR_FACTORS = (0.2, 1.0, 5.0)  # multiples of the learning rate that the preset thorough tries
_TRIAL_SECONDS, _TRIAL_STEPS = 45.0, 60  # limits of each of these trials
_STAGE_SHARE = 4  # if steps are limited, the quick look and the learning rate search each get at most 1/4 of them
_MAX_NAN_STEPS = 3  # consecutive steps with a NaN loss before a restart
_MAX_RESTARTS = 3


def train(
    project: Project, config: TrainConfig | None = None, parent: str | None = "latest", *, resume: str | None = None
) -> Job[Bundle]:
    """Fine-tune a network on the human-confirmed labels of a project.

    Parameters
    ----------
    project
        The project: slides with the role *train* are trained on, those with the role *val* select the best weights.
        Without any, parts of the training slides are held out instead; see `projects.held_out_parts`.
    config
        The settings of the training.
    parent
        The model to start from; "latest" for the current one, or else the newest, with the same network, if any; None
        to train from scratch.
    resume
        The interrupted run to resume, or "" for the newest; its own settings then replace `config`.

    Returns
    -------
    job
        A generator of events that accepts `Stop` and `RequestPreview` and returns the best bundle.

    Raises
    ------
    NothingToLearnError
        If a class to segment has no labelled pixel, or the slides of a single patient are too small to hold out parts.
    BundleError
        If `parent` is unknown or has other classes, or weights are unavailable.
    ProjectError
        If there is no run to resume, or a link in the project leads out of it.
    OutOfMemoryError
        If not even a single tile fits into memory.
    """
    project.check_links()
    plan = plan_training(project, config or TrainConfig(), parent) if resume is None else plan_resume(project, resume)
    with ExitStack() as stack:
        trainer = _open_trainer(project, plan, stack)
        try:
            for event in _stages(trainer):
                trainer.handle_command((yield event))
            return trainer.bundle
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"Memory ran out while {plan.model_id} was training ({str(error).splitlines()[0]}). Lower batch or "
                "tile, or choose a smaller network; the best model so far is saved."
            ) from error
        finally:
            trainer.close()


def _open_trainer(project: Project, plan: TrainingPlan, stack: ExitStack) -> Trainer:
    """Return the trainer of a plan; `stack` closes its slides.  A run that cannot start is deleted."""
    started = (plan.run / "status.json").exists() or plan.checkpoint is not None
    try:
        training_set, validation_set = (
            stack.enter_context(
                PatchDataset(project, records, plan.config, held_out=plan.held_out, scored=records is plan.val)
            )
            for records in (plan.train, plan.val)
        )
        return Trainer(project, plan, training_set, validation_set)
    except BaseException:
        if not started:
            remove_tree(plan.run)
        raise


def _stages(trainer: Trainer) -> Iterator[Event]:
    plan = trainer.plan
    train, val = [record.id for record in plan.train], [record.id for record in plan.val]
    yield Started(plan.run.name, plan.model_id, plan.parent_id, train, val, parts=bool(plan.held_out))
    if plan.network.weights_note:
        yield Note(plan.network.weights_note)
    yield from (Note(text) for text in plan.notes)
    if trainer.config.preset == LIVE:
        yield from _fit_classifier(trainer)
        yield from trainer.finish()
        return
    if plan.checkpoint is None:
        yield from _prepare_network(trainer)
    if trainer.config.preset != "quick" or not _encoder_is_pretrained(trainer):
        yield from _train_network(trainer)
        if has_last_pass(trainer):
            yield from learn_all(trainer)
    yield from trainer.finish()


def _fit_classifier(trainer: Trainer) -> Iterator[Event]:
    """Fit the linear classifier to the features of the labelled tiles, as many as the time limit allows."""
    network, budget = trainer.state.network.eval(), trainer.budget
    assert isinstance(network, LinearHead)
    features = _features_for(trainer, network)
    fit = LinearFit(len(network.bias), network.widths, features, trainer.config.corrected_weight)
    for tiles, total in fit.read(trainer.training_set):
        left = budget.elapsed / tiles * (total - tiles)
        yield Progress("Reading", tiles / total, min(left, budget.left), 0, seconds=budget.elapsed)
        if tiles < total and (trainer.stopped or budget.left == 0):
            yield Note(f"The model learnt from {tiles} of {total} labelled tiles, as its time was over.")
            break
    fit.fit(network)
    trainer.state.adopt_fit()
    yield from trainer.validate()


def _features_for(trainer: Trainer, network: LinearHead) -> FindFeatures:
    """Return what finds the features of a tile where the live model keeps them, or computes them."""
    encoder = TileEncoder(network, trainer.device)
    if trainer.config.precision != "auto":  # all is computed in the one that was asked for
        return encoder.encode
    kept = KeptFeatures(trainer.project, LiveConfig(stain_norm=trainer.config.stain_norm))
    kept.adopt(network, encoder)
    return lambda slide, tile: kept.find_tile(slide, tile) or encoder.encode(slide, tile)


def _prepare_network(trainer: Trainer) -> Iterator[Event]:
    """Run the stages before the whole network trains: validation of the parent, quick look, learning rate search."""
    config, fine_tuned = trainer.config, trainer.plan.parent_id is not None
    quick = config.preset == "quick"
    if fine_tuned:
        yield from trainer.validate()  # new weights must beat the score of the parent
    if _encoder_is_pretrained(trainer) and (quick or (not fine_tuned and config.decoder_seconds > 0)):
        yield from _train_decoder(trainer)
    if quick or not fine_tuned:
        yield from trainer.validate()
    if config.preset == "thorough" and not trainer.stopped:
        yield from _search_learning_rate(trainer)
    trainer.state.reset_optimizer(decoder_only=False)
    trainer.budget.begin_stage(trainer.state.step)


def _train_network(trainer: Trainer) -> Iterator[Event]:
    """Train the whole network until the budget is spent, validation stops improving, or the user stops."""
    state, budget, learning_rate, nan_steps = trainer.state, trainer.budget, trainer.learning_rate, 0
    validated = state.step if trainer.plan.checkpoint is None else -1
    state.join_group(fresh=trainer.plan.checkpoint is None)
    trainer.save_checkpoint_if_due()
    while (progress := budget.stage_progress(state.step)) < 1 and not trainer.stopped:
        factor = trainer.schedule.factor(progress, budget.steps_in_stage(state.step))
        learning_rate = trainer.learning_rate * factor
        loss = trainer.training_step(learning_rate)
        yield from trainer.report("Training", learning_rate)
        nan_steps = 0 if math.isfinite(loss) else nan_steps + 1
        if nan_steps == _MAX_NAN_STEPS:
            nan_steps = 0
            if not (yield from _restart_from_best(trainer)):
                return
        if trainer.validation_due:
            yield from trainer.validate(learning_rate)
            validated = state.step
            if trainer.history.stale >= trainer.config.patience:
                yield Note("Training stopped early: validation no longer improves.")
                return
        if budget.reserve and budget.stage_progress(state.step) >= 1 and state.step < LEAST_STEPS:
            budget.reserve = 0.0  # too slow a machine for a last pass
        trainer.save_checkpoint_if_due()
    if state.step > validated:
        yield from trainer.validate(learning_rate)


def _restart_from_best(trainer: Trainer) -> Generator[Event, None, bool]:
    """Restart from the best weights at half the learning rate; return False after too many restarts."""
    trainer.restarts += 1
    if trainer.restarts > _MAX_RESTARTS:
        yield Note("Training stopped: the loss became NaN. Lower learning_rate, or train in fp32.", True)
        return False
    trainer.learning_rate /= 2
    trainer.state.restart_from(trainer.history.load_best_weights())
    trainer.state.join_group(fresh=True)
    yield Note(
        f"The loss became NaN; training restarted from its best weights, with learning rate "
        f"{trainer.learning_rate:g}. Lower learning_rate next time.",
        warning=True,
    )
    return True


def _encoder_is_pretrained(trainer: Trainer) -> bool:
    """Return whether the encoder's features are useful before training."""
    config = trainer.config
    return trainer.plan.parent_id is not None or (
        config.weights != "none" and NETWORK_KINDS[config.architecture].has_imagenet_weights
    )


def _train_decoder(trainer: Trainer) -> Iterator[Event]:
    """Train the decoder on cached features of the frozen encoder: the quick look."""
    budget, state, loader = trainer.budget, trainer.state, trainer.loader
    steps, seconds = _quick_look_budget(trainer)
    if budget.counts_steps and not steps:
        return
    start = budget.elapsed
    state.reset_optimizer(decoder_only=True)
    for batches, _ in enumerate(loader.cache_features(state.network), 1):
        yield from trainer.report("Reading")
        if trainer.stopped or (batches >= steps if budget.counts_steps else budget.elapsed > start + seconds / 3):
            break
    state.reset_optimizer(decoder_only=True)
    if trainer.config.preset == "quick":
        budget.begin_stage(state.step)
    attempts = 0  # includes steps with a NaN loss, so that the loop ends
    while not trainer.stopped:
        progress = attempts / steps if budget.counts_steps else (budget.elapsed - start) / max(seconds, 1e-9)
        if progress >= 1:
            break
        learning_rate = trainer.config.decoder_learning_rate * (0.5 * (1 + math.cos(math.pi * progress)) + 0.01)
        state.decoder_step(*loader.cached_batch(), learning_rate)
        attempts += 1
        yield from trainer.report("Quick look", learning_rate)
    loader.discard()


def _quick_look_budget(trainer: Trainer) -> tuple[int, float]:
    """Return the maximum steps, if steps are limited, and the maximum seconds of the quick look."""
    config, left = trainer.config, trainer.budget.left
    if config.preset == "quick":
        return config.steps, left
    return min(config.cached_tiles, config.steps // _STAGE_SHARE), min(config.decoder_seconds, left)


def _search_learning_rate(trainer: Trainer) -> Iterator[Event]:
    """Try several learning rates from the same weights and keep the rate with the highest Dice."""
    state, budget = trainer.state, trainer.budget
    steps = _TRIAL_STEPS
    if budget.counts_steps:
        steps = min(steps, trainer.config.steps // (_STAGE_SHARE * len(_LR_FACTORS)))
    if not steps:
        return
    initial = {name: tensor.clone() for name, tensor in state.ema_model.state_dict().items()}
    scores: dict[float, float] = {}
    for learning_rate in (trainer.learning_rate * factor for factor in _LR_FACTORS):
        state.restart_from(initial)
        first, end = state.step, math.inf if budget.counts_steps else budget.elapsed + _TRIAL_SECONDS
        while state.step < first + steps and budget.elapsed < end and not trainer.stopped:
            if not math.isfinite(trainer.training_step(learning_rate)):
                break
            yield from trainer.report("Searching the learning rate", learning_rate)
        scores[learning_rate] = mean_dice(trainer.score())
    trainer.learning_rate = max(scores, key=lambda rate: scores[rate])
    state.restart_from(initial)
    listed = ", ".join(f"{dice:.3f} with {rate:g}" for rate, dice in scores.items())
    yield Note(f"The learning rate is {trainer.learning_rate:g}: Dice {listed} after short trials.")
