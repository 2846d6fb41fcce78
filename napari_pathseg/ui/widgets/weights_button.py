"""A button beside a setting that takes a file of weights."""

from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_pathseg.ui.widgets.form import SettingsForm
from napari_pathseg.ui.widgets.layout import push_button

_WIDTH = 30
_FILES = "Weights (*.safetensors *.pth *.pt *.bin)"


def add_weights_button(form: SettingsForm, name: str, help: str) -> QPushButton:
    """Put a button beside a field of a form that asks for a file of weights, and return it."""
    button = push_button("…", help)
    button.setAccessibleName(help)
    button.setFixedWidth(_WIDTH)
    form.add_beside(name, button)

    def ask() -> None:
        path, _ = QFileDialog.getOpenFileName(button, "Weights of an encoder", "", _FILES)
        if path:
            form.fields[name].value = path

    button.clicked.connect(ask)
    return button
