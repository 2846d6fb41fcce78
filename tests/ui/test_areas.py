import time
from dataclasses import replace

import numpy as np
import pytest

from napari_pathseg.data.classes import DEFAULT_CLASSES
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import edits, open_mask
from napari_pathseg.data.tissue import TissueMask, save_tissue
from napari_pathseg.ui.areas import Areas, rest_of_boxes

AREA, PERCENT = 5, 6
WHOLE = Region(0, 0, 256, 256)


@pytest.fixture
def shown(session, tmp_path, pictures):
    """A session with a slide of 256 x 256 pixels of 1 mm in view, of which 100 x 100 are tumour."""
    session.new_project(tmp_path / "liver.pathseg", mpp=None)
    session.add_slides(pictures[:1])
    session.opened.change("case0", mpp=1000.0)
    session.show_slide("case0")
    paint(session, Region(0, 0, 100, 100), 2)
    return session


def paint(session, region, label):
    session.mask_edited(edits.paint(session.mask, region, np.full(region[2:], label, np.uint8)))


def texts(session):
    return {index: (area.area, area.percent) for index, area in Areas(session).by_class().items()}


def find_tissue(session, rows):
    """Say that the uppermost rows of the slide are tissue."""
    pixels = np.zeros((64, 64), bool)
    pixels[: rows // 4] = True
    save_tissue(session.opened, "case0", TissueMask(pixels, 4, (256, 256), 1000.0))


def test_without_tissue_shares_are_of_what_is_labelled(shown):
    paint(shown, Region(200, 0, 50, 100), 1)
    assert texts(shown) == {1: ("5000 mm²", "33 %"), 2: ("10000 mm²", "67 %")}


def test_once_the_tissue_is_found_shares_are_of_it(shown):
    areas = Areas(shown)
    assert not areas.of_tissue
    find_tissue(shown, 128)
    assert areas.of_tissue
    assert areas.by_class()[2].percent == f"{100 * 10_000 / (128 * 256):.0f} %"
    find_tissue(shown, 64)
    assert areas.by_class()[2].percent == f"{100 * 10_000 / (64 * 256):.0f} %"


def test_the_background_of_a_complete_slide_has_the_rest_of_the_tissue(shown):
    find_tissue(shown, 128)
    shown.set_complete(True)
    found = 100 * 10_000 / (128 * 256)
    assert texts(shown)[1] == ("55536 mm²", f"{100 - found:.0f} %")


def test_a_damaged_tissue_file_leaves_the_shares_of_what_is_labelled(shown):
    find_tissue(shown, 128)
    next((shown.opened.folder / "tissue").iterdir()).write_bytes(b"no picture")
    assert texts(shown)[2] == ("10000 mm²", "100 %")


def test_the_unlabelled_in_complete_boxes_is_background(shown):
    boxes = (Region(90, 90, 20, 20), Region(100, 100, 50, 50))
    shown.layers.entry = shown.opened.change("case0", boxes=boxes)
    assert texts(shown)[1][0] == f"{400 - 100 + 2500 - 100} mm²"


def test_areas_of_a_giant_slide_with_giant_boxes_are_told_at_once(tmp_path, shown):
    side = 60_000
    boxes = (Region(0, 0, side, side // 2), Region(500, 500, 40_000, 20_000), Region(0, side // 2, 700, 700))
    entry = replace(shown.slide, shape=(side, side), boxes=boxes)
    with open_mask(tmp_path / "giant.zarr", (side, side), DEFAULT_CLASSES) as mask:
        edits.paint(mask, Region(100, 100, 2000, 2000), np.full((2000, 2000), 2, np.uint8))
        rest_of_boxes(entry, mask)
        start = time.perf_counter()
        found = rest_of_boxes(entry, mask)
        assert time.perf_counter() - start < 0.05
    assert found == pytest.approx(side * side // 2 + 700**2 - 2000**2, rel=0.002)


def test_areas_follow_the_brush_while_it_is_down(dock, pictures, qtbot):
    dock.slides.arrivals.take(pictures[:1])
    layer, row = dock.session.layers.mask, dock.outline.classes.topLevelItem(1)
    layer.brush_size, seen = 20, []
    layer._begin_stroke()
    for column in (50, 100, 150):
        layer.paint((100, column), 2)
        before = row.text(AREA)
        qtbot.waitUntil(lambda before=before: row.text(AREA) != before, timeout=2000)
        seen.append(int(row.text(AREA).split()[0]))
    layer._commit_stroke()
    assert seen == pytest.approx([317, 634, 951], rel=0.02)
    assert row.text(PERCENT) == "100 %"
