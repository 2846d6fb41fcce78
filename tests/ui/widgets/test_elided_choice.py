"""Combo boxes: a choice that does not fit ends with an "…", and the tool-tip has all of it."""

import pytest
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QToolTip

from napari_pathseg.ui.widgets.elided_choice import ElidedChoice

LONG = "m001 · Dice 0.90 on held-out parts of case0, case1 and case2"


@pytest.fixture
def box(qtbot):
    box = QComboBox()
    qtbot.addWidget(box)
    box.addItems(["m002", LONG])
    box.elided = ElidedChoice(box)
    box.resize(180, box.sizeHint().height())
    box.show()
    return box


def test_choice_that_is_too_long_ends_with_an_ellipsis(box):
    assert box.elided.shown_text == "m002"
    short = box.grab().toImage()
    box.setCurrentIndex(1)
    assert box.elided.shown_text.endswith("…")
    assert LONG.startswith(box.elided.shown_text[:-1])
    assert box.fontMetrics().horizontalAdvance(box.elided.shown_text) < box.width() - 10
    assert box.currentText() == LONG
    assert box.grab().toImage() != short


def test_tool_tip_has_all_of_the_choice(box):
    box.setToolTip("The model that predicts.")
    box.setCurrentIndex(1)
    QApplication.sendEvent(box, QHelpEvent(QEvent.Type.ToolTip, QPoint(5, 5), box.mapToGlobal(QPoint(5, 5))))
    assert QToolTip.text() == f"{LONG}\n\nThe model that predicts."
    QToolTip.hideText()
