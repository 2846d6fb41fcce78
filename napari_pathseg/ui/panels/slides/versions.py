"""The dialog with the versions of a mask: compare a version with the current mask, and restore it.

Nothing changes before Restore is pressed.  A restore is one undoable step, and the mask before it becomes a version.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.classes import ClassTable
from napari_pathseg.errors import PathsegError
from napari_pathseg.masks import Counts
from napari_pathseg.projects.areas import class_pixels
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import (
    BEFORE_RESTORE,
    BY_HAND,
    Version,
    changed_regions,
    check_version,
    create_version,
    overview,
    restore,
    versions,
)
from napari_pathseg.ui.session.formatting import format_area, plural
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import row, set_up_table
from napari_pathseg.ui.widgets.notifications import notify, show_errors
from napari_pathseg.ui.widgets.plain_text import PlainLabel, plain
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, SecondaryLabel

_SIZE = QSize(880, 560)
_THUMBNAIL_SIZE = QSize(340, 220)
_GROUND = (128, 128, 128, 40)  # RGBA of unlabelled pixels, so that the extent of the slide is visible
_SHARPER = 2  # image pixels per layout pixel, for high-DPI screens
_TITLES = ("Kept", "Why", "Areas then", "Since then")
_WHY = {
    "import": "before an import",
    "accept all": "before accepting all",
    "training": "before training",
    "round of training": "before a round of training",
    "by hand": "kept by hand",
    "before restore": "before a restore",
}
_NONE_YET = "No versions yet. One is created before each import, accept-all and training, and when you press Keep now."


class VersionsDialog(QDialog):
    """The versions of the slide in view, a comparison of the selected one with the current mask, and Restore."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._slide = session, session.require_slide()
        self._versions: list[Version] = []
        self.setWindowTitle(f"Versions of {self._slide.id}")
        self.resize(_SIZE)
        self.heading, self.hint = QLabel(), SecondaryLabel()
        self.table = QTableWidget()
        self.then, self.now = _MaskThumbnail("Then"), _MaskThumbnail("Now")
        self._make_buttons()
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._show_version)
        session.save_mask()
        self._fill()

    @property
    def chosen(self) -> Version | None:
        """The selected version."""
        rows = {index.row() for index in self.table.selectedIndexes()}
        return self._versions[rows.pop()] if rows else None

    def keep(self) -> None:
        """Create a version of the current mask."""
        with show_errors():
            self._session.save_mask()
            kept = create_version(self._session.require_project(), self._slide.id, BY_HAND)
            self._fill()
            if kept is None:
                self.hint.setText("Nothing changed since the newest version, so no new one is needed.")

    def restore(self) -> None:
        """Restore the selected version."""
        version = self.chosen
        if version is None:
            return
        with show_errors():
            self._session.save_mask()
            create_version(self._session.require_project(), self._slide.id, BEFORE_RESTORE, protect=version)
            self._session.editor.run(restore(version))
            notify("Restored. Ctrl+Z undoes it.")  # napari truncates longer texts
            self.accept()

    # -- display

    def _fill(self) -> None:
        """List the versions, and select the newest."""
        project = self._session.require_project()
        self._versions = versions(project, self._slide.id)
        counts = self._session.counts(self._slide.id)
        self.table.setRowCount(len(self._versions))
        for place, version in enumerate(self._versions):
            texts = version_texts(version, counts, project.classes, self._slide)
            for column, text in enumerate(texts):
                self.table.setItem(place, column, _cell(text, version.problem))
        self.heading.setText(f"<b>{escape(self._slide.id)}</b>: {plural(len(self._versions), 'version')}")
        if (mask := project.mask_path(self._slide.id)).exists():
            self.now.set_mask(overview(mask), project.classes)
        self.keep_now.setEnabled(not self._session.read_only)
        self.table.clearSelection()
        self.table.selectRow(0)
        self._show_version()

    def _show_version(self) -> None:
        version = self.chosen
        self.ok.setEnabled(False)
        self.hint.setText(_NONE_YET if version is None else "")
        self.then.clear()
        if version is None:
            return
        self.then.title.setText(when_text(version.when, datetime.now()).capitalize())
        try:
            check_version(version)
            self.then.set_mask(overview(version.snapshot), self._session.require_project().classes)
            changed = changed_regions(version)
        except PathsegError as error:
            self.hint.setText(str(error))
            return
        self.ok.setEnabled(bool(changed) and not self._session.read_only)
        text = "Restore replaces the whole mask by this version; Ctrl+Z undoes it."
        self.hint.setText(text if changed else "The mask is now as it was then.")

    def _make_buttons(self) -> None:
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.keep_now, self.ok = QPushButton("Keep now"), QPushButton("Restore")
        self.keep_now.setToolTip("Save the current mask as a version.")
        self.ok.setToolTip("Restore the mask of the whole slide; Ctrl+Z undoes it.")
        self.buttons.addButton(self.keep_now, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.addButton(self.ok, QDialogButtonBox.ButtonRole.ApplyRole)
        for button in (self.keep_now, self.ok):
            button.setAutoDefault(False)  # so that Enter changes nothing
        self.keep_now.clicked.connect(self.keep)
        self.ok.clicked.connect(self.restore)
        self.buttons.rejected.connect(self.reject)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setSpacing(SPACING)
        self.heading.setTextFormat(Qt.TextFormat.RichText)
        set_up_table(self.table, _TITLES, stretched=(2, 3))
        self.table.setWordWrap(False)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
        layout.addWidget(self.heading)
        layout.addWidget(self.table, 1)
        layout.addLayout(row(self.then, self.now))
        layout.addWidget(self.hint)
        layout.addWidget(self.buttons)


class _MaskThumbnail(QWidget):
    """A thumbnail of a mask, with a title above."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title, self.thumbnail = PlainLabel(title), QLabel()
        self.thumbnail.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.thumbnail.setFixedHeight(_THUMBNAIL_SIZE.height())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(HALF_SPACING)
        layout.addWidget(self.title)
        layout.addWidget(self.thumbnail)

    def clear(self) -> None:
        """Clear the thumbnail."""
        self.thumbnail.clear()

    def set_mask(self, labels: npt.NDArray[np.uint8], classes: ClassTable) -> None:
        """Show classes in their colours."""
        colors = np.tile(np.array(_GROUND, np.uint8), (256, 1))
        for spec in classes:
            colors[spec.index] = (*spec.rgb, 255)
        pixels = np.ascontiguousarray(colors[labels])
        height, width = labels.shape
        image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
        room = (_THUMBNAIL_SIZE - QSize(HALF_SPACING, HALF_SPACING)) * _SHARPER
        small = image.scaled(room, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
        small.setDevicePixelRatio(_SHARPER)
        self.thumbnail.setPixmap(QPixmap.fromImage(small))


# -- text


def when_text(when: datetime, now: datetime) -> str:
    """Return a time relative to today, in words.

    >>> from datetime import UTC
    >>> when_text(datetime(2026, 3, 5, 9, 4, tzinfo=UTC), datetime(2026, 3, 6, 8, 0, tzinfo=UTC))
    'yesterday, 09:04'
    """
    when = when.astimezone(now.tzinfo)
    days = (now.date() - when.date()).days
    if days in (0, 1):
        return f"{'yesterday' if days else 'today'}, {when:%H:%M}"
    return f"{when.day} {when:%b}{'' if when.year == now.year else f' {when.year}'}, {when:%H:%M}"


def version_texts(version: Version, counts: Counts, classes: ClassTable, record: SlideRecord) -> Sequence[str]:
    """Return when and why a version was created, its areas by class, and the differences of `counts` from it."""
    when = when_text(version.when, datetime.now())
    if version.counts is None:
        return when, f"⚠ version {version.number} cannot be read", "", ""
    then, now, mpp = class_pixels(record, version.counts), class_pixels(record, counts), record.mask_mpp
    numbers = {spec.name: spec.index for spec in classes}
    areas = [f"{name} {format_area(then[index], mpp)}" for name, index in numbers.items() if then[index]]
    more = {name: int(now[index] - then[index]) for name, index in numbers.items()}
    since = [f"{name} {'+' if n > 0 else '−'}{format_area(abs(n), mpp)}" for name, n in more.items() if n]
    why = _WHY.get(version.why, version.why)
    return when, why, " · ".join(areas) or "nothing labelled", " · ".join(since) or "same areas"


def _cell(text: str, problem: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setToolTip(plain(problem or text.replace(" · ", "\n")))
    return item
