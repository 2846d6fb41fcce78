"""Long names of projects, slides and classes in a narrow dock: nothing is cut without an "…" and a tool-tip."""

import pytest
from PIL import Image
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QLabel

from napari_pathseg.ui.panels.slides.rows import common_ends, shortened
from napari_pathseg.ui.widgets.fixed_lines import FixedLines

NAME = "hospital_of_the_university_2024-0{}-17_S24-00{}_block_A_HE_rescan_level_3"


@pytest.fixture
def long_names(dock, tmp_path):
    session, slides = dock.session, []
    for number in range(3):
        slides.append(tmp_path / f"{NAME.format(number, number)}.png")
        Image.new("RGB", (128, 128), (200, 120 + 9 * number, 160)).save(slides[-1])
    session.new_project(tmp_path / "gastric_resections_of_the_second_half_of_2024_all_wards.pathseg")
    session.add_slides(slides)
    classes = session.project.classes.changed(2, "Poorly cohesive carcinoma, signet ring cell type", None)
    session.change_classes(classes.add("Intestinal metaplasia, incomplete type"))
    for slide in slides:
        session.show_slide(slide.stem)
        session.layers.mask.brush_size = 30
        session.layers.mask.paint((30, 30), 2)
        session.layers.mask.paint((90, 90), 1)
        session.save_mask()
    for section in dock.sections.values():
        section.set_open(True)
    session.project_changed.emit()
    QTest.qWait(500)
    return dock


def is_cut(label):
    """Return whether a label without fixed lines is smaller than its text."""
    if label.wordWrap():
        return label.heightForWidth(label.width()) > label.height() + 1
    return label.sizeHint().width() > label.width() + 1 or label.sizeHint().height() > label.height() + 1


def cut_labels(dock):
    """Return the texts of the labels that are cut without an ellipsis."""
    labels = [label for label in dock.findChildren(QLabel) if label.isVisible() and label.text()]
    return [label.text() for label in labels if label.findChild(FixedLines) is None and is_cut(label)]


def narrow_buttons(dock):
    """Return the texts of the buttons that are narrower than their text."""
    buttons = [one for one in dock.findChildren(QAbstractButton) if one.isVisible() and one.text()]
    assert len(buttons) > 20
    return [one.text() for one in buttons if one.fontMetrics().horizontalAdvance(one.text()) > one.width()]


def test_no_label_of_the_dock_is_cut_without_an_ellipsis(long_names, qtbot):
    qtbot.waitUntil(lambda: not cut_labels(long_names))
    labels = [label for label in long_names.findChildren(QLabel) if label.isVisible() and label.text()]
    fixed = {label: label.findChild(FixedLines) for label in labels}
    elided = {label.text(): one.shown_text for label, one in fixed.items() if one is not None}
    (sentence,) = [text for text in elided if text.startswith("Learns from")]
    assert elided[sentence].endswith("…")
    assert "held out to score it: " in elided[sentence]
    assert long_names.width() <= 420


def test_no_button_of_the_dock_is_narrower_than_its_text(long_names, qtbot):
    project = long_names.header.project
    qtbot.waitUntil(lambda: "…" in project.text())
    qtbot.waitUntil(lambda: not narrow_buttons(long_names))
    assert project.toolTip().startswith("gastric_resections_of_the_second_half_of_2024_all_wards.pathseg")


def test_names_that_begin_alike_are_told_apart_by_what_differs():
    names = [NAME.format(number, number) for number in range(3)]
    ends = common_ends(names)
    shown = [shortened(name, ends, lambda text: len(text) < 22) for name in names]
    assert shown == ["…00-17_S24-000…", "…01-17_S24-001…", "…02-17_S24-002…"]
    assert shortened("short", ends, lambda _: True) == "short"
