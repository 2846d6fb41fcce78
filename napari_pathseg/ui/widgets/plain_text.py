"""Text that may hold a name that a stranger gave, shown as it is: markup in it is not drawn, loaded or followed.

Qt guesses whether the text of a label or tool-tip is HTML, and would show the picture that a class is named after.
"""

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget


class PlainLabel(QLabel):
    """A label of plain text."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)


def plain(text: str) -> str:
    r"""Return a text for a tool-tip or message, in which Qt shows it letter for letter.

    >>> plain("case 7"), plain("<b>case</b>\nTumour")
    ('case 7', '<qt>&lt;b&gt;case&lt;/b&gt;<br>Tumour</qt>')
    """
    return text if "<" not in text else f"<qt>{escape(text, quote=False).replace(chr(10), '<br>')}</qt>"


def without_tags(text: str) -> str:
    r"""Return a text for a label of napari's, which guesses whether it is HTML: an invisible character parts the tags.

    >>> without_tags("<b>case")
    '<\u2060b>case'
    """
    return text.replace("<", "<\u2060")


def menu_text(name: str) -> str:
    r"""Return a name as the text of a menu's entry, in which ``&`` marks a key and a tab a shortcut.

    >>> menu_text("Fat & muscle	")
    'Fat && muscle '
    """
    return name.replace("&", "&&").replace("\t", " ")


def paragraphs(*tips: str) -> str:
    """Return tool-tips as one, those that are empty left out; each is as :func:`plain` returns it, or HTML."""
    shown = [tip for tip in tips if tip]
    return ("<br><br>" if any("<" in tip for tip in shown) else "\n\n").join(shown)
