"""The Slides panel: the list of slides, adding slides and importing contours."""

from pathlib import Path

from qtpy.QtCore import QModelIndex, QPoint, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QMenu,
    QStackedWidget,
    QWidget,
)
from superqt.utils import qthrottled

from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES
from napari_pathseg.errors import PathsegError, UnsupportedSlideError
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.ui.panels.slides.file_drop import FileDropHandler
from napari_pathseg.ui.panels.slides.filter_row import FilterRow
from napari_pathseg.ui.panels.slides.menu import SlideMenu
from napari_pathseg.ui.panels.slides.pixel_size_prompt import PixelSizePrompt
from napari_pathseg.ui.panels.slides.removal import SlideRemoval
from napari_pathseg.ui.panels.slides.rows import SlideDelegate, SlideListModel
from napari_pathseg.ui.panels.slides.slide_list import ListGrip, SlideListView
from napari_pathseg.ui.panels.slides.thumbnails import Thumbnails
from napari_pathseg.ui.session.queries import slide_row, slide_rows
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.session.tissue import TissueOverlay
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import notify, show_errors
from napari_pathseg.ui.widgets.theme import HALF_SPACING


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
        self.complete = QCheckBox("Imports are complete")
        self.complete.setChecked(True)
        self.complete.setToolTip("Tick this if everything that is not outlined in the files is Background.")
        self.tissue = TissueOverlay(session.workspace)
        self.file_drop = FileDropHandler(session, self.complete.isChecked, self)
        self.size_question = PixelSizePrompt(session)
        buttons = row(self.add_button, self.import_button, self.order)
        below = row(self.complete, None, self.removal.button)
        column(self.list_area, self.pages, self.size_question).setSpacing(HALF_SPACING)
        column(self, buttons, self.filter, self.list_area, self.grip, below).setSpacing(HALF_SPACING)
        self.add_button.clicked.connect(self.ask_for_slides)
        self.order.currentIndexChanged.connect(self.refresh)
        self._show_row_later = qthrottled(self._show_row_in_view, timeout=300, leading=False, parent=self)
        session.project_changed.connect(self.refresh)
        session.slide_changed.connect(self._show_in_view)
        session.mask_changed.connect(self._show_row_later.throttle)
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
        """Show the next slide of the list, or the one before; pass over those whose file cannot be opened."""
        rows = self.model.rows
        here = self.model.find(self.delegate.in_view)
        start = here if here >= 0 else (-1 if step > 0 else 0)
        passed: dict[str, str] = {}
        for distance in range(1, len(rows) + 1):
            slide = rows[(start + step * distance) % len(rows)].id
            try:
                self._session.show_slide(slide)
            except UnsupportedSlideError as error:
                passed[slide] = str(error)
                continue
            except PathsegError as error:  # the slide in view could not be saved
                notify(str(error), kind="error")
            break
        if passed:
            names = f"{len(passed)} slides were" if len(passed) > 1 else f"{next(iter(passed))} was"
            notify(f"{names} passed over: the file cannot be opened.", "\n".join(passed.values()), "warning")

    def remove_selected(self) -> None:
        """Take the selected slides off the list; a button below it brings them back."""
        self.removal.remove(self.list.selected)

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
        self.model.show(self.filter.shown_rows(rows))
        self.pages.setCurrentIndex(1 if rows else 0)
        self.add_button.setEnabled(not self._session.workspace.taken)
        self.import_button.setEnabled(bool(rows) and not self._session.workspace.taken)
        self.size_question.setEnabled(not self._session.workspace.taken)
        self._show_in_view()

    def _apply_filter(self) -> None:
        """Show the slides that match, from the top unless the one in view is among them."""
        self.refresh()
        if self.model.find(self.delegate.in_view) < 0:
            self.list.scrollToTop()

    def _go_to_list(self) -> None:
        """Go from the search to the list, and show its first slide unless the one in view is in it."""
        if self.model.rows:
            self.list.setFocus()
            if self.model.find(self.delegate.in_view) < 0:
                self.list.select(self.model.index(0))
                self.show_slide(self.model.rows[0].id)

    def _show_in_view(self) -> None:
        record = self._session.slide
        self.delegate.in_view = "" if record is None else record.id
        number = self.model.find(self.delegate.in_view)
        if number >= 0:
            if self.delegate.in_view not in self.list.selected:
                self.list.select(self.model.index(number))
            self.list.scrollTo(self.model.index(number))
        self._repaint()

    def _show_row_in_view(self) -> None:
        if self._session.project is not None and self._session.slide is not None:  # else it is being closed
            self.model.change(slide_row(self._session, self._session.slide))

    def _repaint(self, *_: object) -> None:
        viewport = self.list.viewport()
        if viewport is not None:
            viewport.update()

    # -- set-up

    def _make_list(self) -> None:
        self.list = SlideListView()
        self.filter = FilterRow()
        self.model = SlideListModel(self)
        self.thumbnails = Thumbnails(self._session, self)
        self.delegate = SlideDelegate(self.thumbnails, self.list)
        self.list.setModel(self.model)
        self.list.setItemDelegate(self.delegate)
        steps = f"{with_key('the next', 'next_slide')}, {with_key('the previous', 'previous_slide')}"
        self.list.setToolTip(
            f"Click to show a slide, or use the arrows; {steps}.\n"
            "Ctrl or Shift selects several. Right-click for role, patient, tissue, versions, pixel size, removal."
        )
        self.empty = QLabel("Drop slides here or press Add…")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setStyleSheet("border: 1px dashed gray; border-radius: 4px;")
        self.tour = push_button(
            "Take the tour", "Learn the whole loop in six steps on sample slides; leave it at any time (also under ?)."
        )
        empty = QWidget()
        column(empty, self.empty, row(None, self.tour, None)).setSpacing(HALF_SPACING)
        self.pages = QStackedWidget()
        self.pages.addWidget(empty)
        self.pages.addWidget(self.list)
        self.list_area = QWidget()  # of the height of the list, of which a prompt takes its part
        self.grip = ListGrip()
        self.grip.moved.connect(self._resize_list)
        self.set_panel_height(0)
        self.list.shown.connect(self._show_pressed)
        self.removal = SlideRemoval(self._session)
        self.list.removal_wanted.connect(self.remove_selected)
        self.list.undo_removal = self.removal.undo
        self.empty.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.empty.customContextMenuRequested.connect(self._open_empty_menu)
        self.filter.changed.connect(self._apply_filter)
        self.filter.left.connect(self._go_to_list)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._open_menu_at)
        self.delegate.role_pressed.connect(self._open_menu)
        self.thumbnails.loaded.connect(self._repaint)

    def _import_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.addAction("File for this slide…", self.ask_for_contours)
        menu.addAction("Folder for all slides…", self.ask_for_contour_folder)
        return menu

    def slide_menu(self, slide_id: str) -> SlideMenu:
        """Return the menu of a slide, and of the others that are selected with it."""
        if slide_id not in self.list.selected:
            self.list.select(self.model.index(self.model.find(slide_id)))
        menu = SlideMenu(self._session, self.tissue, slide_id, self, self.list.selected)
        if self._session.project is not None and not self._session.read_only:
            menu.addSeparator()
            number = len(self.list.selected)
            menu.addAction(f"Remove {number} slides\tDel" if number > 1 else "Remove\tDel", self.remove_selected)
            self.removal.add_to(menu)
        return menu

    def set_panel_height(self, height: int) -> None:
        """Give the list its share of the height of the panel that it is in, or the height that the user gave it."""
        self.grip.panel_height = height
        self.list_area.setFixedHeight(self.grip.list_height)

    def _resize_list(self) -> None:
        self.set_panel_height(self.grip.panel_height)

    def _show_pressed(self, slide_id: str) -> None:
        if slide_id != self.delegate.in_view:
            self.show_slide(slide_id)

    def _open_menu(self, index: QModelIndex) -> None:
        menu = self.slide_menu(index.data())
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(QCursor.pos())

    def _open_menu_at(self, place: QPoint) -> None:
        index = self.list.indexAt(place)
        if index.isValid():
            self._open_menu(index)

    def _open_empty_menu(self) -> None:
        """Offer to bring slides back while the list is empty."""
        menu = QMenu(self)
        self.removal.add_to(menu)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(QCursor.pos())

    def _start(self) -> str:
        """Return the folder in which file dialogs start."""
        return "" if self._session.project is None else str(self._session.project.folder.parent)
