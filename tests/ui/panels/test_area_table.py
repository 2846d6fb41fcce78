import csv

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_pathseg.geometry import Region
from napari_pathseg.masks import edits
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.ui.panels.area_table import AreaTableDialog
from napari_pathseg.ui.session.import_controller import add_files


def opened_table(dock, qtbot):
    before = set(dock.findChildren(AreaTableDialog))
    dock.sections["export"].set_open(True)
    qtbot.mouseClick(dock.export.table_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(set(dock.findChildren(AreaTableDialog)) - before))
    (table,) = set(dock.findChildren(AreaTableDialog)) - before
    return table


@pytest.fixture
def annotated(opened, mask_folder):
    add_files(opened.session, [mask_folder], complete=True)
    return opened


@pytest.fixture
def table(annotated, qtbot):
    return opened_table(annotated, qtbot)


def cells(table):
    read = table.table
    return [[read.item(line, place).text() for place in range(read.columnCount())] for line in range(read.rowCount())]


def test_table_has_a_row_for_each_class_of_each_slide(annotated, table):
    classes = annotated.session.project.classes.names
    assert {tuple(line[:2]) for line in cells(table)} == {
        (f"case{number}", name) for number in range(4) for name in classes
    }


def test_saved_table_is_that_of_the_exported_files(annotated, table, tmp_path):
    table.save_to(tmp_path / "areas.csv")
    files = export(annotated.session.project, tmp_path / "out", ExportOptions(format="csv"))
    exported = [line for path in files for line in csv.reader(path.open(encoding="utf-8"))]
    saved = list(csv.reader((tmp_path / "areas.csv").open(encoding="utf-8")))
    assert saved[0] == exported[0]
    assert sorted(saved[1:]) == sorted(line for line in exported if line != exported[0])


def test_unreviewed_pixels_are_no_part_of_what_is_reviewed(opened, qtbot):
    session = opened.session
    rows, columns = session.mask.shape
    half = Region(0, 0, rows // 2, columns)
    session.refresh_mask(edits.paint(session.mask, half, np.full((half.height, half.width), 2, np.uint8)))
    rest = Region(half.height, 0, rows - half.height, columns)
    filled = np.full((rest.height, rest.width), 2, np.uint8)
    session.refresh_mask(edits.fill_from_model(session.mask, rest, filled))
    (row,) = [one for one in opened_table(opened, qtbot).shown if one.pixels]
    assert row.pixels == rows * columns
    assert row.percent_reviewed == pytest.approx(100 * half.height / rows)


def test_typed_text_narrows_rows_their_sum_and_the_copy(annotated, table):
    tumour = annotated.session.project.classes.names[1]
    table.filter.setText("CASE2")
    assert {one.slide for one in table.shown} == {"case2"}
    assert table.summary.text().startswith("1 slide in all:")
    table.filter.setText(tumour.upper())
    table.copy.click()
    header, *lines = QApplication.clipboard().text().split("\n")
    assert header.split("\t")[:2] == ["slide", "class"]
    assert [line.split("\t")[:2] for line in lines] == [[f"case{number}", tumour] for number in range(4)]
    table.filter.setText("nothing of that name")
    assert not table.copy.isEnabled()
    assert not table.save.isEnabled()


def test_columns_of_numbers_are_sorted_by_value(table):
    pixels = table.table.columnCount() - 1
    table.table.sortByColumn(pixels, Qt.SortOrder.DescendingOrder)
    numbers = [int(line[pixels].replace(",", "")) for line in cells(table)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1]


def test_without_any_contour_a_sentence_says_so(opened, qtbot, notifications):
    opened.sections["export"].set_open(True)
    qtbot.mouseClick(opened.export.table_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: any("no mask to export" in text for text in notifications))
    assert not opened.findChildren(AreaTableDialog)
