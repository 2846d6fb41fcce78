"""A form from settings: each field of a settings class becomes a widget, with its limits and help."""

from collections.abc import Mapping
from dataclasses import Field
from typing import Any, TypeVar

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, LineEdit, SpinBox
from magicgui.widgets.bases import ValueWidget

from napari_pathseg.settings import Limits, Settings

_Kind = TypeVar("_Kind", bound=Settings)


class SettingsForm(Container[Any]):
    """The fields of a settings object; it keeps what was given, for a box may show fewer digits."""

    def __init__(self, settings: Settings, *, expert_only: bool = False) -> None:
        fields = [(f, limits) for f, limits in settings.described() if limits.expert or not expert_only]
        super().__init__(widgets=[_widget(f, limits) for f, limits in fields], labels=True)
        self._given: dict[str, tuple[Any, Any]] = {}  # by name: what was given, what the box made of it
        self.show_settings(settings)

    def show_settings(self, settings: Settings) -> None:
        """Show other values of the same settings class."""
        for widget in self:
            assert isinstance(widget, ValueWidget)
            value = getattr(settings, widget.name)
            widget.value = value
            self._given[widget.name] = (value, widget.value)

    def values(self) -> dict[str, Any]:
        """Return the value of each field by name; untouched ones exactly as they were given."""
        values = {}
        for widget in self:
            assert isinstance(widget, ValueWidget)
            given, shown = self._given[widget.name]
            values[widget.name] = given if widget.value == shown else widget.value
        return values


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


def _widget(setting: Field[Any], limits: Limits) -> ValueWidget[Any]:
    """Return the widget of one setting."""
    unit = f" ({limits.unit})" if limits.unit else ""
    shared: dict[str, Any] = {
        "name": setting.name,
        "label": setting.name.replace("_", " ").capitalize() + unit,
        "tooltip": limits.help,
    }
    if limits.choices:
        return ComboBox(choices=limits.choices, **shared)
    if setting.type in (bool, "bool"):
        return CheckBox(**{**shared, "label": "", "text": shared["label"]})
    if setting.type in (int, "int"):
        return SpinBox(**_range(limits), step=int(limits.step or 1), **shared)
    if setting.type in (float, "float"):
        return FloatSpinBox(**_range(limits), step=limits.step, **shared)
    if setting.type in (str, "str"):
        return LineEdit(**shared)
    raise TypeError(f"No widget is known for {setting.name} of type {setting.type}.")


def _range(limits: Limits) -> dict[str, Any]:
    return {} if limits.minimum is None else {"min": limits.minimum, "max": limits.maximum}
