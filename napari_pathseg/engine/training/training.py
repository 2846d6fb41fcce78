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
from napari_pathseg.engine.dataset.patches import LearningSet
from napari_pathseg.engine.evaluation.metrics import mean_dice
from napari_pathseg.engine.events import Event, Job, Note, Started
from napari_pathseg.engine.training.plan import Plan, prepare, prepare_to_resume
from napari_pathseg.engine.training.trainer import Course, is_out_of_memory
from napari_pathseg.errors import OutOfMemoryError
from napari_pathseg.projects.project import Project

_RATES = (0.2, 1.0, 5.0)  # of the step size, that a thorough training tries
_TRIAL_SECONDS, _TRIAL_STEPS = 45.0, 60  # of such a trial, whichever is over first
_STEPS_APART = 4  # where steps count: at most one in so many is of the quick look, and one of that search
_BROKEN = 3  # steps without a number after which it goes back to the best
_RETURNS = 3  # times it does so


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
    plan = prepare(project, config or TrainConfig(), parent) if resume is None else prepare_to_resume(project, resume)
    with ExitStack() as stack:
        course = _open_course(project, plan, stack)
        try:
            for event in _stages(course):
                course.heed((yield event))
            return course.bundle
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"Memory ran out while {plan.model_id} was learning ({str(error).splitlines()[0]}). Lower batch or "
                "tile, or choose a smaller network; its best so far is kept."
            ) from error
        finally:
            course.close()


def _open_course(project: Project, plan: Plan, stack: ExitStack) -> Course:
    """Return the course of a plan; `stack` closes its slides.  A run that cannot begin leaves nothing behind."""
    began = (plan.run / "status.json").exists() or plan.state is not None
    try:
        sets = (LearningSet(project, entries, plan.config) for entries in (plan.train, plan.val))
        learning, held_out = (stack.enter_context(slides) for slides in sets)
        return Course(project, plan, learning, held_out)
    except BaseException:
        if not began:
            shutil.rmtree(plan.run)
        raise


def _stages(course: Course) -> Iterator[Event]:
    """Learn, in all stages, telling how it goes."""
    plan = course.plan
    train, val = [entry.id for entry in plan.train], [entry.id for entry in plan.val]
    yield Started(plan.run.name, plan.model_id, plan.parent_id, train, val)
    if plan.state is None:
        yield from _begin(course)
    if course.config.preset != "quick" or not _knows_something(course):
        yield from _learn_everything(course)
    if plan.parent_id is not None and course.record.best_step == 0:
        text = f"Nothing better than {plan.parent_id} was found on the held-out slides; {plan.model_id} is a copy."
        yield Note(text)
    yield from course.finish()


def _begin(course: Course) -> Iterator[Event]:
    """Bring a fresh network to where everything may learn."""
    config, learnt = course.config, course.plan.parent_id is not None
    quick = config.preset == "quick"
    if learnt:
        yield from course.validate()  # what the parent can is what must be beaten
    if _knows_something(course) and (quick or (not learnt and config.decoder_seconds > 0)):
        yield from _learn_decoder(course)
    if quick or not learnt:
        yield from course.validate()
    if config.preset == "thorough" and not course.stopped:
        yield from _search_rate(course)
    course.learner.begin(decoder_only=False)
    course.clock.begin_stage(course.learner.step)


def _knows_something(course: Course) -> bool:
    """Whether the encoder starts from what it learnt before, so that its features are worth decoding."""
    config = course.config
    return course.plan.parent_id is not None or (config.weights != "none" and config.architecture != "unet-classic")


