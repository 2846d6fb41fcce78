"""The list of models in Review, as a tree of versions, and its menu."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QInputDialog, QMenu, QSizePolicy, QWidget
from superqt.utils import signals_blocked

from napari_pathseg.engine.exchange.export_formats import EXPORT_FORMATS
from napari_pathseg.projects.model_versions import removed_models
from napari_pathseg.projects.model_weights import LIVE_MODEL
from napari_pathseg.ui.session.formatting import format_model
from napari_pathseg.ui.session.queries import kept_live_model, project_tree
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.elided_choice import ElidedChoice
from napari_pathseg.ui.widgets.layout import MenuButton
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import menu_text

_CURRENT, _STEP = "● ", "\u2003"  # an em space, which a combo box does not collapse
_HELP = (
    "The model that predicts, newest first, with its Dice: the mean over the classes on what is held out.\n"
    "● is the current model, used where none is named.\n"
    "The live model is kept as it was when a slide was left or a training began.\n"
    "Right-click, or the button beside it: make it current, compare, export, rename, remove; Ctrl+Z takes it back."
)


class ModelChoice(QComboBox):
    """The models of the project, newest first, branches one step to the right; the current one is marked.

    Attributes
    ----------
    more
        The button beside it that opens its menu, too.
    compare_wanted
        Emitted with two models that the user wants to compare.
    """

    compare_wanted = Signal(str, str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._current: str | None = None  # the current model when the list was filled
        ElidedChoice(self)
        self.setToolTip(_HELP)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(20)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._open_menu)
        self.more = MenuButton("More about this model", [])
        self.more.choices.setToolTipsVisible(True)
        self.more.choices.aboutToShow.connect(self._fill_menu)

    def show_models(self) -> None:
        """Fill the list; the choice stays, but for another model that has become the current one."""
        project, chosen, shown = self._session.project, self.currentData(), self._current
        self._current = None if project is None else project.current_model
        names = {} if project is None else project.state.model_names
        tree, live = project_tree(self._session), kept_live_model(self._session)
        newest = max((bundle for _, bundle in tree), key=lambda bundle: bundle.id, default=None)
        with signals_blocked(self):
            self.clear()
            for depth, bundle in reversed(tree):
                mark = _CURRENT if bundle.id == self._current else ""
                text = format_model(bundle, newest, names.get(bundle.id, ""))
                self.addItem(_STEP * depth + mark + text, bundle.id)
            if live is not None:
                self.addItem(format_model(live, newest), live.id)
            keeps = self._current == shown and self.findData(chosen) >= 0
            self.setCurrentIndex(max(0, self.findData(chosen if keeps else self._current)))
            if not self.count():
                self.addItem("None yet: train one", None)

    def _open_menu(self, where: QPoint) -> None:
        self.more.choices.popup(self.mapToGlobal(where))

    def _fill_menu(self) -> None:
        """Fill the menu for the model that is chosen."""
        menu, model, session = self.more.choices, self.currentData(), self._session
        menu.clear()
        project = session.project
        if project is None:
            return
        version = model is not None and model != LIVE_MODEL
        changes = version and not session.read_only
        self._add(menu, "Make current", partial(session.models.make_current, model), changes and model != self._current)
        compare = menu.addMenu("Compare with")
        others = [(self.itemText(row), self.itemData(row)) for row in range(self.count())]
        for text, other in others:
            if compare is not None and version and other not in (model, LIVE_MODEL, None):
                self._add(compare, text.strip(), partial(self.compare_wanted.emit, str(model), str(other)), True)
        if compare is not None:
            compare.setEnabled(not compare.isEmpty() and not session.training.busy)
        exports = menu.addMenu("Export for other programs")
        for name, (label, _) in EXPORT_FORMATS.items():
            if exports is not None:
                self._add(exports, f"{label}…", partial(self._export, name), True)
        if exports is not None:
            exports.setEnabled(model is not None and not session.read_only and not session.training.busy)
        self._add(menu, "Rename…", self._rename, changes)
        self._add(menu, "Remove", partial(session.models.remove, model), changes and not session.training.busy)
        restore = menu.addMenu("Restore")
        for removed in removed_models(project):
            if restore is not None:
                self._add(restore, removed, partial(session.models.restore, removed), not session.read_only)
        if restore is not None:
            restore.setEnabled(not restore.isEmpty())

    def _add(self, menu: QMenu, text: str, act: Callable[[], None], enabled: bool) -> None:
        def run() -> None:
            with show_errors():
                act()

        action = menu.addAction(menu_text(text), run)
        if action is not None:
            action.setEnabled(enabled)

    def _export(self, format_name: str) -> None:
        """Ask for a folder, and write the model into it."""
        start = str(self._session.require_project().folder.parent)
        folder = QFileDialog.getExistingDirectory(self, "Export the model into a folder", start)
        if folder:
            self._session.training.export_model(self.currentData(), format_name, Path(folder))

    def _rename(self) -> None:
        """Ask for the name that is shown beside the model's own."""
        model, project = self.currentData(), self._session.require_project()
        name, given = QInputDialog.getText(
            self, f"Name of {model}", "Shown beside its number:", text=project.state.model_names.get(model, "")
        )
        if given:
            self._session.models.rename(model, name)
