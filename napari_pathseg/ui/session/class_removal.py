"""Removing a class in the window: mask after mask in the background, so that a huge one stops nothing."""

from collections.abc import Sequence

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.projects.class_changes import check_removable, delete_predictions_with, replace_in_slide
from napari_pathseg.ui.session.background import Report, Steps, Work
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.session import Session


def remove_class(session: Session, number: int, into: int = UNLABELLED) -> None:
    """Remove a class from all masks in the background, then from the list; the class `into` takes over its pixels.

    Raises
    ------
    ProjectError
        If the class cannot be removed, or if files are being imported or a job is running.
    """
    session.require_quiet("then remove the class")
    session.workspace.require_writable()
    check_removable(session.require_project(), number, into)
    session.background.start(
        removing_class(session, number, into),
        lambda text: session.message.emit(text, "", "info"),
        lambda error: session.message.emit(str(error), "", "error"),
    )


def removing_class(session: Session, number: int, into: int = UNLABELLED) -> Steps[str]:
    """Return the flow that removes a class from all masks, then from the list; its result says what was done.

    The class is listed until no mask has a pixel of it, so that strokes that are painted with it meanwhile go, too.
    The slide that is being changed can only be looked at.  If the flow is stopped, the class stays, and each mask is
    either as it was or changed as a whole.
    """
    project = session.require_project()
    name = project.classes.name_of(number)
    title = f"Removing {name}" if into == UNLABELLED else f"Merging {name} into {project.classes.name_of(into)}"
    changed: list[str] = []
    while True:
        stopped = not (yield from session.editor.until_applied())
        slide = next((one for one in project.slides if session.counts(one)[number].any()), "")
        if not slide:
            break
        if stopped:
            return _stopped(name, changed)

        def replace(report: Report, slide: str = slide) -> tuple[bool, bool]:
            return replace_in_slide(project, slide, number, into, report), report(1.0)

        with session.importing(slide, f"{title}: this slide is being changed"):
            finished, stopped = yield Work(replace, title, writes=True)
        changed += [slide] if finished else []
        if stopped:
            return _stopped(name, changed)
    yield Work(lambda _: delete_predictions_with(project, number), title, writes=True)
    session.change_classes(project.classes.without(number, into))
    what = f"{name} was removed" if into == UNLABELLED else f"{name} is {project.classes.name_of(into)} now"
    number_of = len(dict.fromkeys(changed))
    back = f" on {plural(number_of, 'slide')}. Undo brings it back, slide by slide" if changed else ""
    return f"{what}{back}."


def _stopped(name: str, changed: Sequence[str]) -> str:
    where = f"; {plural(len(changed), 'slide')} changed, which undo takes back" if changed else ""
    return f"Stopped: {name} stays{where}."
