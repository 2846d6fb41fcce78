"""Has the worker look for places: when the user asks for it, and after each training and prediction."""

from dataclasses import dataclass, replace

from psygnal import Signal

from napari_pathseg.engine.events import Event
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.protocol import (
    FindDisagreements,
    FindPlaces,
    PlacesFound,
    PredictionFinished,
    TrainingFinished,
    TuningFinished,
)
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.formatting import format_duration
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.live_controller import LiveController
from napari_pathseg.ui.session.training_controller import TrainingController
from napari_pathseg.ui.session.workspace import Workspace

OFFERED = 6  # places at a time
EMPTY = "Where your answer teaches a model most, on all slides, the best first. Press Find places."
NOTHING = "No place is left: all tissue that a model may learn from is labelled, or was skipped."
EMPTY_DISAGREEMENTS = "Where a model contradicts what is labelled, the surest first, to find errors. Press Find places."
NO_DISAGREEMENT = "No contradiction is left, apart from borders and what you corrected."


@dataclass(frozen=True)
class Wanted:
    """What places are looked for.

    Attributes
    ----------
    disagreements
        Places where a model contradicts the labels, instead of unlabelled tissue.
    pair
        The numbers of the class that is labelled and of that which a model found, to look for these only.
    model, slides
        The model that found it, None for the best to compare with; the slides to look at, () for all.
    """

    disagreements: bool = False
    pair: tuple[int, ...] = ()
    model: str | None = None
    slides: tuple[str, ...] = ()


class PlaceSearch:
    """Looks for places; `found` is emitted with them, `changed` when the search begins, goes on or ends.

    Attributes
    ----------
    wanted
        What is looked for.
    """

    changed = Signal()
    found = Signal(list)

    def __init__(self, workspace: Workspace, training: TrainingController, live: LiveController) -> None:
        self._workspace, self._training, self._live = workspace, training, live
        self._project: Project | None = None
        self._watched = False
        self._reset()
        workspace.project_changed.connect(self._on_project)
        training.run_changed.connect(self._on_run)
        training.ended.connect(self._on_ended)

    def _reset(self) -> None:
        self._running = self._waiting = self._due = self._over = False
        self._problem = self._note = ""
        self.wanted = Wanted()

    @property
    def running(self) -> bool:
        """Whether places are being looked for."""
        return self._running

    @property
    def auto(self) -> bool:
        """Whether places are looked for after each training and prediction."""
        return self._project is not None and self._project.state.finds_places

    def sentence(self, *, offered: bool) -> str:
        """Return what it does, why it failed, or what to do while nothing is `offered`; empty for nothing to say."""
        run = self._training.run
        if self._running and run is not None:
            left = f"{format_duration(run.seconds_left)} left" if run.seconds_left >= 1 else f"{run.fraction:.0%}"
            return f"Looking for places · {left.replace('%', ' %')}"
        if self._waiting:
            return "Looks for places as soon as the view is predicted."
        if self._problem or offered:
            return self._problem
        if self.wanted.disagreements:
            return (self._note or NO_DISAGREEMENT) if self._over else EMPTY_DISAGREEMENTS
        return NOTHING if self._over else EMPTY

    @property
    def note(self) -> str:
        """What the last search could not look at; empty for nothing to say."""
        return self._note

    def want(self, wanted: Wanted) -> None:
        """Look for something else from now on; a running search is ended."""
        if self._running:
            self._training.end_search()
        self.wanted, self._over, self._problem, self._note = wanted, False, "", ""
        self.changed.emit()

    def set_watched(self, watched: bool) -> None:
        """Note whether the user sees the places; else they are looked for once that is so."""
        self._watched = watched
        self._start_if_due()

    def set_auto(self, on: bool) -> None:
        """Look for places after each training and prediction, or not; the project remembers it."""
        self._workspace.require_writable()
        with self._workspace.require_project().edit_state() as state:
            state.finds_places = on
        self._start_if_due()
        self.changed.emit()

    def start(self) -> None:
        """Look for places; after the prediction of the view that follows a training, if that runs.

        Raises
        ------
        PathsegError
            If another job runs, or the project cannot be changed.
        """
        self._workspace.require_project()
        run = self._training.run
        if run is not None and run.active and run.gives_way and run.kind == JobKind.PREDICT:
            self._waiting = True
        else:
            self._waiting = self._due = False
            self._training.find_places(self._command())
            self._running, self._problem = True, ""
        self.changed.emit()

    def _command(self) -> FindPlaces | FindDisagreements:
        wanted, folder = self.wanted, str(self._workspace.require_project().folder)
        if wanted.disagreements:
            slides = list(wanted.slides) or None
            command = FindDisagreements(project=folder, count=OFFERED, slides=slides)
            return replace(command, model=wanted.model, pair=wanted.pair)
        return FindPlaces(project=folder, count=OFFERED, config=self._live.config)

    def start_unasked(self) -> None:
        """Look for places now or once that is possible, unless the user does not want that."""
        self._due = True
        self._start_if_due()

    def _start_if_due(self) -> None:
        due = self._waiting or (self._due and self.auto)
        if not due or not self._watched or self._training.active or self._workspace.read_only:
            return
        try:
            self.start()
        except PathsegError:  # it is due again after the next job, or when the user asks for it
            self._waiting = False

    def _on_project(self) -> None:
        if self._workspace.project is not self._project:
            self._project = self._workspace.project
            self._reset()

    def _on_run(self) -> None:
        if not self._running:
            return
        run = self._training.run
        searches = run is not None and run.kind == JobKind.PLACES
        self._running = run is not None and searches and run.active
        if not self._running:
            failed = run is not None and searches and run.broken
            self._problem = run.error if run is not None and failed else ""
            self._due = not failed  # another job came first, unless the places follow
        self.changed.emit()

    def _on_ended(self, event: Event) -> None:
        match event:
            case PlacesFound(places=places, note=note):
                self._due, self._note = False, note
                stopped = self._training.run is not None and self._training.run.stopping
                if places or not stopped:
                    self._over = True
                    self.found.emit(places)
                self.changed.emit()
            case PredictionFinished(stopped=stopped):
                self._due |= not stopped
            case TrainingFinished() | TuningFinished():
                self._due = True
                self.wanted = replace(self.wanted, model=None)  # the new models are asked, too
        self._start_if_due()
