"""The buttons that draw areas: boxes that are complete, and what is selected to be worked on."""

from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QMenu, QPushButton, QWidget
from superqt.utils import qthrottled

from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.session.shapes_overlay import ShapesOverlay
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.notifications import show_errors

_BOX_HELP = (
    "Draw a box in which everything is outlined: what is unlabelled in it is learnt as Background. Right-click a box\n"
    "to remove it, or choose it with napari's arrow and press Delete. Ctrl+Z takes back what was done to boxes\n"
    "while this tool is in hand."
)
_SELECT_HELP = (
    "Draw around areas; Clean up, Accept and Reject can then keep to them. Press again to drop the selection."
)


class _AreaButton(QPushButton):
    """Takes a tool in hand that draws areas, and lays it down again."""

    def __init__(self, text: str, icon: str, session: Session, shapes: ShapesOverlay) -> None:
        super().__init__(text)
        self._session, self._shapes = session, shapes
        self.setCheckable(True)
        set_icon(self, icon)
        self.setStyleSheet("QPushButton:checked { background: palette(highlight); }")
        self._drawn = qthrottled(
            self._take_up, timeout=0, leading=False, parent=self
        )  # napari is still at work on what was drawn
        shapes.edited.connect(self._drawn.throttle)
        shapes.changed.connect(self._show)
        session.slide_changed.connect(self._show)
        session.project_changed.connect(self._show)
        self.clicked.connect(self.toggle_tool)
        self._show()

    def toggle_tool(self) -> None:
        """Take the tool in hand, or lay it down."""
        with show_errors():
            if self._is_down():
                self._lay_down()
            else:
                self._shapes.activate()
        self._show()

    def _is_down(self) -> bool:
        return self._shapes.active

    def _lay_down(self) -> None:
        self._shapes.deactivate()

    def _take_up(self) -> None:
        raise NotImplementedError

    def _show(self) -> None:
        self.setEnabled(self._session.slide is not None and not self._session.read_only)
        self.setChecked(self._is_down())


class CompleteBoxButton(_AreaButton):
    """Draws complete boxes; the right mouse button removes one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Complete box", "complete_box", session, session.boxes)
        self._boxes = session.boxes
        self.setToolTip(with_key(_BOX_HELP, "complete_box"))
        self._boxes.context_menu_requested.connect(self._offer)

    def _take_up(self) -> None:
        with show_errors():
            self._boxes.commit()

    def _offer(self, position: tuple[float, ...]) -> None:
        """Ask whether the box under the mouse is to go."""
        if not self._boxes.boxes_at(position) or self._session.read_only:
            return
        menu = QMenu(self)
        menu.addAction("Remove this box", lambda: self._remove(position))
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(QCursor.pos())

    def _remove(self, position: tuple[float, ...]) -> None:
        with show_errors():
            self._boxes.remove_at(position)


class SelectButton(_AreaButton):
    """Selects areas; it is down as long as anything is selected."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Select", "select", session, session.selection)
        self._selection = session.selection
        self.setToolTip(with_key(_SELECT_HELP, "select"))
        self._show()

    def _is_down(self) -> bool:
        layer = self._shapes.layer
        return self._shapes.active or (layer is not None and len(layer.data) > 0)

    def _lay_down(self) -> None:
        self._selection.clear()
        self._selection.deactivate()

    def _take_up(self) -> None:
        self._selection.select_all()
