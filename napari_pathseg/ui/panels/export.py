"""Export: outlines and masks for other programs."""

from pathlib import Path

from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QWidget

from napari_pathseg.data.exporting import ExportOptions
from napari_pathseg.ui.messages import errors_shown, say
from napari_pathseg.ui.panels.layout import column, push_button, row
from napari_pathseg.ui.session import Session
from napari_pathseg.ui.summary import plural

_FORMATS = {"geojson": "QuPath GeoJSON", "svg": "SVG", "mask": "Label image"}
_WHAT = {"mask": "Mask (outlined and reviewed)", "prediction": "Raw prediction of the newest model"}


class ExportPanel(QWidget):
    """Format, what, and a button."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.format, self.what = QComboBox(), QComboBox()
        for name, text in _FORMATS.items():
            self.format.addItem(text, name)
        for name, text in _WHAT.items():
            self.what.addItem(text, name)
        for combo in (self.format, self.what):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(12)
        self.format.setToolTip("GeoJSON for QuPath, SVG for drawing programs, images for scripts.")
        self.button = push_button("Export…", "Write a file for each slide into a folder.")
        column(self, row(QLabel("Write"), self.what), row(QLabel("as"), self.format, self.button, None))
        self.button.clicked.connect(self.ask_for_folder)
        session.project_changed.connect(self._show)
        self._show()

    def ask_for_folder(self) -> None:
        """Let the user choose where to write."""
        with errors_shown():
            start = str(self._session.opened.folder.parent)
            folder = QFileDialog.getExistingDirectory(self, "Export into a folder", start)
            if folder:
                self.export_to(Path(folder))

    def export_to(self, folder: Path) -> None:
        """Write into a folder and say so."""
        with errors_shown():
            files = self._session.export(
                folder, ExportOptions(format=self.format.currentData(), what=self.what.currentData())
            )
            say(f"{plural(len(files), 'file')} written to {folder}.")

    def _show(self) -> None:
        project = self._session.project
        self.button.setEnabled(project is not None and bool(project.slides))
