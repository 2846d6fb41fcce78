"""Labels of fixed height: what does not fit ends with an "…", and the tool-tip has all of it."""

import pytest
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QLabel, QToolTip

from napari_pathseg.ui.widgets.fixed_lines import FixedLines

LONG = "Learns from 12 slides: " + ", ".join(f"case{number}" for number in range(40)) + ". Held out: case41."


@pytest.fixture
def make(qtbot):
    def make(text, lines, width=200, own=""):
        label = QLabel(text)
        qtbot.addWidget(label)
        label.setToolTip(own)
        fixed = FixedLines(label, lines)
        label.resize(width, label.height())
        label.show()
        QApplication.processEvents()
        return label, fixed

    return make


def ink(label):
    """Return the rows and columns of a label that something is drawn in."""
    image = label.grab().toImage()
    ground = image.pixelColor(image.width() - 1, image.height() - 1)
    drawn = [
        (row, column)
        for row in range(image.height())
        for column in range(image.width())
        if image.pixelColor(column, row) != ground
    ]
    rows, columns = zip(*drawn, strict=True)
    return max(rows), max(columns)


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_text_that_is_too_long_ends_with_an_ellipsis_inside_the_label(make, lines):
    label, fixed = make(LONG, lines)
    assert fixed.shown_text.endswith("…")
    assert LONG.startswith(fixed.shown_text[:-1])
    assert len(fixed.shown_text) > 15 * lines
    assert label.text() == LONG
    bottom, right = ink(label)
    assert bottom < label.height() - 1
    assert right < label.width()
    assert bottom > (lines - 1) * label.fontMetrics().lineSpacing()


def test_rich_text_that_is_too_long_keeps_its_colours_and_ends_with_an_ellipsis(make):
    label, fixed = make(f'<span style="color: #ff0000">{LONG}</span>', 2)
    assert fixed.shown_text.endswith("…")
    assert "<" not in fixed.shown_text
    image = label.grab().toImage()
    colors = {image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())}
    assert "#ff0000" in colors


def test_text_that_fits_is_left_alone(make):
    _, fixed = make("Nothing unreviewed", 1)
    assert fixed.shown_text == "Nothing unreviewed"


def test_a_name_without_spaces_is_shown_up_to_an_ellipsis(make):
    _, fixed = make("2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048" * 3, 2)
    assert fixed.shown_text.endswith("…")
    assert len(fixed.shown_text) > 30


@pytest.mark.parametrize("own", ["", "Press F1."])
def test_tool_tip_has_all_of_the_text(make, own, monkeypatch):
    label, _ = make(LONG, 1, own=own)
    QApplication.sendEvent(label, QHelpEvent(QEvent.Type.ToolTip, QPoint(5, 5), label.mapToGlobal(QPoint(5, 5))))
    assert QToolTip.text() == (f"{LONG}\n\n{own}" if own else LONG)
    QToolTip.hideText()


def test_text_is_shown_whole_once_there_is_room(make):
    label, fixed = make("Learns from 12 slides: case1, case2 and case3", 1)
    assert fixed.shown_text.endswith("…")
    label.resize(900, label.height())
    assert fixed.shown_text == label.text()