def _learn_decoder(course: Course) -> Iterator[Event]:
    """Teach the decoder alone, on the frozen encoder's features of a few tiles."""
    clock, learner, supply = course.clock, course.learner, course.supply
    steps, seconds = _quick_look(course)
    if clock.by_steps and not steps:
        return
    begin = clock.elapsed
    learner.begin(decoder_only=True)
    for read, _ in enumerate(supply.keep_features(learner.network), 1):
        yield from course.tell("Reading")
        if course.stopped or (read >= steps if clock.by_steps else clock.elapsed > begin + seconds / 3):
            break
    learner.begin(decoder_only=True)
    if course.config.preset == "quick":
        clock.begin_stage(learner.step)
    made = 0  # a step without a number counts too, so that this ends
    while not course.stopped:
        share = made / steps if clock.by_steps else (clock.elapsed - begin) / max(seconds, 1e-9)
        if share >= 1:
            break
        rate = course.config.decoder_learning_rate * (0.5 * (1 + math.cos(math.pi * share)) + 0.01)
        learner.learn_decoder(*supply.kept(), rate)
        made += 1
        yield from course.tell("Quick look", rate)
    supply.forget()


def _quick_look(course: Course) -> tuple[int, float]:
    """Return the steps, where they count, and the longest seconds in which the decoder learns alone."""
    config, left = course.config, course.clock.left
    if config.preset == "quick":
        return config.steps, left
    return min(config.cached_tiles, config.steps // _STEPS_APART), min(config.decoder_seconds, left)


def _search_rate(course: Course) -> Iterator[Event]:
    """Try some step sizes from the same start, and go on with the one whose Dice is highest."""
    learner, clock = course.learner, course.clock
    most = _TRIAL_STEPS
    if clock.by_steps:
        most = min(most, course.config.steps // (_STEPS_APART * len(_RATES)))
    if not most:
        return
    start = {name: tensor.clone() for name, tensor in learner.mean_network.state_dict().items()}
    tried: dict[float, float] = {}
    for rate in (course.rate * share for share in _RATES):
        learner.start_over(start)
        first, end = learner.step, math.inf if clock.by_steps else clock.elapsed + _TRIAL_SECONDS
        while learner.step < first + most and clock.elapsed < end and not course.stopped:
            if not math.isfinite(course.step(rate)):
                break
            yield from course.tell("Searching the step size", rate)
        tried[rate] = mean_dice(course.score())
    course.rate = max(tried, key=lambda rate: tried[rate])
    learner.start_over(start)
    listed = ", ".join(f"{dice:.3f} with {rate:g}" for rate, dice in tried.items())
    yield Note(f"The step size is {course.rate:g}: Dice {listed} after short trials.")


def _learn_everything(course: Course) -> Iterator[Event]:
    """Teach the whole network on freshly drawn tiles."""
    learner, rate, broken = course.learner, course.rate, 0
    validated = learner.step if course.plan.state is None else -1
    learner.join(fresh=course.plan.state is None)
    course.keep_state()
    while (share := course.clock.share(learner.step)) < 1 and not course.stopped:
        rate = course.rate * course.schedule.factor(share, course.clock.steps_in_stage(learner.step))
        broken = 0 if math.isfinite(course.step(rate)) else broken + 1
        yield from course.tell("Training", rate)
        if broken == _BROKEN:
            broken = 0
            if not (yield from _go_back(course)):
                return
        if course.validation_due:
            yield from course.validate(rate)
            validated = learner.step
            if course.record.stale >= course.config.patience:
                yield Note("Training ended early: the held-out slides no longer improve.")
                return
        course.keep_state()
    if learner.step > validated:
        yield from course.validate(rate)


def _go_back(course: Course) -> Generator[Event, None, bool]:
    """After steps without a number go back to the best weights at half the step size; return whether that helps."""
    course.returns += 1
    if course.returns > _RETURNS:
        yield Note("Training ended: its loss is no number any more. Lower the step size, or train in fp32.", True)
        return False
    course.rate /= 2
    course.learner.start_over(course.record.best_weights())
    course.learner.join(fresh=True)
    yield Note(
        f"The loss was no number any more; training went back to its best, with step size {course.rate:g}. "
        "Lower learning_rate next time.",
        warning=True,
    )
    return True
