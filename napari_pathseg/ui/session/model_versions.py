"""The models of the open project as versions: which is current, and whether a new one is kept."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from psygnal import Signal

from napari_pathseg.engine.bundle import find_bundle, load_bundle
from napari_pathseg.engine.evaluation.before_after import BeforeAfter, choose_current
from napari_pathseg.engine.rounds import drop_round, fold_round
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.model_versions import make_current, remove_models, rename_model, restore_models
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.undo_order import UndoStep
from napari_pathseg.ui.session.workspace import Workspace

_logger = logging.getLogger(__name__)


class _State(NamedTuple):
    """What a change of models changes: three settings of the project, and the comparison that is shown."""

    current: str
    removed: list[str]
    names: dict[str, str]
    compared: BeforeAfter | None
    discarded: bool


class ModelVersions:
    """Chooses, names, removes and restores models; each change emits `project_changed` of the workspace.

    Attributes
    ----------
    changed
        Emitted with each change that can be undone.
    compared
        The model that the last training made, compared with the one before it, until the user keeps it.
    discarded
        Whether the user has discarded it.
    rounds
        The models of the open project that rounds of a training that goes on by itself have made.
    """

    changed = Signal(UndoStep)

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._current_before = ""  # when it was discarded
        self.rounds: list[str] = []
        self.forget()

    def forget(self) -> None:
        """Forget the last training: another one begins, or the project is closed."""
        self.compared: BeforeAfter | None = None
        self.discarded = False

    # -- after a training

    def settle(self, model: str) -> bool:
        """Let a new model be current unless it is worse than the one before; return whether it is."""
        self.forget()
        project = self._workspace.require_project()
        try:
            self.compared = choose_current(project, load_bundle(find_bundle(project, model)))
        except PathsegError as error:  # reported where the model is used
            _logger.warning("%s is not compared: %s", model, error)
        return self.compared is not None and self.compared.worse

    def settle_round(self, model: str) -> float | None:
        """Keep the new model of a round if it is better than the one before, or they do not compare; else delete it.

        Of the rounds before only the last one stays in the tree.

        Returns
        -------
        gain
            The difference of the mean Dice on held-out slides, 0 if it is not kept; None if they do not compare.
        """
        project = self._workspace.require_project()
        self.settle(model)
        bundle = load_bundle(find_bundle(project, model))
        if bundle.is_copy or (self.compared is not None and self.compared.mean <= 0):
            self.forget()
            drop_round(project, model)
            if bundle.base in project.model_ids():
                make_current(project, bundle.base)
            return 0.0
        self.rounds.append(model)
        if bundle.parent in self.rounds:
            before = load_bundle(find_bundle(project, bundle.parent)).parent
            if before in self.rounds and fold_round(project, before):
                self.rounds.remove(before)
        return None if self.compared is None else self.compared.mean

    def keep(self) -> None:
        """Make the new model the current one; its comparison is over."""
        if self.compared is not None:
            with self._changing(f"{self.compared.model} was kept") as project:
                make_current(project, self.compared.model)
                self.forget()

    def discard(self) -> None:
        """Remove the new model and make the one before it current; `take_back` undoes that."""
        if self.compared is None or self.discarded:
            return
        with self._changing(f"{self.compared.model} was discarded") as project:
            self._current_before = project.current_model or ""
            remove_models(project, [self.compared.model])
            if self.compared.base in project.model_ids():
                make_current(project, self.compared.base)
            self.discarded = True

    def take_back(self) -> None:
        """Bring the model back that was discarded, and make current what was."""
        if self.compared is None or not self.discarded:
            return
        with self._changing(f"{self.compared.model} was brought back") as project:
            restore_models(project, [self.compared.model])
            if self._current_before in project.model_ids():
                make_current(project, self._current_before)
            self.discarded = False

    # -- any model

    def make_current(self, model: str) -> None:
        """Use a model where none is named."""
        with self._changing(f"{model} was made current") as project:
            make_current(project, model)

    def use_newest(self) -> None:
        """Make the newest model the current one, if there is any."""
        models = self._workspace.require_project().model_ids()
        if models:
            make_current(self._workspace.require_project(), models[-1])

    def rename(self, model: str, name: str) -> None:
        """Give a model a name that is shown beside its own; "" takes it away."""
        with self._changing(f"{model} was renamed") as project:
            rename_model(project, model, name)

    def remove(self, model: str) -> None:
        """Take a model off the list; `restore` brings it back."""
        with self._changing(f"{model} was removed") as project:
            remove_models(project, [model])
            self._forget(model)

    def restore(self, model: str) -> None:
        """Bring a removed model back."""
        with self._changing(f"{model} was brought back") as project:
            restore_models(project, [model])
            self._forget(model)

    @contextmanager
    def _changing(self, what: str) -> Iterator[Project]:
        """Give the project to change its models, which is one undo step; then everything hears of it, unless it fails.

        `what` says what was done, as in "m003 was discarded".
        """
        self._workspace.require_writable()
        project, before = self._workspace.require_project(), self._state()
        yield project
        after = self._state()
        self._workspace.project_changed.emit()
        if after != before:
            step = UndoStep(
                what=what,
                undo=lambda: self._set(before, after),
                can_undo=lambda: self._is_at(project, after),
                redo=lambda: self._set(after, before),
                can_redo=lambda: self._is_at(project, before),
            )
            self.changed.emit(step)

    def _state(self) -> _State:
        state = self._workspace.require_project().state
        return _State(state.current_model, state.removed_models, state.model_names, self.compared, self.discarded)

    def _is_at(self, project: Project, expected: _State) -> bool:
        """Return whether a project is open, and the settings of its models are as expected."""
        return self._workspace.project is project and self._state()[:3] == expected[:3]

    def _set(self, wanted: _State, expected: _State) -> None:
        """Set what a change has changed as it was before; a comparison only if no training has come since."""
        self._workspace.require_writable()
        with self._workspace.require_project().edit_state() as state:
            state.current_model, state.removed_models, state.model_names = wanted[:3]
        if self._state()[3:] == expected[3:]:
            self.compared, self.discarded = wanted[3:]
        self._workspace.project_changed.emit()

    def _forget(self, model: str) -> None:
        if self.compared is not None and self.compared.model == model:
            self.forget()
