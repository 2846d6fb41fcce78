"""Taking slides off the list and bringing them back: a button for those removed last, a menu for all."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QMenu

from napari_pathseg.projects.removed_slides import removed_slides
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import push_button
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import menu_text, plain

_MAX_NAMED = 20  # slides in the menu, the last removed first


class SlideRemoval:
    """Removes slides and brings them back, step by step.

    Attributes
    ----------
    button
        Brings back what was removed last; hidden while there is nothing, but keeps its place.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder: Path | None = None  # of the project that the steps are of
        self._steps: list[list[str]] = []
        self.button = push_button("", "")
        policy = self.button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.button.setSizePolicy(policy)
        self.button.clicked.connect(self.undo)
        session.project_changed.connect(self.refresh)
        self.refresh()

    def remove(self, slide_ids: Sequence[str]) -> None:
        """Take slides off the list."""
        with show_errors():
            if slide_ids:
                self._session.remove_slides(slide_ids)
                self._steps.append(list(slide_ids))
        self.refresh()

    def undo(self) -> bool:
        """Bring back what was removed last; return whether there was something."""
        if not self._steps:
            return False
        self.restore(self._steps[-1])
        return True

    def restore(self, slide_ids: Sequence[str]) -> None:
        """Bring removed slides back."""
        with show_errors():
            self._session.restore_slides(slide_ids)

    def add_to(self, menu: QMenu) -> None:
        """Add a submenu that brings back removed slides, if there are any."""
        names = [] if self._session.project is None else list(reversed(removed_slides(self._session.project)))
        if not names or self._session.read_only or (back := menu.addMenu("Bring back")) is None:
            return
        if len(names) > 1:
            back.addAction(f"All {plural(len(names), 'removed slide')}", partial(self.restore, names))
            back.addSeparator()
        for name in names[:_MAX_NAMED]:
            back.addAction(menu_text(name), partial(self.restore, [name]))

    def refresh(self) -> None:
        """Show the button if what was removed last is still away."""
        project = self._session.project
        folder = None if project is None else project.folder
        if project is None or folder != self._folder:
            self._folder, self._steps = folder, []
        away = set() if project is None or not self._steps else set(removed_slides(project))
        steps = ([name for name in step if name in away] for step in self._steps)
        self._steps = [step for step in steps if step]
        last = self._steps[-1] if self._steps else []
        what = last[0] if len(last) == 1 else plural(len(last), "slide")
        self.button.setText(f"Bring back {len(last)}" if len(last) > 1 else "Bring back")
        self.button.setToolTip(plain(f"Bring back {what}, with the outlines (Ctrl+Z in the list)."))
        self.button.setVisible(bool(last))
