"""The Outline section: classes, tools, undo, and whether the slide is complete."""

from typing import Any

from napari.layers import Labels, Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QButtonGroup, QCheckBox, QToolButton, QWidget
from superqt.utils import qthrottled

from napari_pathseg.ui.panels.annotate.classes import ClassTableView
from napari_pathseg.ui.panels.annotate.cleanup import clean_up_button
from napari_pathseg.ui.panels.annotate.region_buttons import CompleteBoxButton, SelectButton
from napari_pathseg.ui.panels.annotate.tool_options import ToolOptions
from napari_pathseg.ui.panels.live import LiveSwitch
from napari_pathseg.ui.session.complete_boxes import CompleteBoxes
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.session.undo_order import UndoOrder
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.tools.controller import ToolController
from napari_pathseg.ui.tools.polygon import PolygonEditor
from napari_pathseg.ui.tools.registry import PAN, TOOLS
from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.layout import column, row
from napari_pathseg.ui.widgets.notifications import notify, show_errors

_BUTTON_SIZE = 28
_UNDO_HELP = (
    "Undo what was done last: a stroke, an import, what a model filled, a decision on a place,\n"
    "or a model that was discarded, removed, renamed or made current. The status bar says what it was."
)
_REDO_HELP = "Do again what was undone last, if nothing else was done since."


class AnnotatePanel(QWidget):
    """Classes and tools for the slide in view."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._watched: list[Layer] = []
        self.classes = ClassTableView(session)
        self.tool_controller = ToolController(session, self)
        self.tools = {tool.name: _tool_button(tool.name, with_key(tool.help, tool.name)) for tool in TOOLS}
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        for button in self.tools.values():
            button.setCheckable(True)
            self._group.addButton(button)
        self.undo = _tool_button("undo", with_key(_UNDO_HELP, "undo"))
        self.redo = _tool_button("redo", with_key(_REDO_HELP, "redo"))
        self.options = ToolOptions(session, self.tool_controller)
        self._polygon_editor = PolygonEditor(session, self.tool_controller, lambda: self.classes.selected, self)
        self.complete = QCheckBox("This slide is complete")
        self.complete.setToolTip(
            "Tick this once everything to be found here is outlined: the rest then counts as Background\n"
            "in training. Unticked, training uses only what is painted."
        )
        tools = row(*self.tools.values(), None, self.undo, self.redo)
        tools.setSpacing(2)
        self.live = LiveSwitch(session)
        self.select, self.complete_box = SelectButton(session), CompleteBoxButton(session)
        self.clean_up = clean_up_button(session)
        column(
            self,
            self.classes,
            tools,
            self.options,
            self.live,
            self.complete,
            row(self.select, self.clean_up, self.complete_box, None),
        )
        self._connect()
        self._show_slide()

    @property
    def drawing(self) -> bool:
        """True if a drawing tool is active."""
        return self.tool_controller.active_tool not in ("", PAN)

    @property
    def brush(self) -> Any:
        """The slider that sets the width of the active tool."""
        return self.options.width_row.slider

    # -- actions

    def choose(self, name: str) -> None:
        """Activate a tool."""
        self.tool_controller.choose(name)

    def undo_step(self) -> None:
        """Undo the last step: of the outline being edited, of the complete boxes if active, or of the project."""
        with show_errors():
            self._undo_target.undo()
        self._session.mask_changed.emit()

    def redo_step(self) -> None:
        """Redo the last undone step."""
        with show_errors():
            self._undo_target.redo()
        self._session.mask_changed.emit()

    # -- display

    def show_tool(self) -> None:
        """Check the button of the active tool and show its options."""
        name = self.tool_controller.active_tool
        self._group.setExclusive(False)
        for tool, button in self.tools.items():
            button.setChecked(tool == name)
        self._group.setExclusive(True)
        self.options.show_tool()

    def _show_slide(self) -> None:
        """Show the slide in view, and watch its layers."""
        record = self._session.slide
        for widget in (*self.tools.values(), self.undo, self.redo, self.options, self.complete):
            widget.setEnabled(record is not None and not self._session.read_only)
        self.tools[PAN].setEnabled(record is not None)
        self.complete.setChecked(record is not None and record.complete)
        self._watch_layers()
        self.show_tool()
        self.classes.refresh()

    @property
    def _undo_target(self) -> PolygonEditor | CompleteBoxes | UndoOrder:
        if self.tool_controller.editing:
            return self._polygon_editor
        layers, boxes = self._session.layers, self._session.boxes
        boxes_active = boxes.layer is not None and layers.viewer.layers.selection.active is boxes.layer
        return boxes if boxes_active else self._session.undo_order

    # -- signals

    def _connect(self) -> None:
        self._group.buttonClicked.connect(self._on_tool_button)
        self.undo.clicked.connect(self.undo_step)
        self.redo.clicked.connect(self.redo_step)
        self.tool_controller.changed.connect(self.show_tool)
        self.complete.clicked.connect(self._set_complete)
        self._show_areas_later = qthrottled(self.classes.show_areas, timeout=200, leading=False, parent=self)
        self._session.mask_changed.connect(self._show_areas_later.throttle)
        self._session.project_changed.connect(self._show_slide)
        self._session.slide_changed.connect(self._show_slide)
        viewer = self._session.layers.viewer
        viewer.layers.selection.events.active.connect(self.show_tool)

    def _watch_layers(self) -> None:
        """Listen to the layers of the slide in view; they outlive a change of slide."""
        layers = self._session.layers
        for layer in (layers.mask, layers.contours):
            if layer is None or any(layer is watched for watched in self._watched):
                continue
            self._watched.append(layer)
            layer.events.mode.connect(self.show_tool)
            if isinstance(layer, Labels):
                layer.events.selected_label.connect(self.classes.show_selected)
                layer.events.brush_size.connect(self.options.follow_brush)
                layer.events.preserve_labels.connect(self._tell_what_is_painted)

    def _tell_what_is_painted(self, event: Any) -> None:
        """Say that napari's “preserve labels” was switched: its key is easily hit, and strokes then seem to fail."""
        if event.source.preserve_labels:
            notify("Strokes fill only what has no class now (napari's “preserve labels”). B ends that.", kind="warning")
        else:
            notify("Strokes paint over other classes again.")

    def _on_tool_button(self, button: QAbstractButton) -> None:
        self.choose(next(name for name, known in self.tools.items() if known is button))

    def _set_complete(self, complete: bool) -> None:
        with show_errors():
            self._session.editor.set_complete(complete)


def _tool_button(icon: str, help: str) -> QToolButton:
    button = QToolButton()
    set_icon(button, icon)
    button.setToolTip(help)
    button.setFixedSize(_BUTTON_SIZE, _BUTTON_SIZE)
    button.setStyleSheet("QToolButton:checked { background: palette(highlight); border-radius: 3px; }")
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button
