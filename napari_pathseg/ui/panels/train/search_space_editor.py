"""The editor of a hyperparameter search: one row for each setting, with the values to try."""

from collections.abc import Mapping

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_pathseg.config import TrainConfig
from napari_pathseg.settings import SettingInfo
from napari_pathseg.ui.session.formatting import format_setting
from napari_pathseg.ui.widgets.layout import push_button, row
from napari_pathseg.ui.widgets.spin_box import ignore_unfocused_wheel
from napari_pathseg.ui.widgets.theme import HALF_SPACING

_SMALL = 28


class SearchSpaceEditor(QWidget):
    """A row for each setting to vary, and a button that adds one; `changed` reports any change."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[_DimensionRow] = []
        self.add = push_button("Add a setting", "Vary another setting.")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(HALF_SPACING)
        self._layout.addLayout(row(self.add, None))
        self.add.clicked.connect(self._add_unused)

    def values(self) -> dict[str, str]:
        """Return the values as typed, by setting; empty rows are left out."""
        return {row.setting: row.text.text().strip() for row in self.rows if row.text.text().strip()}

    def show_values(self, values: Mapping[str, str]) -> None:
        """Replace the rows; unknown settings are left out."""
        for shown in list(self.rows):
            self._delete_row(shown)
        known = _variable()
        for name, text in TrainConfig.renamed(values).items():
            if name in known:
                self._add(name, str(text))
        self.changed.emit()

    def _add_unused(self) -> None:
        used = {row.setting for row in self.rows}
        name = next((name for name in _variable() if name not in used), None)
        if name is not None:
            self._add(name, "").text.setFocus()
            self.changed.emit()

    def _add(self, name: str, text: str) -> "_DimensionRow":
        added = _DimensionRow(name, text)
        self.rows.append(added)
        self._layout.insertWidget(len(self.rows) - 1, added)
        added.remove.clicked.connect(lambda: self._remove(added))
        added.changed.connect(self._emit_changed)
        return added

    def _remove(self, removed: "_DimensionRow") -> None:
        self._delete_row(removed)
        self.changed.emit()

    def _delete_row(self, removed: "_DimensionRow") -> None:
        self.rows.remove(removed)
        self._layout.removeWidget(removed)
        removed.hide()
        removed.deleteLater()

    def _emit_changed(self) -> None:
        self.changed.emit()


class _DimensionRow(QWidget):
    """A setting, its values, and a button that removes the row."""

    changed = Signal()

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self._names = list(_variable())
        self.choice, self.text = QComboBox(), QLineEdit(text)
        self.choice.addItems([TrainConfig.label_of(name) for name in self._names])
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.choice.setMinimumContentsLength(9)
        self.choice.setCurrentIndex(self._names.index(name))
        self.choice.setAccessibleName("Setting to vary")
        self.text.setAccessibleName("Values to try")
        ignore_unfocused_wheel(self.choice)
        self.remove: QPushButton = push_button("×", "Do not vary this setting.")
        self.remove.setFixedWidth(_SMALL)
        inside = row()
        inside.setSpacing(HALF_SPACING)
        inside.addWidget(self.choice, 1)
        inside.addWidget(self.text, 1)
        inside.addWidget(self.remove)
        self.setLayout(inside)
        self.choice.currentIndexChanged.connect(self._choose)
        self.text.textChanged.connect(self._emit_changed)
        self._describe()

    @property
    def setting(self) -> str:
        """The name of the chosen setting."""
        return self._names[self.choice.currentIndex()]

    def _choose(self) -> None:
        self.text.clear()
        self._describe()
        self.changed.emit()

    def _emit_changed(self) -> None:
        self.changed.emit()

    def _describe(self) -> None:
        info = _variable()[self.setting]
        default = format_setting(getattr(TrainConfig(), self.setting))
        self.choice.setToolTip(info.help)
        self.text.setPlaceholderText(", ".join(info.choices) or default)
        self.text.setToolTip("Values to try, separated by commas, or a range to search, such as 1e-5..1e-2.")


def _variable() -> dict[str, SettingInfo]:
    """Return the settings that can be varied: the numbers and choices in Expert."""
    found = {}
    for field, info in TrainConfig.described():
        if info.expert and (info.choices or info.minimum is not None):
            found[field.name] = info
    return found
