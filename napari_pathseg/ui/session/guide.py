"""The tour: six steps once round the loop on sample slides, each of which waits until it was really done.

It takes the place of the next-step line.  How far it is lies in the project, so it goes on after a pause.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from psygnal import Signal

from napari_pathseg.masks import Provenance
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.project_state import TourState
from napari_pathseg.projects.roles import TRAIN, VAL
from napari_pathseg.ui.session.next_step import NextStep, next_step
from napari_pathseg.ui.session.session import Session

_CLASSES = 2  # that are to be drawn


@dataclass(frozen=True)
class _Stop:
    """A step of the tour: what to do, the button that helps, and whether it was done."""

    text: str
    button: str
    action: str
    section: str
    done: Callable[["Guide"], bool]


class Guide:
    """Leads through the loop while it is on; `changed` is emitted when it begins or ends."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._hidden = self._decided = self._kept = False  # what was done during the step at hand
        session.live.changed.connect(self._note_overlay)
        session.places.decided.connect(self._note_decision)
        session.models.changed.connect(self._note_choice)

    @property
    def active(self) -> bool:
        """Whether the tour is on in the open project, which can be changed."""
        project = self._session.project
        return project is not None and not self._session.workspace.taken and project.state.tour.on

    @property
    def number(self) -> int:
        """The step at hand, from 1; 0 before the tour has begun, and one more than there are at its end."""
        return 0 if self._session.project is None else self._session.project.state.tour.step

    @property
    def paused(self) -> bool:
        """Whether the tour was left before its end in the open project."""
        return not self.active and 0 < self.number <= STEPS

    def start(self) -> None:
        """Begin the tour in the open project, or go on where it was left."""
        self._set(TourState(max(1, self.number), on=True))
        self.changed.emit()

    def leave(self) -> None:
        """End the tour; `start` goes on with it."""
        self._set(TourState(self.number, on=False))
        self.changed.emit()

    def step(self) -> NextStep | None:
        """Return the step at hand, past those that were done; None while the tour is off.

        Raises
        ------
        ProjectError
            If the project cannot be saved.
        """
        while self.active and self.number <= STEPS and _STOPS[self.number - 1].done(self):
            self._hidden = self._decided = self._kept = False
            self._set(TourState(self.number + 1, on=True))
        if not self.active:
            return None
        if self.number > STEPS:
            text = "That is the loop. F1 says more about each section."
            return NextStep(text, "End tour", "leave_tour", "slides", optional=True)
        before, stop = f"Tour {self.number}/{STEPS}:", _STOPS[self.number - 1]
        usual = next_step(self._session)
        if usual.action == "stop" or self._session.slide is None:  # a job runs, or there is nothing to draw on yet
            return replace(usual, text=f"{before} {usual.text}", optional=True)
        return NextStep(f"{before} {stop.text}", stop.button, stop.action, stop.section, label=2, optional=True)

    def _set(self, state: TourState) -> None:
        with self._session.require_project().edit_state() as stored:
            stored.tour = state

    # -- what was done

    def _note_overlay(self) -> None:
        layer = self._session.layers.live
        self._hidden |= layer is not None and not layer.visible

    def _note_decision(self, _: object) -> None:
        self._decided = True

    def _note_choice(self, _: object) -> None:
        self._kept = True

    def _has_drawn(self) -> bool:
        drawn = [self._session.counts(name)[1:, Provenance.DRAWN :] for name in self._to_draw_on]
        return sum(any(counts[label].any() for counts in drawn) for label in range(_CLASSES)) == _CLASSES

    @property
    def _to_draw_on(self) -> list[str]:
        """The slides that are not held out."""
        return [name for name, record in self._session.require_project().slides.items() if record.role != VAL]

    def _has_looked_beneath(self) -> bool:
        """Return whether the overlay was hidden and shown again."""
        layer = self._session.layers.live
        return self._hidden and layer is not None and layer.visible

    def _has_trained(self) -> bool:
        return not self._session.training.busy and bool(self._session.require_project().stored_models())

    def _sees_prediction(self) -> bool:
        record = self._session.slide
        if record is None or not self._session.places.watched:
            return False
        is_filled = bool(self._session.counts(record.id)[:, Provenance.MODEL].any())
        return is_filled or self._session.workspace.opinion is not None

    def _has_decided(self) -> bool:
        return self._decided

    def _has_second_model(self) -> bool:
        two = len(self._session.require_project().stored_models()) >= 2 and not self._session.training.busy
        return two and (self._kept or self._session.models.compared is None)


_STOPS = (
    _Stop(
        "Draw some Tumour (Alt+2) and Background (Alt+1).",
        "Brush",
        "brush",
        "outline",
        Guide._has_drawn,
    ),
    _Stop(
        "Hatched: what Live learnt. Shift+O hides and shows it.",
        "Hide",
        "toggle_live",
        "outline",
        Guide._has_looked_beneath,
    ),
    _Stop(
        "Train a network on it; about two minutes.",
        "Train",
        "train",
        "train",
        Guide._has_trained,
    ),
    _Stop(
        "Light areas are what it found here; see Review.",
        "Show it",
        "show_prediction",
        "review",
        Guide._sees_prediction,
    ),
    _Stop(
        "N: next place. A: the model is right. X: none here.",
        "Go there",
        "find_or_go",
        "review",
        Guide._has_decided,
    ),
    _Stop(
        "Paint over mistakes, train again, press Keep there.",
        "Train",
        "train",
        "train",
        Guide._has_second_model,
    ),
)
STEPS = len(_STOPS)


def make_tour_project(folder: Path, samples: list[Path]) -> None:
    """Create a project for the tour: a sample slide to draw on, one that is held out with its contours, and others.

    Raises
    ------
    ProjectError
        If `folder` exists already or cannot be written.
    """
    project = Project.create(folder)
    draw, held_out, *others = samples
    add_slides(project, [draw], AddOptions(role=TRAIN))
    add_slides(project, [held_out], AddOptions(contours=held_out.parent, role=VAL))
    add_slides(project, others)
