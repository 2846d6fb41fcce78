"""The next step for the user: a sentence and a button, derived from the state of the session alone."""

from dataclasses import dataclass

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.evaluation.verdict import is_reliable
from napari_pathseg.errors import PathsegError
from napari_pathseg.masks.prediction import covers_slide
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.review_progress import unreviewed_sentence
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.session.formatting import format_duration, plural, shorten
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.label_changes import changed_since
from napari_pathseg.ui.session.queries import all_progress, labelled_slides, undecided, unreviewed
from napari_pathseg.ui.session.session import Session


@dataclass(frozen=True)
class NextStep:
    """The next step, as the header shows it.

    Attributes
    ----------
    text
        A sentence for the user.
    button, action
        The label of the button, and the name of the action that it triggers.
    section
        The section of the dock that the step belongs to.
    slide
        The slide to show, if that is the action.
    label
        The class to outline, if that is the action.
    optional
        Whether the user can say no to it for good.
    """

    text: str
    button: str
    action: str
    section: str
    slide: str = ""
    label: int = 0
    optional: bool = False


def next_step(session: Session) -> NextStep:
    """Return the step that advances the project most."""
    project = session.project
    if (open_image := _open_image(session)) is not None:
        return open_image
    if project is None:
        return NextStep("Add slides to begin, or open a project in the menu above.", "Add slides…", "add", "slides")
    if not project.slides and session.background.active:
        return NextStep("Slides are being added.", "", "stop", "slides")
    if not project.slides:
        return NextStep("This project has no slides yet. Drop some here.", "Add slides…", "add", "slides")
    if session.workspace.taken:
        text = "You can look at this project and export it, but not change it."
        return NextStep(text, "Export…", "export", "export")
    if session.training.busy and session.training.run is not None and session.training.run.kind != JobKind.PREVIEW:
        return _running(session)
    labelled = labelled_slides(session)
    return _before_training(project, labelled) or _train_and_review(session, project, labelled)


def _open_image(session: Session) -> NextStep | None:
    """Return what to do about an image that the user opened in napari itself, or None."""
    opened, shown = session.open_images, session.slide
    if covering := opened.covering:
        text = f"“{shorten(covering[0].name)}” lies above the mask and hides strokes."
        return NextStep(text, "Move it below", "uncover", "slides")
    offered = [] if session.workspace.taken else opened.offered
    if not offered:
        return None
    images = opened.addable
    if not images:
        text = f"“{shorten(offered[0].name)}” has no file. Save it (File > Save Selected Layers…), then add it."
        return NextStep(text, "Add slides…", "add", "slides", optional=True)
    first, number = images[0], len(images)
    if number == 1 and first.slide:
        text = f"“{shorten(first.name)}” is the slide {first.slide} of this project."
        return NextStep(text, "Show it", "adopt", "slides", optional=True)
    what = f"“{shorten(first.name)}” is" if number == 1 else f"{number} images are"
    slide = "no slide" if number == 1 else "no slides"
    text = f"{what} {slide} yet: strokes go to {shown.id}." if shown is not None else f"{what} open, but {slide} yet."
    return NextStep(text, "Add as slide" if number == 1 else f"Add {number} slides", "adopt", "slides", optional=True)


def _running(session: Session) -> NextStep:
    run = session.training.run
    assert run is not None
    if run.stopping:
        what = "; the best model so far is kept" if run.trains else "; what is done is kept"
        kept = what if run.trains or run.kind == JobKind.PREDICT else ""
        return NextStep(f"{run.title} is stopping{kept}.", "Stop", "stop", "train" if run.trains else "review")
    left = f" About {format_duration(run.seconds_left)} left." if run.seconds_left >= 1 else ""
    if run.kind == JobKind.TRAIN:
        complete = session.slide is not None and session.slide.complete
        shown = "colours show where it differs from you" if complete else "the slide shows what it finds"
        if run.live_leads:
            shown = "the live model stays in view"
        return NextStep(f"A model is training; {shown}.{left}", "Stop", "stop", "train")
    return NextStep(f"{run.title}.{left}", "Stop", "stop", "train" if run.trains else "review")


def _before_training(project: Project, labelled: dict[str, set[int]]) -> NextStep | None:
    """Return the step that is missing before a first training, or None."""
    number = len(project.slides)
    wanted = project.classes.specs[1]
    if not labelled:
        text = (
            f"{plural(number, 'slide')}, no contours yet. Outline some {wanted.name}, or import contours under Slides."
        )
        return NextStep(text, "Outline", "brush", "outline", label=wanted.index)
    known = set[int]().union(*labelled.values())
    missing = next((spec for spec in project.classes if spec.index not in known), None)
    if missing is not None and missing.index > 1 and len(known) > 1:
        return None  # it is left out of the training, which says so
    if missing is not None and missing.index == 1:
        text = f"No {missing.name} yet. Outline some, or tick “This slide is complete”."
        return NextStep(text, "Outline", "brush", "outline", label=missing.index)
    if missing is not None:
        text = f"No slide shows {missing.name} yet. Outline or import some."
        return NextStep(text, "Outline", "brush", "outline", label=missing.index)
    return None


