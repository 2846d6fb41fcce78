"""A form for a settings class: magicgui makes a widget for each field, with its limits, unit and help.

`read_form(settings_form(settings), type(settings)) == settings` for every settings class: a field that was not
touched returns exactly the value it was given, even if its widget shows fewer digits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import Field
from typing import Any, TypeVar, get_type_hints

from magicgui.type_map import TypeMap
from magicgui.widgets import CheckBox, ComboBox, LineEdit
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_pathseg.settings import SettingInfo, Settings, label_from_name
from napari_pathseg.ui.widgets.elided_choice import ElidedChoice
from napari_pathseg.ui.widgets.layout import labelled_rows, row
from napari_pathseg.ui.widgets.section import CollapsibleSection
from napari_pathseg.ui.widgets.spin_box import ScientificFloat, WholeNumber, ignore_unfocused_wheel, usable_step
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING

_MIN_WIDTH = 60  # of a field; the layout widens it
_WIDGET_TYPES: dict[type, type[ValueWidget[Any]]] = {
    bool: CheckBox,
    str: LineEdit,
    int: WholeNumber,
    float: ScientificFloat,
}

_Kind = TypeVar("_Kind", bound=Settings)


def _type_map() -> TypeMap:
    types = TypeMap()
    for kind, widget_type in _WIDGET_TYPES.items():
        types.register_type(kind, widget_type=widget_type)
    return types


_TYPES = _type_map()


class ChoiceBox(ComboBox):
    """magicgui's combo box for choices that change; it keeps the chosen value while that is available."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ElidedChoice(self.native)

    def show_choices(self, choices: Sequence[tuple[str, Any]]) -> None:
        """Replace the choices, given as texts with their values."""
        chosen = self.value
        self.choices = ()  # otherwise magicgui keeps the old order, and the chosen text instead of the value
        self.choices = lambda _: choices  # magicgui restores the result of a callable when the box gets a parent
        if chosen in self.choices:
            self.value = chosen


