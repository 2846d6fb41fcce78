"""Export: outlines and masks for other programs."""

from pathlib import Path

from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from napari_pathseg.contours.formats import FORMATS
from napari_pathseg.projects.exporting.export import ExportOptions
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, labelled_rows, push_button, row
from napari_pathseg.ui.widgets.notifications import notify, show_errors
from napari_pathseg.ui.widgets.spin_box import ScientificSpinBox

_PICTURES = {"mask": "Label image", "ome-tiff": "Label pyramid (OME-TIFF)", "csv": "Table of areas (CSV)"}
_FORMATS = {"geojson": FORMATS["geojson"].title, **{key: known.title for key, known in FORMATS.items()}, **_PICTURES}
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
        self.format.setToolTip("GeoJSON for QuPath, XML for ASAP and ImageScope, SVG for drawing programs, images for "
                               "scripts.")  # fmt: skip
        self.smooth = ScientificSpinBox()
        self.smooth.setRange(0, 100)
        self.smooth.setDecimals(1)
        self.smooth.setSuffix(" µm")
        self.smooth.setToolTip("How far outlines may leave the mask's pixels to be smooth; 0 for exact ones.")
        self.button = push_button("Export…", "Write a file for each slide into a folder.")
        rows = labelled_rows((("Write", self.what), ("As", self.format), ("Smooth by", self.smooth)))
        column(self, rows, row(None, self.button))
        self.format.currentIndexChanged.connect(self._show)
        self.button.clicked.connect(self.ask_for_folder)
        session.project_changed.connect(self._show)
        self._show()

    def ask_for_folder(self) -> None:
        """Let the user choose where to write."""
        with show_errors():
            start = str(self._session.require_project().folder.parent)
            folder = QFileDialog.getExistingDirectory(self, "Export into a folder", start)
            if folder:
                self.export_to(Path(folder))

    def export_to(self, folder: Path) -> None:
        """Write into a folder and say so."""
        with show_errors():
            kind = self.format.currentData()
            smooth_um = 0.0 if kind in _PICTURES else self.smooth.value()
            options = ExportOptions(format=kind, what=self.what.currentData(), smooth_um=smooth_um)
            files = self._session.export(folder, options)
            notify(f"{plural(len(files), 'file')} written to {folder}.")

    def _show(self) -> None:
        project = self._session.project
        self.smooth.setEnabled(self.format.currentData() not in _PICTURES)
        self.button.setEnabled(project is not None and bool(project.slides))
