import shutil
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage

from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.ui.panels.slides.rows import role_box


@pytest.fixture
def panel(dock, pictures):
    dock.slides.file_drop.add_files(pictures)
    return dock.slides


def named_as_masks(folder, target):
    """Copy the masks of a folder to names that tell them from slides."""
    return [Path(shutil.copy(path, target / f"{path.stem}_mask.png")) for path in sorted(folder.glob("case*.png"))]


def names(panel):
    return [row.id for row in panel.model.rows]


def test_added_slides_are_listed(panel):
    assert panel.list.isVisible()
    assert names(panel) == ["case0", "case1", "case2", "case3"]
    assert {row.state for row in panel.model.rows} == {"new"}


def test_double_click_shows_a_slide(panel, qtbot):
    box = panel.list.visualRect(panel.model.index(2))
    for click in (qtbot.mouseClick, qtbot.mouseDClick):
        click(panel.list.viewport(), Qt.MouseButton.LeftButton, pos=box.center())
    assert panel._session.slide.id == "case2"


def test_slides_to_review_come_first(panel):
    session = panel._session
    session.show_slide("case3")
    session.refresh_mask(fill_from_model(session.mask, Region(0, 0, 9, 9), np.full((9, 9), 2, np.uint8)))
    panel.refresh()
    assert names(panel) == ["case3", "case0", "case1", "case2"]
    panel.order.setCurrentIndex(1)
    assert names(panel) == ["case0", "case1", "case2", "case3"]


def test_role_is_chosen_from_its_menu(panel, qtbot):
    pressed = []
    panel.delegate.role_pressed.disconnect()
    panel.delegate.role_pressed.connect(lambda index: pressed.append(index.data()))
    chip = role_box(panel.list.visualRect(panel.model.index(1))).center()
    qtbot.mouseClick(panel.list.viewport(), Qt.MouseButton.LeftButton, pos=chip)
    assert pressed == ["case1"]
    actions = {action.text(): action for action in panel.slide_menu("case1").actions()}
    assert list(actions)[:4] == ["Auto", "Training", "Validation", "Test"]
    actions["Validation"].trigger()
    assert panel._session.project.slides["case1"].role == "val"
    assert panel.model.rows[1].role == "val"


def test_masks_are_imported_into_the_slides_they_are_named_after(panel, mask_folder, tmp_path):
    panel.file_drop.add_files(named_as_masks(mask_folder, tmp_path))
    assert {row.state for row in panel.model.rows} == {"annotated"}
    assert all(entry.complete for entry in panel._session.project.slides.values())


def test_contours_that_are_not_complete_leave_the_rest_unlabelled(panel, mask_folder, tmp_path):
    panel.complete.setChecked(False)
    panel.file_drop.add_files(named_as_masks(mask_folder, tmp_path)[:1])
    assert not panel._session.project.slides["case0"].complete
    assert panel._session.counts("case0")[2].sum() > 10_000


def test_thumbnails_appear_by_themselves(panel, qtbot):
    qtbot.waitUntil(lambda: panel.thumbnails.find("case3") is not None)
    picture = panel.thumbnails.find("case3").toImage()
    assert isinstance(picture, QImage)
    assert picture.pixelColor(40, 45).green() < picture.pixelColor(2, 2).green()
