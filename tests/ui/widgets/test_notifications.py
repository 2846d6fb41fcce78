import pytest
from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from napari_pathseg.ui.widgets.notifications import notify

TEXTS = (
    "m001 is not reliable yet: Dice 0.60 (mean of Background 0.73 and Tumour 0.47) on camelyon_10670.512x512, "
    "camelyon_10672.512x512, camelyon_10683.512x512 and camelyon_10684.512x512. Outline more where it is wrong, "
    "then train again for longer.",
    "Stroma was removed on 1 slide. Undo brings it back, slide by slide.",
)


def shown(text):
    widgets = [w for w in QApplication.allWidgets() if type(w).__name__ == "NapariQtNotification"]
    return [widget for widget in widgets if widget.message.text() == text]


def test_long_message_is_shown_in_full_and_long_enough_to_read(viewer, qtbot):
    long, short = "No slide has a contour. Draw or import one in the Outline section, then train again." * 2, "Done."
    notify(long, kind="error")
    notify(short)
    qtbot.waitUntil(lambda: bool(shown(long)) and shown(long)[0].property("expanded"))
    (error,), (done,) = shown(long), shown(short)
    assert error.timer.interval() > 10_000
    assert not done.property("expanded")
    qtbot.waitUntil(lambda: error.height() >= error.sizeHint().height())


def test_messages_of_a_window_that_was_closed_are_forgotten(viewer, qtbot):
    window = QWidget()
    left = NapariQtNotification("An earlier one.", "info", parent=window)
    NapariQtNotification._instances.append(left)
    window.deleteLater()
    qtbot.waitUntil(lambda: is_deleted(left))
    try:
        notify("Done.")
        assert shown("Done.")
    finally:
        NapariQtNotification._instances.remove(left)


def is_deleted(widget):
    try:
        widget.isVisible()
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("text", TEXTS)
def test_no_line_of_a_long_message_is_cut(text, viewer, qtbot):
    viewer.window._qt_window.show()
    notify(text, kind="warning")
    qtbot.waitUntil(lambda: bool(shown(text)))
    (widget,) = shown(text)
    qtbot.wait(400)
    label = widget.message
    assert label.height() >= QLabel.heightForWidth(label, label.width())
    assert QLabel.text(label).replace("\n", "") == text
    assert "…" not in QLabel.text(label)


def test_each_message_closes_by_itself_whatever_follows_it(viewer, monkeypatch):
    monkeypatch.setattr(QWidget, "isActiveWindow", lambda _: True)  # no window is where nothing manages windows
    for text in ("One.", "Two.", "Three."):
        notify(text)
    assert all(shown(text)[0].timer.isActive() for text in ("One.", "Two.", "Three."))


def test_messages_that_came_while_another_program_was_used_close_too(viewer, monkeypatch):
    monkeypatch.setattr(QWidget, "isActiveWindow", lambda _: False)
    notify("One.")
    assert not shown("One.")[0].timer.isActive()  # nobody may have read it
    monkeypatch.setattr(QWidget, "isActiveWindow", lambda _: True)
    notify("Two.")
    assert shown("One.")[0].timer.isActive()


def test_short_message_lies_inside_the_canvas(viewer):
    notify("Done.")
    (message,) = shown("Done.")
    assert message.geometry().bottom() < message.parent().height()
