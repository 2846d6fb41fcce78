"""The list of slides with the real mouse and keys: showing, selecting, searching, removing."""

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit, QMenu, QPushButton

from napari_pathseg.projects.removed_slides import removed_slides
from napari_pathseg.projects.slide_settings import SlideChanges
from napari_pathseg.ui.panels.slides.patients_dialog import PatientsDialog
from napari_pathseg.ui.panels.slides.rows import ROW_HEIGHT, mark_box
from napari_pathseg.ui.panels.slides.slide_list import ListGrip, list_height

LEFT, CONTROL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def panel(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files)
    notification_manager.records.clear()
    return dock.slides


def click(panel, number, modifiers=Qt.KeyboardModifier.NoModifier):
    place = panel.list.visualRect(panel.model.index(number)).center()
    QTest.mouseClick(panel.list.viewport(), LEFT, modifiers, place)
    QApplication.processEvents()


def names(panel):
    return [row.id for row in panel.model.rows]


def shown(panel):
    return panel._session.slide.id


def test_click_shows_a_slide_and_the_arrows_go_on_from_it(panel):
    click(panel, 1)
    assert shown(panel) == "case1"
    assert panel.list.hasFocus() or not panel.isActiveWindow()
    for key, slide in ((Qt.Key.Key_Down, "case2"), (Qt.Key.Key_Down, "case3"), (Qt.Key.Key_Up, "case2")):
        QTest.keyClick(panel.list, key)
        QApplication.processEvents()
        assert shown(panel) == slide


def test_keys_of_tools_work_after_a_click_in_the_list(panel, dock):
    click(panel, 1)
    QTest.keyClick(panel.list, Qt.Key.Key_E, Qt.KeyboardModifier.ShiftModifier)
    assert dock.annotate.tool_controller.active_tool == "eraser"
    QTest.keyClick(panel.list, Qt.Key.Key_PageDown)
    assert shown(panel) == "case2"


def test_role_of_several_selected_slides_is_set_at_once(panel):
    click(panel, 1)
    click(panel, 3, CONTROL)
    assert shown(panel) == "case1"
    menu = panel.slide_menu("case3")
    next(action for action in menu.actions() if action.text() == "Test").trigger()
    roles = {name: record.role for name, record in panel._session.project.slides.items()}
    assert roles == {"case0": "auto", "case1": "test", "case2": "auto", "case3": "test"}


def test_removed_slides_come_back_with_one_click_and_their_outlines(panel, dock):
    session = panel._session
    click(panel, 2)
    session.layers.mask.paint((100, 100), 2)
    session.save_mask()
    before = session.counts("case2")
    click(panel, 3, CONTROL)
    QTest.keyClick(panel.list, Qt.Key.Key_Delete)
    assert names(panel) == ["case0", "case1"]
    assert shown(panel) == "case0"
    assert panel.removal.button.text() == "Bring back 2"
    QTest.mouseClick(panel.removal.button, LEFT)
    assert sorted(names(panel)) == ["case0", "case1", "case2", "case3"]
    assert panel.removal.button.isHidden()
    assert before[2].sum() > 0
    assert (session.counts("case2") == before).all()


def test_all_slides_can_be_removed_and_brought_back(panel):
    panel.list.selectAll()
    panel.remove_selected()
    assert panel._session.slide is None
    assert not names(panel)
    menu = QMenu()
    panel.removal.add_to(menu)
    back = menu.actions()[0].menu()
    assert [action.text() for action in back.actions() if action.text()] == [
        "All 4 removed slides",
        "case3",
        "case2",
        "case1",
        "case0",
    ]
    back.actions()[0].trigger()
    panel.order.setCurrentIndex(1)
    assert names(panel) == ["case0", "case1", "case2", "case3"]


def test_undo_in_the_list_brings_back_one_removal_after_the_other_and_leaves_the_outlines(panel):
    session = panel._session
    session.layers.mask.paint((100, 100), 2)
    session.save_mask()
    painted = session.counts("case0")
    for slide in ("case3", "case2"):
        click(panel, names(panel).index(slide))
        QTest.keyClick(panel.list, Qt.Key.Key_Delete)
    assert len(names(panel)) == 2
    for number, removed in ((3, {"case3"}), (4, set())):
        QTest.keyClick(panel.list, Qt.Key.Key_Z, CONTROL)
        assert len(names(panel)) == number
        assert set(removed_slides(session.project)) == removed
    session.show_slide("case0")
    assert (session.counts("case0") == painted).all()


def test_removal_moves_nothing_else(panel, dock):
    QTest.qWait(300)  # until the new window has its layout
    place = panel.complete.mapTo(dock, panel.complete.rect().topLeft())
    click(panel, 1)
    QTest.keyClick(panel.list, Qt.Key.Key_Delete)
    QTest.qWait(100)
    assert panel.removal.button.isVisible()
    assert panel.complete.mapTo(dock, panel.complete.rect().topLeft()) == place
    assert panel.sizeHint().width() <= dock.area.viewport().width()


def test_selected_slides_are_highlighted_and_the_one_in_view_is_marked(panel):
    panel.size_question.unknown.click()  # room for four rows
    QApplication.processEvents()
    click(panel, 1)
    click(panel, 3, CONTROL)
    image = panel.list.viewport().grab().toImage()

    def colors(number):
        box = panel.list.visualRect(panel.model.index(number))
        return [image.pixelColor(x, box.top() + 1).name() for x in (mark_box(box).left() + 1, box.center().x())]

    plain, in_view, other, selected = map(colors, range(4))
    assert plain == other
    assert in_view[1] == selected[1] != plain[1]
    assert in_view[0] not in (plain[0], selected[0])


