"""The Export section: outlines and masks for other programs."""

from pathlib import Path

from magicgui.widgets import CheckBox, ComboBox, LineEdit
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_pathseg.contours.formats import FORMATS
from napari_pathseg.projects.exporting.export import ExportOptions, left_out
from napari_pathseg.ui.panels.area_table import open_area_table
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.form import field_rows
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import notify, show_errors
from napari_pathseg.ui.widgets.spin_box import ScientificFloat

_RASTERS = {
    "mask": "Label image",
    "ome-tiff": "Label pyramid (OME-TIFF)",
    "ome-zarr": "Label pyramid (OME-Zarr)",
    "csv": "Table of areas (CSV)",
}
_FORMATS = {"geojson": FORMATS["geojson"].title, **{key: known.title for key, known in FORMATS.items()}, **_RASTERS}
_PIXELS = {
    "index": "Class numbers",
    "palette": "Numbers with a palette",
    "colour": "Class colours (RGB)",
    "binary": "0 and 255",
}
_WHAT = {"mask": "Mask, unreviewed included", "prediction": "Current model's prediction"}


class ExportPanel(QWidget):
    """What to export, in which format, and a button."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.what = ComboBox(
            label="Write",
            choices=[(text, name) for name, text in _WHAT.items()],
            tooltip="The masks as you see them, or what the current model found, whatever was accepted or corrected.",
        )
        self.format = ComboBox(
            label="As",
            choices=[(text, name) for name, text in _FORMATS.items()],
            tooltip="GeoJSON for QuPath, XML for ASAP and ImageScope, SVG for drawing programs, images for scripts.",
        )
        self.smooth = ScientificFloat(
            label="Smooth by",
            max=100,
            step=1,
            tooltip="How far smoothed outlines may deviate from the mask; 0 keeps them exact.",
        )
        self.smooth.native.setSuffix(" µm")
        self.pixels = ComboBox(
            label="Pixels",
            choices=[(text, name) for name, text in _PIXELS.items()],
            tooltip="Of a label image: class numbers, shown in grey or in the class colours; these colours; or 255 "
            "for any class but Background and 0 for the rest.",
        )
        self.probabilities = CheckBox(
            label="Probabilities",
            tooltip="Also write a grey image of the predicted probability of each class.",
        )
        self.probabilities.text = ""  # magicgui repeats the label
        self.suffix = LineEdit(
            label="Suffix", tooltip="Added to the slide's name in the names of the files, such as _mask."
        )
        self.button = push_button("Export…", "Write one file for each slide into a folder.")
        self.table_button = push_button(
            "Table…",
            "Show the area of each class on each slide in mm² and in percent of the tissue, and how much of it is "
            "reviewed, to be copied or saved.",
        )
        fields = (self.what, self.format, self.smooth, self.pixels, self.probabilities, self.suffix)
        column(self, field_rows(*fields), row(self.table_button, None, self.button))
        self.format.changed.connect(self._show)
        self.what.changed.connect(self._show)
        self.button.clicked.connect(self.ask_for_folder)
        self.table_button.clicked.connect(self.show_table)
        session.project_changed.connect(self._show)
        self._show()

    def show_table(self) -> None:
        """Show the table of areas, once it is made."""
        with show_errors():
            open_area_table(self._session, self)

    def ask_for_folder(self) -> None:
        """Ask for a folder and export into it."""
        with show_errors():
            start = str(self._session.require_project().folder.parent)
            folder = QFileDialog.getExistingDirectory(self, "Export into a folder", start)
            if folder:
                self.export_to(Path(folder))

    def export_to(self, folder: Path) -> None:
        """Export into a folder and report how many files were written."""
        with show_errors():
            format_name = self.format.value
            smooth_um = 0.0 if format_name in _RASTERS else self.smooth.value
            options = ExportOptions(
                format=format_name,
                what=self.what.value,
                smooth_um=smooth_um,
                pixels=self.pixels.value if self.pixels.enabled else "index",
                probabilities=self.probabilities.enabled and self.probabilities.value,
                suffix=self.suffix.value.strip(),
            )
            files = self._session.export(folder, options)
            missing = left_out(self._session.require_project(), options)
            notify(f"{plural(len(files), 'file')} written to {folder}. {missing}".strip())

    def _show(self) -> None:
        project = self._session.project
        self.smooth.enabled = self.format.value not in _RASTERS
        self.pixels.enabled = self.format.value == "mask"
        self.probabilities.enabled = self.pixels.enabled and self.what.value == "prediction"
        for button in (self.button, self.table_button):
            button.setEnabled(project is not None and bool(project.slides))
