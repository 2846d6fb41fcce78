"""The buttons that draw regions: complete boxes, and the selection."""

from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QMenu, QPushButton, QWidget
from superqt.utils import qthrottled

from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.session.shapes_overlay import ShapesOverlay
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.notifications import show_errors

_BOX_HELP = (
    "Draw a box in which everything is outlined: training treats its unlabelled pixels as Background. Right-click\n"
    "a box to remove it, or choose it with napari's arrow and press Delete. Ctrl+Z undoes changes of boxes while\n"
    "this tool is active."
)
_SELECT_HELP = "Draw around areas to limit Clean up, Accept and Reject to them. Press again to clear the selection."


class _RegionButton(QPushButton):
    """Activates a tool that draws regions, and deactivates it when pressed again."""

    def __init__(self, text: str, icon: str, session: Session, shapes: ShapesOverlay) -> None:
        super().__init__(text)
        self._session, self._shapes = session, shapes
        self.setCheckable(True)
        set_icon(self, icon)
        self.setStyleSheet("QPushButton:checked { background: palette(highlight); }")
        # later, because napari has not finished with the new shape yet
        self._commit_later = qthrottled(self._commit, timeout=0, leading=False, parent=self)
        shapes.edited.connect(self._commit_later.throttle)
        shapes.changed.connect(self._show)
        session.slide_changed.connect(self._show)
        session.project_changed.connect(self._show)
        self.clicked.connect(self.toggle_tool)
        self._show()

    def toggle_tool(self) -> None:
        """Activate or deactivate the tool."""
        with show_errors():
            if self._is_pressed():
                self._deactivate()
            else:
                self._shapes.activate()
        self._show()

    def _is_pressed(self) -> bool:
        return self._shapes.active

    def _deactivate(self) -> None:
        self._shapes.deactivate()

    def _commit(self) -> None:
        raise NotImplementedError

    def _show(self) -> None:
        self.setEnabled(self._session.slide is not None and not self._session.read_only)
        self.setChecked(self._is_pressed())


class CompleteBoxButton(_RegionButton):
    """Draws complete boxes; a right-click removes one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Complete box", "complete_box", session, session.boxes)
        self._boxes = session.boxes
        self.setToolTip(with_key(_BOX_HELP, "complete_box"))
        self._boxes.context_menu_requested.connect(self._open_menu)

    def _commit(self) -> None:
        with show_errors():
            self._boxes.commit()

    def _open_menu(self, position: tuple[float, ...]) -> None:
        """Offer to remove the box under the mouse."""
        if not self._boxes.boxes_at(position) or self._session.read_only:
            return
        menu = QMenu(self)
        menu.addAction("Remove this box", lambda: self._remove(position))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(QCursor.pos())

    def _remove(self, position: tuple[float, ...]) -> None:
        with show_errors():
            self._boxes.remove_at(position)


class SelectButton(_RegionButton):
    """Selects regions; it stays pressed as long as anything is selected."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Select", "select", session, session.selection)
        self._selection = session.selection
        self.setToolTip(with_key(_SELECT_HELP, "select"))
        self._show()

    def _is_pressed(self) -> bool:
        layer = self._shapes.layer
        return self._shapes.active or (layer is not None and len(layer.data) > 0)

    def _deactivate(self) -> None:
        self._selection.clear()
        self._selection.deactivate()

    def _commit(self) -> None:
        self._selection.select_all()
