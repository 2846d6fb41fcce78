import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import edits, open_mask
from napari_pathseg.masks.shapes import PolygonShape
from napari_pathseg.masks.stroke_queue import Brush, Stroke
from napari_pathseg.projects.areas import class_shares, unlabelled_in_boxes
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.slide_settings import SlideChanges
from napari_pathseg.projects.tissue_masks import save_tissue, tissue_path
from napari_pathseg.slides.tissue import TissueMask
from napari_pathseg.ui.session.class_areas import ClassAreas
from napari_pathseg.ui.session.learns_from import training_summary

AREA, PERCENT = 5, 6
WHOLE = Region(0, 0, 256, 256)


@pytest.fixture
def shown(session, tmp_path, slide_files):
    """A session with a slide of 256 x 256 pixels of 1 mm in view, of which 100 x 100 are tumour."""
    session.new_project(tmp_path / "liver.pathseg", mpp=None)
    session.add_slides(slide_files[:1])
    session.require_project().update_slide("case0", mpp=1000.0)
    session.show_slide("case0")
    paint(session, Region(0, 0, 100, 100), 2)
    return session


def paint(session, region, label):
    session.refresh_mask(edits.paint(session.mask, region, np.full(region[2:], label, np.uint8)))


def texts(areas):
    return {index: (area.area, area.percent) for index, area in areas.by_class().items()}


def look(areas, qtbot):
    """Wait until the areas know the tissue of the slide in view."""
    qtbot.waitUntil(lambda: not areas.tissue.update())
    return areas


