"""Fine-tuning: the decoder on kept features, then everything, until it no longer improves.

While the encoder is frozen its features of a few tiles are computed once and kept, so that
the decoder learns in seconds and a first overlay appears.  Then the whole network learns
on freshly drawn tiles.  The weights that count are a running mean; the best of them are on
disk after each validation, the state of the run after each pass over the slides, so that a
killed run loses little and can be resumed.
"""

import math
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.evaluation.metrics import mean_dice
from napari_pathseg.engine.events import Event, Job, Note, Started
from napari_pathseg.engine.training.plan import TrainingPlan, plan_resume, plan_training
from napari_pathseg.engine.training.trainer import Trainer, is_out_of_memory
from napari_pathseg.errors import OutOfMemoryError
from napari_pathseg.projects.project import Project

_LR_FACTORS = (0.2, 1.0, 5.0)  # of the step size, that a thorough training tries
_TRIAL_SECONDS, _TRIAL_STEPS = 45.0, 60  # of such a trial, whichever is over first
_STEPS_APART = 4  # where steps count: at most one in so many is of the quick look, and one of that search
_MAX_NAN_STEPS = 3  # steps without a number after which it goes back to the best
_MAX_RESTARTS = 3  # times it does so


def train(
    project: Project, config: TrainConfig | None = None, parent: str | None = "latest", *, resume: str | None = None
) -> Job[Bundle]:
    """Fine-tune a network on what a person stands for in a project's masks.

    Parameters
    ----------
    project
        Its slides of the role *train* teach; those of the role *val* choose the best.
    config
        How to train.
    parent
        The model to start from; "latest" for the newest of the same network if there is one,
        None for none.
    resume
        The interrupted run to go on with, "" for the newest; its own settings count then.

    Returns
    -------
    job
        A generator of events that takes `Stop` and `Show` and returns the best bundle.

    Raises
    ------
    NothingToLearnError
        If a class to find has no labelled pixel, or no slide is held out.
    BundleError
        If `parent` is unknown or tells other classes, or weights cannot be had.
    ProjectError
        If there is no run to go on with.
    OutOfMemoryError
        If not even a single tile fits into memory.
    """
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
                f"Memory ran out while {plan.model_id} was learning ({str(error).splitlines()[0]}). Lower batch or "
                "tile, or choose a smaller network; its best so far is kept."
            ) from error
        finally:
            trainer.close()


def _open_trainer(project: Project, plan: TrainingPlan, stack: ExitStack) -> Trainer:
    """Return the trainer of a plan; `stack` closes its slides.  A run that cannot begin leaves nothing behind."""
    began = (plan.run / "status.json").exists() or plan.checkpoint is not None
    try:
        sets = (PatchDataset(project, entries, plan.config) for entries in (plan.train, plan.val))
        learning, held_out = (stack.enter_context(slides) for slides in sets)
        return Trainer(project, plan, learning, held_out)
    except BaseException:
        if not began:
            shutil.rmtree(plan.run)
        raise


def _stages(trainer: Trainer) -> Iterator[Event]:
    """Learn, in all stages, telling how it goes."""
    plan = trainer.plan
    train, val = [entry.id for entry in plan.train], [entry.id for entry in plan.val]
    yield Started(plan.run.name, plan.model_id, plan.parent_id, train, val)
    if plan.checkpoint is None:
        yield from _begin(trainer)
    if trainer.config.preset != "quick" or not _encoder_is_pretrained(trainer):
        yield from _train_network(trainer)
    if plan.parent_id is not None and trainer.history.best_step == 0:
        text = f"Nothing better than {plan.parent_id} was found on the held-out slides; {plan.model_id} is a copy."
        yield Note(text)
    yield from trainer.finish()


def _begin(trainer: Trainer) -> Iterator[Event]:
    """Bring a fresh network to where everything may learn."""
    config, learnt = trainer.config, trainer.plan.parent_id is not None
    quick = config.preset == "quick"
    if learnt:
        yield from trainer.validate()  # what the parent can is what must be beaten
    if _encoder_is_pretrained(trainer) and (quick or (not learnt and config.decoder_seconds > 0)):
        yield from _train_decoder(trainer)
    if quick or not learnt:
        yield from trainer.validate()
    if config.preset == "thorough" and not trainer.stopped:
        yield from _search_learning_rate(trainer)
    trainer.state.reset_optimizer(decoder_only=False)
    trainer.budget.begin_stage(trainer.state.step)


def _encoder_is_pretrained(trainer: Trainer) -> bool:
    """Whether the encoder starts from what it learnt before, so that its features are worth decoding."""
    config = trainer.config
    return trainer.plan.parent_id is not None or (config.weights != "none" and config.architecture != "unet-classic")