def test_menu_of_several_slides_says_for_how_many_it_is(panel):
    click(panel, 1)
    click(panel, 3, CONTROL)
    texts = [action.text() for action in panel.slide_menu("case3").actions()]
    assert texts[0] == "2 slides"
    assert {"Patient of 2 slides…", "Remove 2 slides\tDel"} <= set(texts)


def test_search_begins_at_the_top_and_enter_goes_on_to_the_list(panel):
    click(panel, 3)
    panel.filter.search.setFocus()
    QTest.keyClicks(panel.filter.search, "case1")
    assert shown(panel) == "case3"
    QTest.keyClick(panel.filter.search, Qt.Key.Key_Return)
    assert shown(panel) == "case1"
    QTest.keyClick(panel.filter.search, Qt.Key.Key_Escape)
    assert len(names(panel)) == 4


def test_list_is_as_high_as_its_edge_is_dragged_and_stays_so(panel, dock):
    usual, grip = panel.list_area.height(), panel.grip

    def drag(pixels):
        QTest.mousePress(grip, LEFT, pos=grip.rect().center())
        QTest.mouseMove(grip, grip.rect().center() + QPoint(0, pixels))
        QTest.mouseRelease(grip, LEFT)

    drag(2 * ROW_HEIGHT)
    assert panel.list_area.height() == usual + 2 * ROW_HEIGHT
    assert ListGrip()._rows == grip._rows
    drag(-100 * ROW_HEIGHT)
    assert panel.list_area.height() == list_height(0)
    QTest.mouseDClick(grip, LEFT)
    assert panel.list_area.height() == usual == list_height(dock.height())


def test_a_list_made_high_leaves_room_in_a_smaller_window():
    assert list_height(700, 40) < 0.8 * 700
    assert list_height(2000, 40) > list_height(700, 40)


def test_search_and_filter_show_the_slides_that_match(panel):
    panel._session.change_slides(["case2"], SlideChanges(role="test", patient="P07"))
    panel.filter.search.setText("p07 TEST")
    assert names(panel) == ["case2"]
    assert panel.filter.count.text() == "1 of 4"
    panel.filter.clear()
    panel.filter._fill_menu()
    next(action for action in panel.filter.menu.actions() if action.text() == "Auto").trigger()
    assert names(panel) == ["case0", "case1", "case3"]
    panel.filter.clear()
    panel.filter._fill_menu()
    patients = next(action.menu() for action in panel.filter.menu.actions() if action.text() == "Patient")
    next(action for action in patients.actions() if action.text() == "P07").trigger()
    assert names(panel) == ["case2"]
    panel.filter.clear()
    panel._session.layers.mask.paint((100, 100), 2)
    panel._session.save_mask()
    panel.filter._fill_menu()
    next(action for action in panel.filter.menu.actions() if action.text() == "annotated").trigger()
    assert names(panel) == ["case0"]
    panel.filter.clear()
    assert len(names(panel)) == 4


def test_page_keys_pass_over_a_missing_file_and_say_so(panel):
    project = panel._session.project
    project.find_file(project.slide("case1")).unlink()
    panel.step(1)
    assert shown(panel) == "case2"
    assert "case1 was passed over" in notification_manager.records[-1].message


def test_names_are_sorted_by_their_numbers(panel, slide_folder):
    for number in (10, 9):
        Image.fromarray(np.full((64, 64, 3), 90 + number, np.uint8)).save(slide_folder / f"case{number}.png")
    panel.file_drop.add_files([slide_folder / "case10.png", slide_folder / "case9.png"])
    panel.order.setCurrentIndex(1)
    assert names(panel)[-2:] == ["case9", "case10"]


def test_list_grows_with_the_window(panel, dock):
    heights = []
    for height in (700, 1400):
        dock.resize(dock.width(), height)
        QApplication.processEvents()
        assert panel.list_area.height() == list_height(dock.height())
    heights = [list_height(height) for height in (300, 740, 1400)]
    assert heights == sorted(set(heights))


def test_patients_are_shown_before_they_are_set_from_a_table(panel, slide_folder):
    table = slide_folder.parent / "patients.csv"
    table.write_text("slide,patient\ncase0,A\ncase1,A\ncase2,B\ncase3,B\n")
    panel.slide_menu("case0").ask_for_pattern()
    dialog = panel.window().findChild(PatientsDialog)
    ok = dialog.buttons.findChildren(QPushButton)[0]
    dialog.findChild(QLineEdit).setText("(")
    assert "not a regular expression" in dialog.note.text()
    assert not ok.isEnabled()
    dialog.findChild(QLineEdit).setText(str(table))
    cells = [[dialog.preview.item(line, place).text() for place in (0, 1)] for line in range(2)]
    assert cells == [["A", "2: case0, case1"], ["B", "2: case2, case3"]]
    QTest.mouseClick(ok, LEFT)
    patients = {name: record.patient for name, record in panel._session.project.slides.items()}
    assert patients == {"case0": "A", "case1": "A", "case2": "B", "case3": "B"}