def paint_tissue(session, rows):
    """Save a tissue mask of the uppermost rows of the slide."""
    pixels = np.zeros((64, 64), bool)
    pixels[: rows // 4] = True
    save_tissue(session.require_project(), "case0", TissueMask(pixels, 4, (256, 256), 1000.0))


def pixels_read(mask, monkeypatch):
    """Return a list to which each read of the mask's levels adds its number of pixels."""
    read, preview = [], mask.preview

    def counted(region, level):
        read.append(region.height * region.width)
        return preview(region, level)

    monkeypatch.setattr(mask, "preview", counted)
    return read


def test_shares_are_of_the_tissue_or_not_shown(shown):
    paint(shown, Region(200, 0, 50, 100), 1)
    assert texts(ClassAreas(shown.workspace)) == {1: ("5000 mm²", ""), 2: ("10000 mm²", "")}


@pytest.mark.parametrize("kind", ["partial", "complete", "boxes"])
def test_window_and_exported_table_show_the_same_areas_and_percentages(shown, qtbot, tmp_path, kind):
    paint(shown, Region(120, 30, 50, 70), 1)
    shown.refresh_mask(edits.fill_from_model(shown.mask, Region(0, 200, 90, 40), np.full((90, 40), 2, np.uint8)))
    paint_tissue(shown, 160)
    if kind == "complete":
        shown.editor.set_complete(True)
    if kind == "boxes":
        boxes = (Region(90, 90, 20, 20), Region(100, 100, 50, 50))
        shown.layers.record = shown.require_project().update_slide("case0", boxes=boxes)
    seen = texts(look(ClassAreas(shown.workspace), qtbot))
    shown.save_mask()
    (path,) = export(shown.require_project(), tmp_path / "out", ExportOptions(format="csv"))
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    told = {row["class"]: (float(row["area_mm2"]), float(row["percent_of_tissue"])) for row in rows}
    shown_texts = {name: seen[index] for index, name in enumerate(told, 1)}
    assert shown_texts == {name: (f"{mm2:.0f} mm²", f"{percent:.0f} %") for name, (mm2, percent) in told.items()}


def test_tissue_is_detected_once_and_saved_in_the_project(shown, qtbot):
    areas = look(ClassAreas(shown.workspace), qtbot)
    assert areas.by_class()[2].percent == f"{100 * 10_000 / 256**2:.0f} %"  # the slide is pink all over
    written = tissue_path(shown.require_project(), "case0").stat().st_mtime_ns
    assert not areas.tissue.needs_update
    look(ClassAreas(shown.workspace), qtbot)
    assert tissue_path(shown.require_project(), "case0").stat().st_mtime_ns == written


def test_shares_follow_edits_of_the_tissue(shown, qtbot):
    areas = ClassAreas(shown.workspace)
    assert not areas.of_tissue
    paint_tissue(shown, 128)
    assert look(areas, qtbot).by_class()[2].percent == f"{100 * 10_000 / (128 * 256):.0f} %"
    paint_tissue(shown, 64)
    assert areas.tissue.needs_update
    assert areas.of_tissue  # as it was, until the new one is read
    assert look(areas, qtbot).by_class()[2].percent == f"{100 * 64 * 100 / (64 * 256):.0f} %"


def test_tissue_of_a_read_only_project_is_detected_but_not_saved(shown, qtbot):
    shown.require_project().release_lock()
    areas = look(ClassAreas(shown.workspace), qtbot)
    assert areas.of_tissue
    assert not areas.tissue.needs_update
    assert not tissue_path(shown.require_project(), "case0").exists()


def test_tissue_is_known_for_each_slide(shown, slide_files, qtbot):
    shown.add_slides(slide_files[1:2])
    paint_tissue(shown, 128)
    areas = ClassAreas(shown.workspace)
    assert areas.tissue.update()
    shown.show_slide("case1")
    assert areas.tissue.pixel_count is None
    assert look(areas, qtbot).tissue.pixel_count == 256 * 256
    shown.show_slide("case0")
    assert areas.tissue.pixel_count == 128 * 256


def test_missing_slide_file_leaves_the_areas(shown, slide_files, qtbot):
    slide_files[0].unlink()
    areas = look(ClassAreas(shown.workspace), qtbot)
    assert texts(areas)[2] == ("10000 mm²", "")
    assert not areas.tissue.needs_update  # not retried at every stroke


def test_background_of_a_complete_slide_is_the_rest_of_the_tissue(shown, qtbot):
    paint_tissue(shown, 128)
    shown.editor.set_complete(True)
    found = 100 * 10_000 / (128 * 256)
    assert texts(look(ClassAreas(shown.workspace), qtbot))[1] == ("55536 mm²", f"{100 - found:.0f} %")


def test_pixels_on_glass_do_not_count_in_the_shares(shown, qtbot):
    paint_tissue(shown, 64)
    paint(shown, WHOLE, 2)
    areas = look(ClassAreas(shown.workspace), qtbot)
    assert texts(areas)[2] == ("65536 mm²", "100 %")
    paint(shown, Region(0, 0, 16, 256), 1)
    assert [percent for _, percent in texts(areas).values()] == ["25 %", "75 %"]


def test_unlabelled_tissue_in_a_complete_box_counts_as_background(shown, qtbot):
    paint_tissue(shown, 128)
    shown.layers.record = shown.require_project().update_slide("case0", boxes=(Region(96, 0, 64, 256),))
    found = {2: 100 * 10_000 / (128 * 256), 1: 100 * (32 * 256 - 4 * 100) / (128 * 256)}
    assert {key: percent for key, (_, percent) in texts(look(ClassAreas(shown.workspace), qtbot)).items()} == {
        key: f"{share:.0f} %" for key, share in found.items()
    }


def test_shares_of_a_giant_slide_read_at_most_a_megapixel(tmp_path, shown, monkeypatch):
    side = 60_000
    entry = replace(shown.slide, shape=(side, side), boxes=(Region(0, 0, side, side // 4),))
    tissue = np.zeros((469, 469), bool)
    tissue[:, : 469 // 2] = True
    with open_mask(tmp_path / "giant.zarr", (side, side), DEFAULT_CLASSES) as mask:
        half = PolygonShape([np.array([[0, 0], [0, side], [side // 2, side], [side // 2, 0]], float)])
        mask.add_stroke(Stroke(half, Brush(2)))
        read = pixels_read(mask, monkeypatch)
        shares = class_shares(tissue, entry, mask)
        assert sum(read) <= 1024**2
    assert shares[:3] == pytest.approx([0.25, 0.25, 0.5], abs=0.01)


def test_damaged_tissue_file_leaves_the_areas(shown, qtbot):
    paint_tissue(shown, 128)
    tissue_path(shown.require_project(), "case0").write_bytes(b"not an image")
    assert texts(look(ClassAreas(shown.workspace), qtbot))[2] == ("10000 mm²", "")


def test_unlabelled_pixels_in_complete_boxes_are_background(shown):
    boxes = (Region(90, 90, 20, 20), Region(100, 100, 50, 50))
    shown.layers.record = shown.require_project().update_slide("case0", boxes=boxes)
    assert texts(ClassAreas(shown.workspace))[1][0] == f"{400 - 100 + 2500 - 100} mm²"


def test_labelled_pixels_in_a_complete_box_count_once_for_training(shown, slide_files):
    shown.add_slides(slide_files[1:2])
    shown.change_slides(["case0"], SlideChanges(role="train"))
    paint(shown, Region(100, 0, 20, 30), 1)
    shown.layers.record = shown.require_project().update_slide(
        "case0", boxes=(Region(90, 90, 20, 20), Region(95, 95, 10, 30))
    )
    rest = (20 * 20 - 10 * 10) + (10 * 30 - 10 * 15)  # the second box without the first, and without what is labelled
    taught = 100 * 100 + 20 * 30 + rest
    assert training_summary(shown).area == f"{taught} mm²"
    shown.show_slide("case1")
    assert training_summary(shown).area == f"{taught} mm²"  # read from the disk now


def test_giant_complete_boxes_read_at_most_half_a_megapixel_each(tmp_path, shown, monkeypatch):
    side = 60_000
    boxes = (Region(0, 0, side, side // 2), Region(500, 500, 40_000, 20_000), Region(0, side // 2, 700, 700))
    entry = replace(shown.slide, shape=(side, side), boxes=boxes)
    with open_mask(tmp_path / "giant.zarr", (side, side), DEFAULT_CLASSES) as mask:
        edits.paint(mask, Region(100, 100, 2000, 2000), np.full((2000, 2000), 2, np.uint8))
        read = pixels_read(mask, monkeypatch)
        found = unlabelled_in_boxes(entry, mask)
        assert sum(read) <= len(boxes) * 510_000
    assert found == pytest.approx(side * side // 2 + 700**2 - 2000**2, rel=0.002)


def test_areas_follow_the_brush_while_it_is_down(dock, slide_files, qtbot):
    dock.slides.file_drop.add_files(slide_files[:1])
    layer, row = dock.session.layers.mask, dock.annotate.classes.topLevelItem(1)
    layer.brush_size, seen = 20, []
    layer._begin_stroke()
    for column in (50, 100, 150):
        layer.paint((100, column), 2)
        before = row.text(AREA)
        qtbot.waitUntil(lambda before=before: row.text(AREA) != before)
        seen.append(int(row.text(AREA).split()[0]))
    layer._commit_stroke()
    assert seen == pytest.approx([317, 634, 951], rel=0.02)


def test_share_of_the_tissue_appears_without_user_action(dock, slide_files, qtbot):
    dock.slides.file_drop.add_files(slide_files[:1])
    paint(dock.session, Region(0, 0, 128, 128), 2)
    row = dock.annotate.classes.topLevelItem(1)
    qtbot.waitUntil(lambda: row.toolTip(PERCENT) == "Share of the tissue on this slide.")
    assert (row.text(AREA), row.text(PERCENT)) == ("0.02 Mpx", "25 %")
