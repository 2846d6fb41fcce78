"""A narrow button beside another one, with a menu of what else that can do."""

from collections.abc import Callable, Sequence

from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtWidgets import QMenu, QPushButton, QSizePolicy, QWidget

from napari_pathseg.ui.widgets.icons import themed_icon

_WIDTH, _ICON = 22, 14


class MenuButton(QPushButton):
    """Opens a menu; `choices` are what its lines say and do."""

    def __init__(
        self, help: str, choices: Sequence[tuple[str, Callable[[], None]]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setToolTip(help)
        self.setAccessibleName(help)
        self.setFixedWidth(_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)  # as high as what it stands beside
        self.setStyleSheet("padding: 0px;")
        self.setIcon(themed_icon("unfolded", self))
        self.setIconSize(QSize(_ICON, _ICON))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.choices = QMenu(self)
        for text, action in choices:
            self.choices.addAction(text, action)
        self.clicked.connect(self._open)

    def _open(self) -> None:
        self.choices.popup(self.mapToGlobal(QPoint(0, self.height())))