def _train_decoder(trainer: Trainer) -> Iterator[Event]:
    """Teach the decoder alone, on the frozen encoder's features of a few tiles."""
    budget, state, loader = trainer.budget, trainer.state, trainer.loader
    steps, seconds = _quick_look(trainer)
    if budget.counts_steps and not steps:
        return
    begin = budget.elapsed
    state.reset_optimizer(decoder_only=True)
    for read, _ in enumerate(loader.cache_features(state.network), 1):
        yield from trainer.tell("Reading")
        if trainer.stopped or (read >= steps if budget.counts_steps else budget.elapsed > begin + seconds / 3):
            break
    state.reset_optimizer(decoder_only=True)
    if trainer.config.preset == "quick":
        budget.begin_stage(state.step)
    made = 0  # a step without a number counts too, so that this ends
    while not trainer.stopped:
        share = made / steps if budget.counts_steps else (budget.elapsed - begin) / max(seconds, 1e-9)
        if share >= 1:
            break
        rate = trainer.config.decoder_learning_rate * (0.5 * (1 + math.cos(math.pi * share)) + 0.01)
        state.decoder_step(*loader.cached_batch(), rate)
        made += 1
        yield from trainer.tell("Quick look", rate)
    loader.discard()


def _quick_look(trainer: Trainer) -> tuple[int, float]:
    """Return the steps, where they count, and the longest seconds in which the decoder learns alone."""
    config, left = trainer.config, trainer.budget.left
    if config.preset == "quick":
        return config.steps, left
    return min(config.cached_tiles, config.steps // _STEPS_APART), min(config.decoder_seconds, left)


def _search_learning_rate(trainer: Trainer) -> Iterator[Event]:
    """Try some step sizes from the same start, and go on with the one whose Dice is highest."""
    state, budget = trainer.state, trainer.budget
    most = _TRIAL_STEPS
    if budget.counts_steps:
        most = min(most, trainer.config.steps // (_STEPS_APART * len(_LR_FACTORS)))
    if not most:
        return
    start = {name: tensor.clone() for name, tensor in state.ema_model.state_dict().items()}
    tried: dict[float, float] = {}
    for rate in (trainer.rate * share for share in _LR_FACTORS):
        state.restart_from(start)
        first, end = state.step, math.inf if budget.counts_steps else budget.elapsed + _TRIAL_SECONDS
        while state.step < first + most and budget.elapsed < end and not trainer.stopped:
            if not math.isfinite(trainer.step(rate)):
                break
            yield from trainer.tell("Searching the step size", rate)
        tried[rate] = mean_dice(trainer.score())
    trainer.rate = max(tried, key=lambda rate: tried[rate])
    state.restart_from(start)
    listed = ", ".join(f"{dice:.3f} with {rate:g}" for rate, dice in tried.items())
    yield Note(f"The step size is {trainer.rate:g}: Dice {listed} after short trials.")


def _train_network(trainer: Trainer) -> Iterator[Event]:
    """Teach the whole network on freshly drawn tiles."""
    state, rate, broken = trainer.state, trainer.rate, 0
    validated = state.step if trainer.plan.checkpoint is None else -1
    state.join_group(fresh=trainer.plan.checkpoint is None)
    trainer.save_checkpoint_if_due()
    while (share := trainer.budget.stage_progress(state.step)) < 1 and not trainer.stopped:
        rate = trainer.rate * trainer.schedule.factor(share, trainer.budget.steps_in_stage(state.step))
        broken = 0 if math.isfinite(trainer.step(rate)) else broken + 1
        yield from trainer.tell("Training", rate)
        if broken == _MAX_NAN_STEPS:
            broken = 0
            if not (yield from _restart_from_best(trainer)):
                return
        if trainer.validation_due:
            yield from trainer.validate(rate)
            validated = state.step
            if trainer.history.stale >= trainer.config.patience:
                yield Note("Training ended early: the held-out slides no longer improve.")
                return
        trainer.save_checkpoint_if_due()
    if state.step > validated:
        yield from trainer.validate(rate)


def _restart_from_best(trainer: Trainer) -> Generator[Event, None, bool]:
    """After steps without a number go back to the best weights at half the step size; return whether that helps."""
    trainer.returns += 1
    if trainer.returns > _MAX_RESTARTS:
        yield Note("Training ended: its loss is no number any more. Lower the step size, or train in fp32.", True)
        return False
    trainer.rate /= 2
    trainer.state.restart_from(trainer.history.load_best_weights())
    trainer.state.join_group(fresh=True)
    yield Note(
        f"The loss was no number any more; training went back to its best, with step size {trainer.rate:g}. "
        "Lower learning_rate next time.",
        warning=True,
    )
    return True
