from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_pathseg.ui.widgets.layout import column
from napari_pathseg.ui.widgets.section import CollapsibleSection


def test_open_section_is_as_high_as_its_wrapped_text_needs(qtbot):
    body = QWidget()
    label = QLabel("A sentence that wraps to many lines in a narrow panel. " * 8)
    label.setWordWrap(True)
    column(body, label)
    panel, section = QWidget(), CollapsibleSection("Title", body)
    layout = QVBoxLayout(panel)
    layout.addWidget(section)
    layout.addStretch(1)
    qtbot.addWidget(panel)
    panel.resize(200, 900)
    panel.show()
    qtbot.waitExposed(panel)
    folded = section.height()
    section.set_open(True)
    qtbot.waitUntil(lambda: section.height() > folded)
    assert section.height() == section.heightForWidth(section.width())
    assert label.height() >= label.heightForWidth(label.width())
    section.set_open(False)
    qtbot.waitUntil(lambda: section.height() == folded)
