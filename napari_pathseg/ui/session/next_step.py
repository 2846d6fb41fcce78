"""The next step for the user: a sentence and a button, derived from the state of the session alone."""

from dataclasses import dataclass

from napari_pathseg.projects import roles
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.session.formatting import format_duration, plural
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.queries import labelled_slides, unreviewed
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
    """

    text: str
    button: str
    action: str
    section: str
    slide: str = ""


def next_step(session: Session) -> NextStep:
    """Return the step that advances the project most."""
    project = session.project
    if project is None:
        return NextStep("Add slides to begin, or open a project in the menu above.", "Add slides…", "add", "slides")
    if not project.slides:
        return NextStep("This project has no slides yet. Drop some here.", "Add slides…", "add", "slides")
    if session.read_only:
        text = "You can look at this project and export it, but not change it."
        return NextStep(text, "Export…", "export", "export")
    if session.training.active and session.training.run is not None and session.training.run.kind != JobKind.PREVIEW:
        return _running(session)
    labelled = labelled_slides(session)
    return _before_training(project, labelled) or _train_and_review(session, project, labelled)


def _running(session: Session) -> NextStep:
    run = session.training.run
    assert run is not None
    left = f" About {format_duration(run.seconds_left)} left." if run.seconds_left >= 1 else ""
    if run.kind == JobKind.TRAIN:
        complete = session.slide is not None and session.slide.complete
        shown = "yellow marks what it finds" if complete else "the slide shows what it finds"
        return NextStep(f"A model is training; {shown}.{left}", "Stop", "stop", "train")
    return NextStep(f"{run.title}.{left}", "Stop", "stop", "train" if run.trains else "review")


def _before_training(project: Project, labelled: dict[str, set[int]]) -> NextStep | None:
    """Return the step that is missing before a first training, or None."""
    number, records = len(project.slides), project.slides
    wanted = project.classes.specs[1].name
    if not labelled:
        text = f"{plural(number, 'slide')}, no contours yet. Outline some {wanted}, or import contours under Slides."
        return NextStep(text, "Outline", "brush", "outline")
    chosen_roles = {records[name].role for name in labelled} - {roles.AUTO}
    if len({records[name].patient for name in labelled}) < 2 and not {roles.TRAIN, roles.VAL} <= chosen_roles:
        text = "All contours are from one patient. A model is scored on another patient's slide; outline one."
        other = _unlabelled_slide(project, labelled)
        if other is None:
            return NextStep(text, "Add slides…", "add", "slides")
        return NextStep(text, "Show one", "show", "outline", other.id)
    known = set[int]().union(*labelled.values())
    missing = next((spec for spec in project.classes if spec.index not in known), None)
    if missing is not None and missing.index == 1:
        text = f"No {missing.name} yet. Outline some, or tick “This slide is complete” where everything is outlined."
        return NextStep(text, "Outline", "brush_background", "outline")
    if missing is not None:
        return NextStep(f"No slide shows {missing.name} yet. Outline or import some.", "Outline", "brush", "outline")
    return None


def _unlabelled_slide(project: Project, labelled: dict[str, set[int]]) -> SlideRecord | None:
    patients = {project.slides[name].patient for name in labelled}
    return next((record for record in project.slides.values() if record.patient not in patients), None)


def _train_and_review(session: Session, project: Project, labelled: dict[str, set[int]]) -> NextStep:
    """Return the next step of a project that has enough contours."""
    models = project.model_ids()
    if not models:
        text = f"{len(labelled)} of {plural(len(project.slides), 'slide')} have contours. Train a first model."
        return NextStep(text, "Train", "train", "train")
    newest, shown = models[-1], session.slide
    if shown is not None and unreviewed(session, shown.id):
        text = "Light areas are the model's. Paint over mistakes, then accept the view."
        return NextStep(text, "Accept view", "accept", "review")
    changed = changed_slides(session)
    if changed:
        text = f"You changed {plural(changed, 'slide')} since {newest}. Train again to learn from it."
        return NextStep(text, "Train", "train", "train")
    waiting = [record for record in project.slides.values() if unreviewed(session, record.id)]
    if waiting:
        text = f"{plural(len(waiting), 'slide')} with unreviewed predictions. Review the next one."
        return NextStep(text, "Show it", "show", "review", waiting[0].id)
    unseen = [each for each in project.slides.values() if not each.complete and not _predicted(project, newest, each)]
    if unseen:
        text = f"{newest} has not seen {plural(len(unseen), 'slide')} yet. Predict and review them."
        return NextStep(text, "Predict all", "predict_all", "review")
    return NextStep("All slides are reviewed. Export the outlines, or add more slides.", "Export…", "export", "export")


def _predicted(project: Project, model: str, record: SlideRecord) -> bool:
    return project.prediction_path(model, record.id).exists()


def changed_slides(session: Session) -> int:
    """Return the number of slides annotated since the newest model was trained; 0 if unknown."""
    project = session.project
    if project is None:
        return 0
    trained, models = project.state.trained_labels, project.model_ids()
    if trained is None or not models or trained.model != models[-1]:
        return 0
    now = session.workspace.labelled_pixels()
    return sum(now.get(name) != trained.pixels.get(name) for name in {*now, *trained.pixels})