class SettingsForm(QWidget):
    """The fields of a settings object, in collapsible groups if it has groups; `changed` reports any change."""

    changed = Signal()

    def __init__(self, settings: Settings, *, expert_only: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields: dict[str, ValueWidget[Any]] = {}
        self.labels: dict[str, QLabel] = {}
        self.groups: dict[str, CollapsibleSection] = {}
        self._grids: dict[str, QGridLayout] = {}
        self._given: dict[str, tuple[Any, Any]] = {}  # by name: the value given, and the widget's value for it
        self._default = type(settings)()
        self._types = get_type_hints(type(settings))
        self._is_showing = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(HALF_SPACING)
        for field, info in settings.described():
            if info.expert or not expert_only:
                self._add_field(field, info)
        self.show_settings(settings)

    def show_settings(self, settings: Settings) -> None:
        """Show other values of the same settings class."""
        self._is_showing = True
        for name, field in self.fields.items():
            value = getattr(settings, name)
            field.value = value
            if isinstance(field, LineEdit):
                field.native.setCursorPosition(0)  # a long path from its beginning
            self._given[name] = (value, field.value)
        self._is_showing = False
        self._on_change()

    def values(self) -> dict[str, Any]:
        """Return the value of each field by name; untouched ones exactly as they were given."""
        values = {}
        for name, field in self.fields.items():
            given, shown = self._given[name]
            value = field.value.strip() if isinstance(field, LineEdit) else field.value
            values[name] = given if field.value == shown else value
        return values

    def differing(self) -> set[str]:
        """Return the names of the fields that do not show their default."""
        return {name for name, value in self.values().items() if value != getattr(self._default, name)}

    def add_beside(self, name: str, widget: QWidget) -> None:
        """Put a widget at the right of a field."""
        grid = self._grids[self._group_of(name)]
        number = grid.getItemPosition(grid.indexOf(self.fields[name].native))[0]
        beside = row()
        beside.setSpacing(HALF_SPACING)
        beside.addWidget(self.fields[name].native, 1)
        beside.addWidget(widget)
        grid.addLayout(beside, number, 1)

    def add_below(self, group: str, widget: QWidget) -> None:
        """Put a widget below the fields of a group."""
        grid = self._grids[group]
        grid.addWidget(widget, grid.rowCount(), 0, 1, 2)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Align the labels; their font is known once they are in a window."""
        super().showEvent(event)
        for label in self.labels.values():
            label.ensurePolished()
        widest = max(label.sizeHint().width() for label in self.labels.values())
        for label in self.labels.values():
            label.setMinimumWidth(widest)

    def _group_of(self, name: str) -> str:
        return next(info.group for field, info in self._default.described() if field.name == name)

    def _add_field(self, setting: Field[Any], info: SettingInfo) -> None:
        if info.group not in self._grids:
            self._add_group(info.group)
        field = _create_field(setting.name, self._types[setting.name], info)
        label, grid = QLabel(field.label), self._grids[info.group]
        label.setBuddy(field.native)
        label.setToolTip(info.help)
        number = grid.rowCount()
        grid.addWidget(label, number, 0)
        grid.addWidget(field.native, number, 1)
        field.changed.connect(self._on_change)
        self.fields[setting.name], self.labels[setting.name] = field, label

    def _add_group(self, name: str) -> None:
        body = QWidget()
        grid = self._grids[name] = QGridLayout(body)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(SPACING)
        grid.setVerticalSpacing(HALF_SPACING)
        grid.setColumnStretch(1, 1)
        if name:
            self.groups[name] = CollapsibleSection(name, body, minor=True)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self.groups.get(name, body))

    def _on_change(self) -> None:
        if self._is_showing:
            return
        differing = self.differing()
        for name, section in self.groups.items():
            number = sum(info.group == name and f.name in differing for f, info in self._default.described())
            section.set_note(f"{number} changed" if number else "")
        self.changed.emit()


def settings_form(settings: Settings, *, expert_only: bool = False) -> SettingsForm:
    """Return a form that shows all of `settings`, or only those for experts."""
    return SettingsForm(settings, expert_only=expert_only)


def field_rows(*fields: ValueWidget[Any]) -> QGridLayout:
    """Stack magicgui widgets with their labels, aligned like the fields of a form."""
    for field in fields:
        _fit_panel(field)
    return labelled_rows((field.label, field.native) for field in fields)


def add_alternative(rows: QGridLayout, field: ValueWidget[Any], other: ValueWidget[Any]) -> None:
    """Put `other` in the place of `field`; the caller shows one of them at a time, or none."""
    _fit_panel(other)
    policy = field.native.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    field.native.setSizePolicy(policy)
    row_number, column_number = rows.getItemPosition(rows.indexOf(field.native))[:2]
    rows.addWidget(other.native, row_number, column_number)


def read_form(form: SettingsForm, kind: type[_Kind], others: Mapping[str, Any] | None = None) -> _Kind:
    """Return the settings shown in a form; `others` are the values of settings that are not in it.

    Raises
    ------
    ConfigError
        If a value lies outside its limits.
    """
    return kind(**{**(others or {}), **form.values()})


def _create_field(name: str, annotation: Any, info: SettingInfo) -> ValueWidget[Any]:
    """Return the magicgui widget of one setting."""
    if annotation not in _WIDGET_TYPES:
        raise TypeError(f"No widget is known for {name} of type {annotation}.")
    options: dict[str, Any] = {"tooltip": info.help}
    if info.choices:
        options |= {"choices": info.choices, "widget_type": ComboBox}
    elif annotation in (int, float):
        minimum, maximum = info.minimum or 0, info.maximum or 0
        step = (info.step or 1) if annotation is int else usable_step(minimum, maximum, info.step)
        options |= {"min": minimum, "max": maximum, "step": step}
    field = _TYPES.create_widget(
        annotation=annotation, name=name, label=info.label or label_from_name(name), options=options
    )
    assert isinstance(field, ValueWidget)
    native = field.native
    if annotation in (int, float) and info.unit and not info.choices:
        native.setSuffix(f" {info.unit}")
    if annotation is bool:
        native.setText("")  # the label is at the left, as for the other fields
    _fit_panel(field)
    return field


def _fit_panel(field: ValueWidget[Any]) -> None:
    """Make a field narrow enough for the dock, accessible, and ignore the wheel without focus."""
    native = field.native
    if isinstance(native, QComboBox):
        native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    native.setAccessibleName(native.accessibleName() or field.label)
    native.setMinimumWidth(_MIN_WIDTH)
    ignore_unfocused_wheel(native)
