from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QColorDialog, QLineEdit

TUMOUR = 2
EYE, LOCK = 3, 4


def test_class_is_added_renamed_and_recoloured(opened):
    table = opened.annotate.classes
    table.add_class()
    table.rename(3, "Necrosis")
    table.set_color(3, "#112233")
    spec = opened.session.project.classes.specs[2]
    assert (spec.name, spec.color) == ("Necrosis", "#112233")
    assert table.topLevelItem(2).text(1) == "Necrosis"
    assert table.selected == 3


def test_table_without_a_project_says_what_it_is_for(dock):
    table = dock.annotate.classes
    assert [table.topLevelItem(row).text(0) for row in range(table.topLevelItemCount())] == [
        "The classes of a project appear here."
    ]


def test_duplicate_class_name_is_refused(opened):
    table = opened.annotate.classes
    table.topLevelItem(1).setText(1, "Background")
    assert opened.session.project.classes.names == ("Background", "Tumour")
    assert table.topLevelItem(1).text(1) == "Tumour"


def test_names_fit_into_the_narrowest_dock_and_tool_tips_have_them_in_full(opened):
    table = opened.annotate.classes
    opened.sections["outline"].set_open(True)
    opened.window().resizeDocks([opened.parent()], [opened.minimumWidth()], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    for row, needed in ((0, "Background"), (2, "Add a class…")):
        assert table.topLevelItem(row).text(1) == needed
        assert table.fontMetrics().horizontalAdvance(needed) + 6 <= table.columnWidth(1)
    assert "Tumour" in table.topLevelItem(1).toolTip(1)


def test_label_chosen_in_napari_selects_its_class(opened):
    opened.session.layers.mask.selected_label = 1
    assert opened.annotate.classes.currentItem().text(1) == "Background"


def test_complete_slide_counts_unlabelled_pixels_as_background(opened, qtbot):
    opened.sections["outline"].set_open(True)
    opened.annotate.complete.click()
    assert opened.session.project.slides["case0"].complete
    assert opened.annotate.classes.topLevelItem(0).text(5) == "0.07 Mpx"


def test_shortcuts_work_after_a_click_on_a_class(ring, qtbot):
    ring.sections["outline"].set_open(True)
    table = ring.annotate.classes
    where = table.visualRect(table.indexFromItem(table.topLevelItem(0), 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    table.setFocus()
    for key, tool in ((Qt.Key.Key_B, "brush"), (Qt.Key.Key_E, "eraser"), (Qt.Key.Key_W, "wand")):
        qtbot.keyClick(table, key, Qt.KeyboardModifier.ShiftModifier)
        assert ring.annotate.tool_controller.active_tool == tool
    qtbot.keyClick(table, Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
    assert table.selected == TUMOUR
    qtbot.keyPress(table, Qt.Key.Key_H)
    assert not ring.session.layers.mask.visible
    qtbot.keyRelease(table, Qt.Key.Key_H)
    assert ring.session.layers.mask.visible


def test_class_name_can_be_typed_in_the_table(ring, qtbot):
    ring.sections["outline"].set_open(True)
    table = ring.annotate.classes
    table.editItem(table.topLevelItem(0), 1)
    editor = table.findChild(QLineEdit)
    qtbot.keyClicks(editor, "BEW")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ring.session.require_project().classes.names[0] == "BEW")


def test_eye_and_lock_toggle_on_click(ring, qtbot):
    ring.sections["outline"].set_open(True)
    table, layer = ring.annotate.classes, ring.session.layers.mask
    item = table.topLevelItem(TUMOUR - 1)
    for column, marked in ((EYE, lambda: layer.hidden_classes), (LOCK, lambda: layer.locked_classes)):
        for expected in ({TUMOUR}, set()):
            where = table.visualRect(table.indexFromItem(item, column)).center()
            qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
            assert marked() == expected


def test_selecting_a_hidden_class_shows_it(ring):
    table = ring.annotate.classes
    table.toggle_hidden(1)
    table.select(1)
    assert ring.session.layers.mask.hidden_classes == frozenset()


def test_classes_are_moved_and_removed_by_menu_and_keys(opened, qtbot):
    table, session = opened.annotate.classes, opened.session
    session.change_classes(session.project.classes.add("Stroma").add("Fat"))
    table.select(4)
    qtbot.keyClick(table, Qt.Key.Key_Up, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert session.project.classes.names == ("Background", "Tumour", "Fat", "Stroma")
    table.select_place(3)
    assert table.selected == 4
    qtbot.keyClick(table, Qt.Key.Key_Delete, Qt.KeyboardModifier.ShiftModifier)
    assert session.project.classes.names == ("Background", "Tumour", "Stroma")
    actions = {action.text(): action for action in table.menu(3).actions()}
    assert [action.text() for action in actions["Merge into"].menu().actions()] == ["Background", "Tumour"]
    actions["Merge into"].menu().actions()[1].trigger()
    assert session.project.classes.names == ("Background", "Tumour")
    of_background = {action.text(): action for action in table.menu(1).actions()}
    possible = {text for text, action in of_background.items() if action.isEnabled() and text}
    assert possible == {"Rename", "Change colour…", "Add a class"}


def test_menu_of_a_class_changes_its_colour_and_adds_another(opened, monkeypatch):
    table = opened.annotate.classes
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#112233"))
    actions = {action.text(): action for action in table.menu(TUMOUR).actions()}
    actions["Change colour…"].trigger()
    assert opened.session.project.classes.numbered(TUMOUR).color == "#112233"
    actions["Add a class"].trigger()
    assert opened.session.project.classes.names == ("Background", "Tumour", "Class 3")


def test_click_on_a_lock_or_an_eye_leaves_the_brush_and_its_highlight(opened, qtbot):
    opened.sections["outline"].set_open(True)
    table = opened.annotate.classes
    table.select(TUMOUR)
    for column in (LOCK, EYE):
        where = table.visualRect(table.indexFromItem(table.topLevelItem(0), column)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
        assert table.selected == TUMOUR
        assert [item.text(1) for item in table.selectedItems()] == ["Tumour"]
        assert table.currentItem().text(1) == "Tumour"
    assert opened.session.class_flags.locked == {1}
    assert opened.session.class_flags.hidden == {1}