def _train_and_review(session: Session, project: Project, labelled: dict[str, set[int]]) -> NextStep:
    """Return the next step of a project that has enough contours."""
    model = project.current_model
    if model is None:
        text = f"{len(labelled)} of {plural(len(project.slides), 'slide')} have contours. Train a first model."
        if len({project.slides[name].patient for name in labelled}) < 2:
            text = "Contours of one patient: parts are held out, weaker evidence. Train a first model."
        return NextStep(text, "Train", "train", "train")
    shown = session.slide
    if kept := session.held_out.slide:
        held_out = "This slide" if shown is not None and shown.id == kept else shorten(kept)
        text = f"{held_out} is held out, not learnt. Hold out another instead?"
        return NextStep(text, "Learn from it", "learn_from", "train", kept)
    if kept := session.held_out.changed_part:
        text = "You changed a held-out part, outlined in orange: it scores models and is not learnt."
        return NextStep(text, "OK", "dismiss_part", "train", kept)
    if (poor := _poor_model(session, project, model)) is not None:
        return poor
    if session.places.watched and session.places.left:
        return _next_place(session)
    if shown is not None and unreviewed(session, shown.id):
        text = "Light areas are the model's. Paint over mistakes, then accept the view."
        return NextStep(text, "Accept view", "accept", "review")
    if undecided(session):
        text = "The model differs where coloured. Accept its outline, or reject it."
        return NextStep(text, "Accept view", "accept", "review")
    changed = changed_slides(session)
    if changed:
        return NextStep(_changed(changed, model), "Train", "train", "train")
    progress = all_progress(session)
    waiting = [name for name, one in progress.items() if one.unreviewed]
    if waiting:
        text = f"{unreviewed_sentence(progress.values())}. Review the next one."
        return NextStep(text, "Show it", "show", "review", waiting[0])
    unseen = [each for each in project.slides.values() if not each.complete and not _predicted(project, model, each)]
    if unseen:
        them = "it" if len(unseen) == 1 else "them"
        text = f"{model} has not seen all of {plural(len(unseen), 'slide')} yet. Predict and review {them}."
        return NextStep(text, "Predict all", "predict_all", "review")
    unfinished = [name for name, one in progress.items() if not one.done]
    if unfinished:
        first = unfinished[0]
        done = f"{shorten(first)} is {100 * progress[first].share:.0f} % done"
        text = f"{done}. Outline the rest, or tick it as complete."
        return NextStep(text, "Show it", "show", "outline", first)
    return NextStep("All slides are reviewed. Export the outlines, or add more slides.", "Export…", "export", "export")


def _next_place(session: Session) -> NextStep:
    """Return how to go on with the places that are offered."""
    checks = session.places.search.wanted.disagreements
    if session.places.framed and checks:
        text = "Who is right where outlined? A: the model, X: you, S skips."
        return NextStep(text, "The model", "accept_place", "review")
    if session.places.framed:
        text = "Is the frame right? A accepts, X: none here, S skips. Paint over mistakes first."
        return NextStep(text, "Accept frame", "accept_place", "review")
    if checks:
        text = f"{plural(session.places.left, 'place')} to check: a model contradicts you. N goes there."
        return NextStep(text, "Go there", "next_place", "review")
    left = "One place is" if session.places.left == 1 else f"{session.places.left} places are"
    return NextStep(
        f"{left} worth a look: your answer there teaches most. N goes there.", "Go there", "next_place", "review"
    )


def _predicted(project: Project, model: str, record: SlideRecord) -> bool:
    return covers_slide(project.prediction_path(model, record.id))


def _changed(number: int, model: str) -> str:
    them = "it" if number == 1 else "them"
    return f"You changed {plural(number, 'slide')} since {model}. Train again to learn from {them}."


def _poor_model(session: Session, project: Project, model: str) -> NextStep | None:
    """Return what to do about a model whose predictions are not for accepting, or None."""
    try:
        bundle = load_bundle(project.folder / "models" / model)
    except PathsegError:  # reported where the model is used
        return None
    if is_reliable(bundle):
        return None
    if changed := changed_slides(session):
        return NextStep(_changed(changed, model), "Train", "train", "train")
    wanted = project.classes.specs[1]
    text = f"{model} is not reliable yet (Dice {bundle.mean_dice:.2f}). Outline where it is wrong, train again."
    if bundle.collapsed:
        others = [spec for spec in project.classes if spec.name != bundle.collapsed]
        wanted = others[0]
        text = f"{model} collapsed: all is {bundle.collapsed}. Outline more {wanted.name}, train from scratch."
    return NextStep(text, "Outline", "brush", "outline", label=wanted.index)


def changed_slides(session: Session) -> int:
    """Return the number of slides that the next training learns from and that changed since; 0 if unknown."""
    project = session.project
    if project is None:
        return 0
    trained, models = project.state.trained_labels, (project.current_model, *project.model_ids()[-1:])
    if trained is None or trained.model not in models:
        return 0
    return len(changed_since(session.workspace, trained.pixels))
