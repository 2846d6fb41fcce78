"""Help: the README at the section that is open, the tour, the keys, the messages and the doctor."""

import importlib.metadata
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from qtpy.QtCore import QSize, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QTextCursor
from qtpy.QtWidgets import QDialog, QMenu, QTextBrowser, QToolButton, QWidget

from napari_pathseg.ui.widgets.layout import column
from napari_pathseg.ui.widgets.notifications import notify

KEY = "F1"
# By section of the dock: the text with which its part of the README begins.
PLACES = {
    "": "Five minutes",
    "slides": "Open. Run",
    "outline": "Tools",
    "train": "Train. One button",
    "review": "Review. Predict",
    "export": "Export contours",
}
_HELP = (
    f"Help: what the open section does ({KEY}), a tour on sample slides, all keys, past messages,\n"
    "and checks of this computer if something does not work."
)
_SIZE = QSize(760, 640)
_IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\s*$", re.MULTILINE)


@cache
def readme() -> str:
    """Return the README: that of the checkout, or the one that is installed with the package."""
    root = Path(__file__).parents[3]
    if (root / "setup.cfg").is_file() and (root / "README.md").is_file():
        return (root / "README.md").read_text(encoding="utf8")
    try:
        found = importlib.metadata.metadata("napari-pathseg")
        return str(found.json.get("description", ""))
    except importlib.metadata.PackageNotFoundError:
        return ""


class HelpWindow(QDialog):
    """The README in a window of its own, beside which one works on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("PathSeg help")
        self.text = QTextBrowser()
        self.text.setOpenLinks(False)
        self.text.setMarkdown(_IMAGE.sub("", readme()))
        self.text.anchorClicked.connect(self._follow)
        column(self, self.text)
        self.resize(_SIZE)

    def show_section(self, section: str) -> None:
        """Show the window, from where a section of the dock is described."""
        self.show()
        self.raise_()
        self._scroll_to(PLACES.get(section, PLACES[""]))

    def _scroll_to(self, beginning: str) -> bool:
        """Scroll to the paragraph that begins with a text; return whether there is one."""
        document = self.text.document()
        block = None if document is None else document.begin()
        while block is not None and block.isValid():
            if block.text().startswith(beginning):
                cursor = QTextCursor(block)
                self.text.moveCursor(QTextCursor.MoveOperation.End)  # then the paragraph comes to the top
                self.text.setTextCursor(cursor)
                return True
            block = block.next()
        return False

    def _follow(self, url: QUrl) -> None:
        """Go to a heading, or open a page in the browser."""
        if url.scheme() in ("http", "https"):
            QDesktopServices.openUrl(url)
        elif url.hasFragment() and not url.path():
            self._scroll_to_heading(url.fragment())

    def _scroll_to_heading(self, anchor: str) -> None:
        headings = re.findall(r"^#+ (.+)$", readme(), re.MULTILINE)
        for heading in headings:
            if re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) == anchor:
                self._scroll_to(heading)


class HelpButton(QToolButton):
    """The button with the menu of help.

    Parameters
    ----------
    section
        Returns the section of the dock to help with.
    entries
        What else the menu offers: a function that returns a text, which it may take from the state, and what to do.
    """

    def __init__(self, section: Callable[[], str], entries: list[tuple[Callable[[], str], Callable[[], None]]]) -> None:
        super().__init__()
        self._section, self._entries = section, entries
        self.page: HelpWindow | None = None
        self.setText("?")
        self.setAutoRaise(True)
        self.setToolTip(_HELP)
        self.setAccessibleName("Help")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.choices = QMenu(self)
        self.choices.aboutToShow.connect(self._fill)
        self.setMenu(self.choices)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self._fill()

    def show_help(self) -> None:
        """Show what the section in use does."""
        if not readme():
            notify("The README is not installed with this copy of napari-pathseg.", kind="warning")
            return
        if self.page is None:
            self.page = HelpWindow(self.window())
        self.page.show_section(self._section())

    def _fill(self) -> None:
        self.choices.clear()
        self.choices.addAction(f"Help for this section\t{KEY}", self.show_help)
        for text, act in self._entries:
            self.choices.addAction(text(), act)
