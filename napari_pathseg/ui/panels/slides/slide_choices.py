"""The boxes in which the user chooses the slide of an annotation file.

A project with hundreds of slides has hundreds of boxes: they share their lists.
"""

from collections.abc import Iterable

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox

from napari_pathseg.projects.importing.file_survey import SlideNames
from napari_pathseg.projects.importing.import_preview import AnnotationFileInfo
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.widgets.elided_choice import ElidedChoice
from napari_pathseg.ui.widgets.plain_text import plain
from napari_pathseg.ui.widgets.spin_box import ignore_unfocused_wheel

LEAVE_OUT, NEW_SLIDE = "", "+"
_LEAST_LETTERS = 10  # of a choice in a table


class SlideChoices:
    """Makes a box for each file; what is chosen is its data: `slides_key`, `LEAVE_OUT` or `NEW_SLIDE`."""

    def __init__(self, project: Project, parent: QObject) -> None:
        self._slides = list(project.slides)
        self._stacks = SlideNames(project).stacks
        self._lists: dict[tuple[bool, bool], QStandardItemModel] = {}
        self._parent = parent

    def box(self, file: AnnotationFileInfo) -> QComboBox:
        """Return a box with the choices that a file has, set to the slides that it is read for."""
        box = combo_box("The slide that this file belongs to.")
        box.setModel(self._list(image=file.is_label_image, pages=file.pages > 1))
        if (names := box.view()) is not None:
            names.setTextElideMode(Qt.TextElideMode.ElideNone)
        box.setCurrentIndex(max(0, box.findData(slides_key(file.slides))))
        return box

    def _list(self, *, image: bool, pages: bool) -> QStandardItemModel:
        """Return the list of choices of a label image, or of one with several pages, or of a contour file."""
        found = self._lists.get((image, pages))
        if found is None:
            choices = [("leave out", LEAVE_OUT)]
            choices += [("a new slide", NEW_SLIDE)] if image else []
            if pages:
                choices += [
                    (f"{stem}: {len(slides)} pages", slides_key(slides)) for stem, slides in self._stacks.items()
                ]
            choices += [(slide, slide) for slide in self._slides]
            found = self._lists[image, pages] = QStandardItemModel(self._parent)
            for text, data in choices:
                item = QStandardItem(text)
                item.setData(data, Qt.ItemDataRole.UserRole)
                found.appendRow(item)
        return found


def slides_key(slides: Iterable[str]) -> str:
    """Return the data of the choice of some slides."""
    return "\n".join(slides)


def combo_box(tool_tip: str) -> QComboBox:
    """Return a box that is as wide as its column, and that the wheel does not change by accident."""
    box = QComboBox()
    box.setToolTip(plain(tool_tip))
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_LEAST_LETTERS)  # longer ones would cover the next column
    ignore_unfocused_wheel(box)
    ElidedChoice(box)
    return box
