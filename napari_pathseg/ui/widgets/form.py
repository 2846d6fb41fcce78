"""A form from settings: each field of a settings class becomes a widget, with its limits and help."""

import contextlib
from collections.abc import Mapping
from dataclasses import Field
from typing import Any, TypeVar

from psygnal import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from napari_pathseg.errors import ConfigError
from napari_pathseg.settings import Limits, Settings
from napari_pathseg.ui.widgets.fields import BoxField, ChoiceField, NumberField, SettingField, TextField, TickField
from napari_pathseg.ui.widgets.section import Section
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING

_Kind = TypeVar("_Kind", bound=Settings)
_WORDS = {"ema": "EMA", "jpeg": "JPEG", "lr": "LR", "tta": "TTA", "p": "probability"}


class SettingsForm(QWidget):
    """The fields of a settings object, in folding groups where they have some; `changed` tells of any change.

    It keeps what was given, for a box may show fewer digits.
    """

    changed = Signal()

    def __init__(self, settings: Settings, *, expert_only: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields: dict[str, SettingField] = {}
        self.groups: dict[str, Section] = {}
        self._grids: dict[str, QGridLayout] = {}
        self._given: dict[str, tuple[Any, Any]] = {}  # by name: what was given, what the box made of it
        self._default = type(settings)()
        self._showing = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(HALF_SPACING)
        for field, limits in settings.described():
            if limits.expert or not expert_only:
                self._add(field, limits)
        self.show_settings(settings)

    def show_settings(self, settings: Settings) -> None:
        """Show other values of the same settings class."""
        self._showing = True
        for name, field in self.fields.items():
            value = getattr(settings, name)
            field.show_value(value)
            self._given[name] = (value, field.value())
        self._showing = False
        self._tell()

    def values(self) -> dict[str, Any]:
        """Return the value of each field by name; untouched ones exactly as they were given."""
        values = {}
        for name, field in self.fields.items():
            given, shown = self._given[name]
            values[name] = given if field.value() == shown else field.value()
        return values

    def differing(self) -> set[str]:
        """Return the names of the fields that do not show their default."""
        return {name for name, value in self.values().items() if value != getattr(self._default, name)}

    def grid(self, group: str) -> QGridLayout:
        """Return the rows of a group, for what belongs beside or below its fields."""
        return self._grids[group]

    def _add(self, setting: Field[Any], limits: Limits) -> None:
        if limits.group not in self._grids:
            self._add_group(limits.group)
        field, grid = _field(setting, limits), self._grids[limits.group]
        self.fields[setting.name] = field
        row = grid.rowCount()
        grid.addWidget(field.label, row, 0)
        grid.addWidget(field.widget, row, 1)
        field.changed.connect(self._tell)

    def _add_group(self, name: str) -> None:
        body = QWidget()
        grid = self._grids[name] = QGridLayout(body)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(SPACING)
        grid.setVerticalSpacing(HALF_SPACING)
        grid.setColumnStretch(1, 1)
        if name:
            self.groups[name] = Section(name, body, minor=True)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self.groups.get(name, body))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Align the labels, whose font is known once they are in a window."""
        super().showEvent(event)
        self._align()

    def _align(self) -> None:
        """Let the labels of all groups take the width of the widest."""
        for field in self.fields.values():
            field.label.ensurePolished()
        widest = max(field.label.sizeHint().width() for field in self.fields.values())
        for field in self.fields.values():
            field.label.setMinimumWidth(widest)

    def _tell(self) -> None:
        if self._showing:
            return
        differing = self.differing()
        for name, section in self.groups.items():
            number = sum(limits.group == name and f.name in differing for f, limits in self._default.described())
            section.set_note(f"{number} changed" if number else "")
        self.changed.emit()


def settings_form(settings: Settings, *, expert_only: bool = False) -> SettingsForm:
    """Return a form that shows `settings`, all of them or only those for experts."""
    return SettingsForm(settings, expert_only=expert_only)


def read_form(form: SettingsForm, kind: type[_Kind], others: Mapping[str, Any] | None = None) -> _Kind:
    """Return the settings that a form shows; `others` are those that are not in it.

    Raises
    ------
    ConfigError
        If a value lies outside its limits.
    """
    return kind(**{**(others or {}), **form.values()})


def known_settings(kind: type[_Kind], values: Mapping[str, Any]) -> _Kind:
    """Return the settings of `values` as far as this version knows and allows them, the others by default."""
    settings = kind()
    for name, value in kind.renamed(values).items():
        default = getattr(settings, name, None)
        wanted = (int, float) if isinstance(default, float) else type(default)
        if default is not None and isinstance(value, wanted):
            with contextlib.suppress(ConfigError, TypeError):
                settings = settings.replace(**{name: value})
    return settings


def name_text(name: str) -> str:
    """Return the name of a setting as a person reads it.

    >>> name_text("learning_rate")
    'Learning rate'
    >>> name_text("ema_decay")
    'EMA decay'
    """
    words = [_WORDS.get(word, word) for word in name.split("_")]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


def _field(setting: Field[Any], limits: Limits) -> SettingField:
    """Return the field of one setting."""
    label = name_text(setting.name)
    if limits.choices:
        return ChoiceField(label, limits)
    if setting.type in (bool, "bool"):
        return TickField(label, limits)
    if setting.type in (int, "int"):
        return BoxField(label, limits)
    if setting.type in (float, "float"):
        return NumberField(label, limits)
    if setting.type in (str, "str"):
        return TextField(label, limits)
    raise TypeError(f"No widget is known for {setting.name} of type {setting.type}.")
