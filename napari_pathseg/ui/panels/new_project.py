"""The dialog that makes a project."""

from pathlib import Path

from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFileDialog, QFormLayout, QLineEdit, QWidget

from napari_pathseg.projects.project import FOLDER_SUFFIX
from napari_pathseg.ui.widgets.layout import push_button, row

_SIZES = {"1.0 µm per pixel (for tumour areas)": 1.0, "Each slide's own pixels (finest, slower)": None}


class NewProjectDialog(QDialog):
    """Where a project lies, its name, and how fine its masks are."""

    def __init__(self, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New project")
        self.setMinimumWidth(460)
        self.folder = QLineEdit(str(folder))
        self.name = QLineEdit("project")
        self.mpp = QComboBox()
        for text, mpp in _SIZES.items():
            self.mpp.addItem(text, mpp)
        self.mpp.setToolTip("Masks are painted and networks learn at this size. Slides that do not say their\n"
                            "pixel size keep their own.")  # fmt: skip
        browse = push_button("Browse…", "Choose the folder in which the project is made.")
        browse.clicked.connect(self._browse)
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        buttons = QDialogButtonBox(ok | cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QFormLayout(self)
        layout.addRow("Folder", row(self.folder, browse))
        layout.addRow("Name", self.name)
        layout.addRow("Detail", self.mpp)
        layout.addRow(buttons)

    @property
    def project_folder(self) -> Path:
        """The folder that the project will be."""
        name = self.name.text().strip() or "project"
        return Path(self.folder.text()) / (name if name.endswith(FOLDER_SUFFIX) else name + FOLDER_SUFFIX)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the new project", self.folder.text())
        if folder:
            self.folder.setText(folder)
