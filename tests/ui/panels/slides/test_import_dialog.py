import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtCore import Qt

from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import contour_file, write_contours

SQUARE = np.array([[10.5, 10.5], [10.5, 60.5], [60.5, 60.5], [60.5, 10.5]])


@pytest.fixture
def opened(dock, pictures):
    dock.slides.file_drop.add_files(pictures)
    return dock


@pytest.fixture
def ask(opened, qtbot):
    """Return the dialog about files, once all of them are read."""

    def ask_about(*paths):
        opened.slides.file_drop.open_import(paths)
        dialog = opened.slides.file_drop.dialog
        qtbot.waitUntil(lambda: not dialog.reading)
        qtbot.wait(80)
        return dialog

    return ask_about


def row_of(table, name):
    names = [table.item(row, 0).text().removeprefix("⚠ ") for row in range(table.rowCount())]
    return names.index(name)


def choose(table, name, column, text):
    box = table.cellWidget(row_of(table, name), column)
    box.setCurrentText(next(box.itemText(i) for i in range(box.count()) if text in box.itemText(i)))


def test_plain_contours_come_in_without_a_question(opened, tmp_path):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumor")])
    opened.slides.file_drop.add_files([tmp_path / "case1.geojson"])
    assert opened.session.counts("case1")[2].sum() == 2500


def test_a_name_that_the_project_lacks_is_asked_for_and_may_become_a_class(opened, ask, tmp_path, qtbot):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Necrosis", color="#323232")])
    dialog = ask(tmp_path / "case1.geojson")
    assert not dialog.ok.isEnabled()
    assert "Choose a class for Necrosis" in dialog.hint.text()
    choose(dialog.classes, "Necrosis", 3, "new class")
    qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    spec = opened.session.project.classes.named("Necrosis")
    assert spec.color == "#323232"
    assert opened.session.counts("case1")[spec.index].sum() == 2500


def test_outlines_of_a_larger_copy_are_moved_only_if_a_person_says_so(opened, ask, tmp_path):
    write_contours(tmp_path / "case2.svg", [Contour((SQUARE + 0.5) * 8 - 0.5, class_name="Tumour")])
    dialog = ask(tmp_path / "case2.svg")
    assert "may be misplaced: it would fit at 1/" in dialog.hint.text()
    assert dialog.tasks[0].options.transform == IDENTITY
    choose(dialog.files, "case2.svg", 3, "1/")
    assert isinstance(dialog.tasks[0].options.transform, AxisScaleTransform)
    assert dialog.tasks[0].options.transform.scale < 1
    dialog.accept()
    assert 0 < opened.session.counts("case2")[2].sum() <= 2500 * 4**2


def test_a_file_named_after_no_slide_goes_where_it_is_sent(opened, ask, tmp_path, qtbot):
    for name in ("a", "b"):
        write_contours(tmp_path / f"{name}.geojson", [Contour(SQUARE, class_name="Tumour")])
    dialog = ask(tmp_path / "a.geojson", tmp_path / "b.geojson")
    assert dialog.tasks == []
    choose(dialog.files, "b.geojson", 2, "case3")
    qtbot.waitUntil(lambda: bool(dialog.tasks))
    assert [(task.file.path.name, task.slide) for task in dialog.tasks] == [("b.geojson", "case3")]
    dialog.accept()
    assert opened.session.counts("case3")[2].sum() == 2500


def test_a_file_that_cannot_be_read_says_why_and_keeps_no_other_out(opened, ask, tmp_path):
    (tmp_path / "case0.geojson").write_text('{"type": "Feature", "geometry": {"type": "Curve"}}')
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumour")])
    dialog = ask(tmp_path / "case0.geojson", tmp_path / "case1.geojson")
    assert "Polygon and MultiPolygon" in dialog.files.item(row_of(dialog.files, "case0.geojson"), 0).toolTip()
    assert [task.slide for task in dialog.tasks] == ["case1"]


def test_what_a_mask_of_two_values_means_does_not_decide_for_masks_of_classes(opened, ask, tmp_path):
    white, classes = np.zeros((2, *opened.session.project.slide("case0").shape), np.uint8)
    white[:30, :30] = 1
    classes[:20, :20], classes[40:50, 40:50] = 1, 2
    for name, pixels in (("case0_mask", white), ("case1_mask", classes)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    dialog = ask(tmp_path / "case0_mask.png", tmp_path / "case1_mask.png")
    dialog.accept()
    assert opened.session.counts("case0")[2].sum() == 900
    assert [opened.session.counts("case1")[label].sum() for label in (1, 2)] == [400, 100]


def test_cancel_imports_nothing(opened, ask, tmp_path):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumour")])
    ask(tmp_path / "case1.geojson").reject()
    assert not opened.session.counts("case1").any()


def test_a_folder_without_contours_is_refused_by_name(opened, tmp_path):
    (tmp_path / "empty").mkdir()
    opened.slides.file_drop.open_import([tmp_path / "empty"])
    assert any("empty: no contour file" in record.message for record in notification_manager.records)


@pytest.fixture
def reads(monkeypatch):
    """Return the files that were read as contours, one entry for each time."""
    parse, paths = contour_file.parse_document, []
    monkeypatch.setattr(contour_file, "parse_document", lambda path: paths.append(path.name) or parse(path))
    return paths


def test_contours_imported_without_a_question_are_read_once(opened, reads, tmp_path):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumor")])
    opened.slides.file_drop.add_files([tmp_path / "case1.geojson"])
    assert opened.session.counts("case1")[2].sum() == 2500
    assert reads == ["case1.geojson"]


def test_contours_that_the_dialog_shows_are_read_once(opened, ask, reads, tmp_path):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumor")])
    ask(tmp_path / "case1.geojson").accept()
    assert opened.session.counts("case1")[2].sum() == 2500
    assert reads == ["case1.geojson"]


def test_ambiguous_contours_are_not_read_again_for_the_dialog(opened, reads, tmp_path, qtbot):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Necrosis")])
    opened.slides.file_drop.add_files([tmp_path / "case1.geojson"])
    dialog = opened.slides.file_drop.dialog
    qtbot.waitUntil(lambda: not dialog.reading)
    choose(dialog.classes, "Necrosis", 3, "Tumour")
    dialog.accept()
    assert opened.session.counts("case1")[2].sum() == 2500
    assert reads == ["case1.geojson"]
