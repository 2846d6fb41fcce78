import shutil
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage

from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.masks.shapes import PolygonShape
from napari_pathseg.ui.panels.slides.rows import progress_box, role_box
from napari_pathseg.ui.widgets.theme import STATE_HUES


@pytest.fixture
def panel(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files)
    return dock.slides


def named_as_masks(folder, target):
    """Copy the masks of a folder to names that distinguish them from slides."""
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


def test_one_corrected_pixel_leaves_a_slide_among_those_to_review(panel):
    session = panel._session
    session.show_slide("case3")
    session.refresh_mask(fill_from_model(session.mask, Region(0, 0, 90, 90), np.full((90, 90), 2, np.uint8)))
    session.layers.mask.brush_size = 1
    session.layers.mask.paint((20, 20), 1)
    session.save_mask()
    panel.refresh()
    assert names(panel)[0] == "case3"
    assert panel.model.rows[0].state == "predicted"
    session.editor.reject("slide")
    panel.refresh()
    assert names(panel) == ["case0", "case1", "case2", "case3"]
    assert panel.model.rows[3].progress.share < 0.001


def test_bar_shows_what_is_reviewed_and_what_waits(panel):
    session = panel._session
    session.show_slide("case3")
    session.refresh_mask(fill_from_model(session.mask, Region(0, 0, 256, 256), np.full((256, 256), 2, np.uint8)))
    session.layers.mask.stroke(PolygonShape([np.array([[0, 0], [0, 256], [128, 256], [128, 0]]) - 0.5]), 2)
    session.save_mask()
    panel.refresh()
    bar = progress_box(panel.list.visualRect(panel.model.index(0)))
    image = panel.list.viewport().grab().toImage()
    colors = [
        image.pixelColor(bar.left() + round(part * bar.width()), bar.center().y()).name() for part in (0.25, 0.75)
    ]
    assert colors == [STATE_HUES["corrected"], STATE_HUES["predicted"]]
    assert "50 % reviewed · 0.03 Mpx unreviewed on 1 slide" in panel.model.data(
        panel.model.index(0), Qt.ItemDataRole.ToolTipRole
    )


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


def test_masks_are_imported_into_the_slides_they_are_named_after(panel, mask_folder, tmp_path, notifications):
    panel.file_drop.add_files(named_as_masks(mask_folder, tmp_path))
    assert {row.state for row in panel.model.rows} == {"annotated"}
    assert all(entry.complete for entry in panel._session.project.slides.values())
    assert notifications[-1].endswith("4 slides. All that is not outlined on them is Background.")


def test_incomplete_contours_leave_the_rest_unlabelled(panel, mask_folder, tmp_path):
    panel.complete.setChecked(False)
    panel.file_drop.add_files(named_as_masks(mask_folder, tmp_path)[:1])
    assert not panel._session.project.slides["case0"].complete
    assert panel._session.counts("case0")[2].sum() > 10_000


def test_thumbnails_appear_without_user_action(panel, qtbot):
    qtbot.waitUntil(lambda: panel.thumbnails.find("case3") is not None)
    image = panel.thumbnails.find("case3").toImage()
    assert isinstance(image, QImage)
    assert image.pixelColor(40, 45).green() < image.pixelColor(2, 2).green()


def test_names_that_suggest_shared_patients_are_pointed_out_once(dock, slide_files, tmp_path, notifications):
    files = [Path(shutil.copy(slide_files[0], tmp_path / f"{name}.tif")) for name in ("P12_a", "P12_b", "P13_a")]
    dock.slides.file_drop.add_files(files)
    (advice,) = notifications
    assert "P12_a, P12_b would be P12" in advice
    assert "choose Patients from names or a table… in a slide's menu" in advice
    dock.slides.file_drop.add_files(files)
    assert len(notifications) == 1
