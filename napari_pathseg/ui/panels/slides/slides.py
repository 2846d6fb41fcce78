"""The Slides panel: the list of slides, adding slides and importing contours."""

from pathlib import Path

from qtpy.QtCore import QModelIndex, QPoint, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QListView,
    QMenu,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)
from superqt.utils import qthrottled

from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.ui.panels.slides.file_drop import FileDropHandler
from napari_pathseg.ui.panels.slides.menu import SlideMenu
from napari_pathseg.ui.panels.slides.pixel_size_prompt import PixelSizePrompt
from napari_pathseg.ui.panels.slides.rows import ROW_HEIGHT, SlideDelegate, SlideListModel
from napari_pathseg.ui.panels.slides.thumbnails import Thumbnails
from napari_pathseg.ui.session.queries import slide_row, slide_rows
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.session.tissue import TissueOverlay
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors

_MIN_ROWS, _MAX_ROWS = 3, 4


class SlidesPanel(QWidget):
    """The list of slides, and the buttons that add to it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._folder: Path | None = None
        self._make_list()
        self.add_button = push_button("Add…", "Add slides to the project; they stay where they are.")
        self.import_button = push_button("Import contours…", "Import outlines or masks from other programs.")
        self.import_button.setMenu(self._import_menu())
        self.order = QComboBox()
        self.order.addItems(["Needs me", "By name"])
        self.order.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.order.setToolTip("Order of the list: slides that need your attention first, or by name.")
        self.complete = QCheckBox("Imported contours are complete")
        self.complete.setChecked(True)
        self.complete.setToolTip("Tick this if everything that is not outlined in the files is Background.")
        self.tissue = TissueOverlay(session.workspace)
        self.file_drop = FileDropHandler(session, self.complete.isChecked, self)
        self.size_question = PixelSizePrompt(session)
        buttons = row(self.add_button, self.import_button, self.order)
        column(self, buttons, self.pages, self.size_question, self.complete)
        self.add_button.clicked.connect(self.ask_for_slides)
        self.order.currentIndexChanged.connect(self.refresh)
        self._soon = qthrottled(self._show_row_in_view, timeout=300, leading=False, parent=self)
        session.project_changed.connect(self.refresh)
        session.slide_changed.connect(self._show_in_view)
        session.mask_changed.connect(self._soon.throttle)
        self.refresh()

    # -- actions

    def ask_for_slides(self) -> None:
        """Let the user choose slides to add."""
        shown = " ".join(f"*{suffix}" for suffix in sorted(SLIDE_SUFFIXES))
        files, _ = QFileDialog.getOpenFileNames(self, "Add slides", self._start(), f"Slides ({shown});;All files (*)")
        if files:
            self.file_drop.add_files([Path(file) for file in files])

    def ask_for_contours(self) -> None:
        """Let the user choose contours of the slide in view."""
        shown = " ".join(f"*{suffix}" for suffix in (*CONTOUR_SUFFIXES, *MASK_SUFFIXES))
        file, _ = QFileDialog.getOpenFileName(
            self, "Import contours of this slide", self._start(), f"Contours and masks ({shown})"
        )
        if file:
            self.file_drop.open_import([Path(file)])

    def ask_for_contour_folder(self) -> None:
        """Let the user choose a folder with contours of many slides."""
        folder = QFileDialog.getExistingDirectory(self, "Import contours of all slides", self._start())
        if folder:
            self.file_drop.open_import([Path(folder)])

    def step(self, step: int) -> None:
        """Show the next slide of the list, or the one before."""
        rows = self.model.rows
        if rows:
            here = self.model.find(self.delegate.in_view)
            self.show_slide(rows[(here + step) % len(rows) if here >= 0 else 0].id)

    def show_slide(self, slide_id: str) -> None:
        """Bring a slide into view."""
        with show_errors():
            self._session.show_slide(slide_id)

    # -- display

    def refresh(self) -> None:
        """Update the list from the project."""
        project = self._session.project
        folder = None if project is None else project.folder
        if folder != self._folder:
            self._folder = folder
            self.thumbnails.clear()
        rows = slide_rows(self._session, by_name=self.order.currentIndex() == 1)
        self.model.show(rows)
        self.pages.setCurrentIndex(1 if rows else 0)
        self.pages.setFixedHeight(max(_MIN_ROWS, min(_MAX_ROWS, len(rows))) * ROW_HEIGHT + 4)
        self.add_button.setEnabled(not self._session.read_only)
        self.import_button.setEnabled(bool(rows) and not self._session.read_only)
        self.size_question.setEnabled(not self._session.read_only)
        self._show_in_view()

    def _show_in_view(self) -> None:
        record = self._session.slide
        self.delegate.in_view = "" if record is None else record.id
        number = self.model.find(self.delegate.in_view)
        if number >= 0:
            self.list.setCurrentIndex(self.model.index(number))
            self.list.scrollTo(self.model.index(number))
        self._repaint()

    def _show_row_in_view(self) -> None:
        if self._session.slide is not None:
            self.model.change(slide_row(self._session, self._session.slide))

    def _repaint(self, *_: object) -> None:
        viewport = self.list.viewport()
        if viewport is not None:
            viewport.update()

    # -- set-up

    def _make_list(self) -> None:
        self.list = QListView()
        self.list.setUniformItemSizes(True)
        self.list.setMouseTracking(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.list.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.model = SlideListModel(self)
        self.thumbnails = Thumbnails(self._session, self)
        self.delegate = SlideDelegate(self.thumbnails, self.list)
        self.list.setModel(self.model)
        self.list.setItemDelegate(self.delegate)
        self.list.setToolTip(with_key("Double-click to show a slide", "next_slide"))
        self.empty = QLabel("Drop slides here or press Add…")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setStyleSheet("border: 1px dashed gray; border-radius: 4px;")
        self.pages = QStackedWidget()
        self.pages.addWidget(self.empty)
        self.pages.addWidget(self.list)
        self.pages.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.list.doubleClicked.connect(self._show_pressed)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._open_menu_at)
        self.delegate.role_pressed.connect(self._open_menu)
        self.thumbnails.made.connect(self._repaint)

    def _import_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.addAction("File for this slide…", self.ask_for_contours)
        menu.addAction("Folder for all slides…", self.ask_for_contour_folder)
        return menu

    def slide_menu(self, slide_id: str) -> SlideMenu:
        """Return the menu of a slide."""
        return SlideMenu(self._session, self.tissue, slide_id, self)

    def _show_pressed(self, index: QModelIndex) -> None:
        self.show_slide(index.data())

    def _open_menu(self, index: QModelIndex) -> None:
        menu = self.slide_menu(index.data())
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(QCursor.pos())

    def _open_menu_at(self, place: QPoint) -> None:
        index = self.list.indexAt(place)
        if index.isValid():
            self._open_menu(index)

    def _start(self) -> str:
        """Return the folder in which file dialogs start."""
        return "" if self._session.project is None else str(self._session.project.folder.parent)
