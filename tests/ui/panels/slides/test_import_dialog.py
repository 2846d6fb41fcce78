import shutil

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtCore import Qt

from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import SlideGeometry, write_contours

SQUARE = np.array([[10.5, 10.5], [10.5, 60.5], [60.5, 60.5], [60.5, 10.5]])


@pytest.fixture
def opened(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files)
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


def result_of(dialog, name):
    return dialog.files.item(row_of(dialog.files, name), 4).text()


def choose(table, name, column, text):
    box = table.cellWidget(row_of(table, name), column)
    box.setCurrentText(next(box.itemText(i) for i in range(box.count()) if text in box.itemText(i)))


def test_unambiguous_contours_are_imported_without_a_dialog(opened, tmp_path):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumor")])
    opened.slides.file_drop.add_files([tmp_path / "case1.geojson"])
    assert opened.session.counts("case1")[2].sum() == 2500


def test_unknown_class_name_is_asked_for_and_can_become_a_class(opened, ask, tmp_path, qtbot):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Necrosis", color="#323232")])
    dialog = ask(tmp_path / "case1.geojson")
    assert not dialog.ok.isEnabled()
    assert "Choose a class for “Necrosis”." in dialog.hint.text()
    choose(dialog.classes, "Necrosis", 3, "new class")
    qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    spec = opened.session.project.classes.named("Necrosis")
    assert spec.color == "#323232"
    assert opened.session.counts("case1")[spec.index].sum() == 2500


def test_outlines_of_a_larger_copy_are_scaled_only_on_request(opened, ask, tmp_path):
    write_contours(tmp_path / "case2.svg", [Contour((SQUARE + 0.5) * 8 - 0.5, class_name="Tumour")])
    dialog = ask(tmp_path / "case2.svg")
    assert "may be misplaced and would fit at 1/" in dialog.hint.text()
    assert dialog.tasks[0].options.transform == IDENTITY
    choose(dialog.files, "case2.svg", 3, "1/")
    assert isinstance(dialog.tasks[0].options.transform, AxisScaleTransform)
    assert dialog.tasks[0].options.transform.scale < 1
    dialog.accept()
    assert 0 < opened.session.counts("case2")[2].sum() <= 2500 * 4**2


def test_unmatched_file_is_imported_into_the_chosen_slide(opened, ask, tmp_path, qtbot):
    for name in ("a", "b"):
        write_contours(tmp_path / f"{name}.geojson", [Contour(SQUARE, class_name="Tumour")])
    dialog = ask(tmp_path / "a.geojson", tmp_path / "b.geojson")
    assert dialog.tasks == []
    choose(dialog.files, "b.geojson", 2, "case3")
    qtbot.waitUntil(lambda: bool(dialog.tasks))
    assert [(task.file.path.name, task.slide) for task in dialog.tasks] == [("b.geojson", "case3")]
    dialog.accept()
    assert opened.session.counts("case3")[2].sum() == 2500


def test_contours_without_any_slide_ask_for_slides_first(dock, tmp_path, qtbot):
    dock.session.new_project(tmp_path / "a.pathseg")
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumour")])
    dock.slides.file_drop.open_import([tmp_path / "case1.geojson"])
    dialog = dock.slides.file_drop.dialog
    qtbot.waitUntil(lambda: dialog.hint.text() == "The project has no slides yet. Add them first.")
    assert not dialog.ok.isEnabled()


def test_area_of_a_class_leaves_out_files_without_a_slide(opened, ask, tmp_path):
    opened.session.project.update_slide("case1", mpp=0.5)
    opened.session.project.update_slide("case2", mpp=1.0)
    for name in ("case1", "case2", "a"):
        write_contours(tmp_path / f"{name}.geojson", [Contour(SQUARE, class_name="Tumour")])
    dialog = ask(*(tmp_path / f"{name}.geojson" for name in ("case1", "case2", "a")))
    assert dialog.classes.item(0, 2).text() == "0.0031 mm²"


def test_unreadable_file_shows_the_reason_and_does_not_block_others(opened, ask, tmp_path):
    (tmp_path / "case0.geojson").write_text('{"type": "Feature", "geometry": {"type": "Curve"}}')
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumour")])
    dialog = ask(tmp_path / "case0.geojson", tmp_path / "case1.geojson")
    result = result_of(dialog, "case0.geojson")
    assert result.startswith("cannot be read: ")
    assert "Polygon and MultiPolygon" in result
    assert [task.slide for task in dialog.tasks] == ["case1"]


def test_choice_for_a_binary_mask_does_not_apply_to_class_masks(opened, ask, tmp_path):
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


def test_folder_without_contours_is_refused_by_name(opened, tmp_path):
    (tmp_path / "empty").mkdir()
    opened.slides.file_drop.open_import([tmp_path / "empty"])
    assert any("empty: neither a contour file nor a mask" in record.message for record in notification_manager.records)


def test_contours_imported_without_a_dialog_are_read_once(opened, reads, tmp_path):
    write_contours(tmp_path / "case1.geojson", [Contour(SQUARE, class_name="Tumor")])
    opened.slides.file_drop.add_files([tmp_path / "case1.geojson"])
    assert opened.session.counts("case1")[2].sum() == 2500
    assert reads == ["case1.geojson"]


def test_contours_shown_in_the_dialog_are_read_once(opened, ask, reads, tmp_path):
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


def test_each_layer_without_a_name_is_a_row_of_its_own(opened, ask, tmp_path):
    vertices = "".join(f'<V X="{x}" Y="{y}"/>' for x, y in [(10, 10), (60, 10), (60, 60), (10, 60)])
    layer = f"<Regions><Region><Vertices>{vertices}</Vertices></Region></Regions></Annotation>"
    layers = "".join(f'<Annotation Id="{n}" Name="">{layer}' for n in (1, 2))
    (tmp_path / "case1.xml").write_text(f"<Annotations>{layers}</Annotations>")
    dialog = ask(tmp_path / "case1.xml")
    assert not dialog.ok.isEnabled()
    choose(dialog.classes, "layer 1", 3, "Unlabelled")
    assert not dialog.ok.isEnabled()
    choose(dialog.classes, "layer 2", 3, "Tumour")
    dialog.accept()
    assert opened.session.counts("case1")[2].sum() == 2500


@pytest.mark.parametrize(("name", "format"), [("case1.json", "labelme"), ("case1.svg", "svg")])
def test_place_of_outlines_from_an_image_of_another_size_is_asked_for(opened, ask, tmp_path, name, format):
    rows, columns = opened.session.project.slide("case1").shape
    image = SlideGeometry("case1.tif", (rows // 2, columns // 2))
    contour = Contour(SQUARE, class_name="Tumour")
    write_contours(tmp_path / name, [contour], format=format, frame=image)
    dialog = ask(tmp_path / name)
    assert not dialog.ok.isEnabled()
    assert "drawn on an image of another size" in dialog.hint.text()
    choose(dialog.files, name, 3, "at 2 times")
    assert dialog.ok.isEnabled()
    dialog.accept()
    assert opened.session.counts("case1")[2].sum() == 10_000


def test_scale_of_a_mask_of_a_smaller_copy_is_asked_for(opened, ask, tmp_path, qtbot):
    rows, columns = opened.session.project.slides["case1"].shape
    mask = np.ones((rows // 2, columns // 2), np.uint8)
    mask[10:30, 10:40] = 2
    Image.fromarray(mask).save(tmp_path / "case1_mask.png")
    opened.slides.file_drop.add_files([tmp_path / "case1_mask.png"])
    dialog = opened.slides.file_drop.dialog
    qtbot.waitUntil(lambda: dialog.files.rowCount() == 1)
    assert "case1_mask.png was drawn on an image of another size: choose its place." in dialog.hint.text()
    assert not dialog.ok.isEnabled()
    place = dialog.files.cellWidget(0, 3)
    assert [place.itemText(index) for index in range(place.count())] == ["choose…", "⚠ at 2 times its size"]
    choose(dialog.files, "case1_mask.png", 3, "2 times")
    qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    assert opened.session.counts("case1")[2].sum() == 4 * 600


def test_object_of_a_mask_that_stores_white_as_0_is_asked_for(opened, ask, tmp_path, qtbot):
    mask = np.zeros(opened.session.project.slides["case1"].shape, bool)
    mask[5:10, 5:25] = True
    Image.fromarray(~mask).save(tmp_path / "case1_mask.tif", tiffinfo={262: 0}, compression="group4")
    dialog = ask(tmp_path / "case1_mask.tif")
    assert "Choose a class for “white”, “black”. case1_mask.tif stores white as 0" in dialog.hint.text()
    assert not dialog.ok.isEnabled()
    choose(dialog.classes, "black", 3, "Tumour")
    choose(dialog.classes, "white", 3, "Unlabelled")
    qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    assert opened.session.counts("case1")[2].sum() == 100


def test_black_of_other_masks_is_not_asked_for(opened, ask, tmp_path):
    mask = np.zeros(opened.session.project.slides["case1"].shape, np.uint8)
    mask[5:10, 5:25] = 255
    Image.fromarray(mask).save(tmp_path / "case1_mask.png")
    dialog = ask(tmp_path / "case1_mask.png")
    assert [dialog.classes.item(row, 0).text() for row in range(dialog.classes.rowCount())] == ["white"]
    assert dialog.ok.isEnabled()


def test_white_of_one_mask_can_be_unlabelled_while_that_of_another_is_tumour(opened, ask, tmp_path, qtbot):
    mask = np.zeros(opened.session.project.slides["case1"].shape, bool)
    mask[5:10, 5:25] = True
    Image.fromarray(mask).save(tmp_path / "case0_mask.png")
    Image.fromarray(~mask).save(tmp_path / "case1_mask.tif", tiffinfo={262: 0}, compression="group4")
    dialog = ask(tmp_path / "case0_mask.png", tmp_path / "case1_mask.tif")
    names = [dialog.classes.item(row, 0).text() for row in range(dialog.classes.rowCount())]
    assert sorted(names) == ["black", "white in case0_mask.png", "white in case1_mask.tif"]
    choose(dialog.classes, "black", 3, "Tumour")
    choose(dialog.classes, "white in case1_mask.tif", 3, "Unlabelled")
    qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    assert [opened.session.counts(name)[2].sum() for name in ("case0", "case1")] == [100, 100]


def test_hint_about_a_place_is_gone_once_the_place_is_chosen(opened, ask, tmp_path):
    write_contours(tmp_path / "case2.svg", [Contour((SQUARE + 0.5) * 8 - 0.5, class_name="Tumour")])
    dialog = ask(tmp_path / "case2.svg")
    choose(dialog.files, "case2.svg", 3, "1/")
    assert dialog.hint.text() == ""


def test_each_of_a_files_five_names_is_in_view_and_says_its_file(opened, ask, tmp_path):
    found = [Contour(SQUARE, class_name=f"layer {number}") for number in range(5)]
    write_contours(tmp_path / "case1.geojson", found)
    table = ask(tmp_path / "case1.geojson").classes
    last = table.visualItemRect(table.item(4, 0))
    assert table.viewport().rect().contains(last)
    assert table.item(4, 0).toolTip() == "layer 4\ncase1.geojson"


@pytest.fixture
def mixed_folder(mask_folder, tmp_path):
    """Masks of two slides and of none, outlines, and files of other kinds."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("case1.png", "case2_mask.png", "other_mask.png"):
        shutil.copy(mask_folder / f"{name[:5] if name.startswith('case') else 'case3'}.png", folder / name)
    write_contours(folder / "case3.geojson", [Contour(SQUARE, class_name="Tumour")])
    (folder / "broken_mask.png").write_bytes(b"no image")
    (folder / "notes.docx").write_text("x")
    (folder / "photo.jpg").write_bytes(b"x")
    (folder / "more").mkdir()
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


def test_every_file_of_a_folder_is_in_the_table_with_what_happens_to_it(ask, mixed_folder):
    dialog = ask(mixed_folder)
    results = {dialog.files.item(row, 0).text(): dialog.files.item(row, 4).text() for row in range(8)}
    broken = results.pop("⚠ broken_mask.png")
    assert broken.startswith("cannot be read: broken_mask.png")
    assert results == {
        "other_mask.png": "⚠ matches no slide: choose one",
        "case1.png": "mask for case1",
        "case2_mask.png": "mask for case2",
        "case3.geojson": "outlines for case3",
        "more": "a folder: import it by itself",
        "notes.docx": "not an annotation",
        "photo.jpg": "not an annotation (masks are PNG, TIF, TIFF, BMP)",
    }


def test_heading_counts_outlines_mask_images_and_files_that_are_not_imported(ask, mixed_folder):
    assert ask(mixed_folder).heading.text() == (
        "<b>8 files</b>: 1 outline and 3 mask images of 2 classes; 5 files not imported"
    )


def test_boxes_fill_their_columns(ask, mixed_folder):
    dialog = ask(mixed_folder)
    dialog.resize(1400, 600)
    for table, columns in ((dialog.files, (2, 3)), (dialog.classes, (3,))):
        for column in columns:
            assert table.columnWidth(column) - table.cellWidget(0, column).width() <= 1  # the line between cells


def test_mask_that_matches_no_slide_is_imported_into_the_chosen_one(opened, ask, mixed_folder, qtbot):
    dialog = ask(mixed_folder)
    assert "Choose a slide for 1 file not named after one" in dialog.hint.text()
    choose(dialog.files, "other_mask.png", 2, "case0")
    assert result_of(dialog, "other_mask.png") == "reading…"
    qtbot.waitUntil(lambda: result_of(dialog, "other_mask.png") == "mask for case0")
    assert dialog.ok.text() == "Import into 4 slides"
    qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    assert opened.session.counts("case0")[2].sum() > 10_000


def test_folder_of_masks_that_match_no_slide_is_shown(ask, mask_folder):
    for path in list(mask_folder.iterdir()):
        path.rename(path.with_name(f"patient_{path.name}"))
    dialog = ask(mask_folder)
    assert dialog.files.rowCount() == 4
    assert dialog.heading.text() == "<b>4 files</b>: 4 mask images; 4 files not imported"


def test_dropped_mask_without_its_slide_is_shown_and_is_no_slide(opened, mask_folder, qtbot):
    orphan, known = mask_folder / "ORPHAN_mask.png", mask_folder / "case1_mask.png"
    for path in (orphan, known):
        shutil.copy(mask_folder / "case1.png", path)
    opened.slides.file_drop.add_files([known, orphan])
    assert list(opened.session.project.slides) == ["case0", "case1", "case2", "case3"]
    dialog = opened.slides.file_drop.dialog
    qtbot.waitUntil(lambda: not dialog.reading and dialog.files.rowCount() == 2)
    assert result_of(dialog, "ORPHAN_mask.png") == "⚠ matches no slide: choose one"


def test_image_that_is_named_like_a_mask_can_be_added_as_a_slide(opened, slide_files, qtbot):
    picture = slide_files[0].with_name("stained_mask.png")
    shutil.copy(slide_files[0], picture)
    opened.slides.file_drop.add_files([picture])
    dialog = opened.slides.file_drop.dialog
    qtbot.waitUntil(lambda: not dialog.reading and dialog.files.rowCount() == 1)
    choose(dialog.files, "stained_mask.png", 2, "a new slide")
    assert result_of(dialog, "stained_mask.png") == "added as a slide"
    assert dialog.ok.text() == "Add 1 slide"
    qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    assert "stained_mask" in opened.session.project.slides


@pytest.fixture
def stack(opened, tmp_path):
    """A stack of three pages in the project, and a stack of masks without a name that says so."""
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "volume.tif", rng.integers(0, 255, (3, 96, 96), np.uint8), photometric="minisblack")
    opened.slides.file_drop.add_files([tmp_path / "volume.tif"])
    masks = np.zeros((3, 96, 96), np.uint8)
    for page in range(3):
        masks[page, : 10 * (page + 1), :10] = 255
    return masks, tmp_path


@pytest.mark.parametrize(("name", "named"), [("volume_mask.tif", True), ("labels_mask.tif", False)])
def test_masks_of_a_stack_go_to_its_pages(opened, ask, stack, name, named, qtbot):
    masks, folder = stack
    tifffile.imwrite(folder / name, masks, photometric="minisblack")
    dialog = ask(folder / name, folder / "volume.tif")
    if not named:
        choose(dialog.files, name, 2, "volume: 3 pages")
    qtbot.waitUntil(lambda: result_of(dialog, name) == "masks for 3 slides")
    assert dialog.heading.text() == "<b>2 files</b>: 3 mask images of 1 class; 1 file not imported"
    qtbot.mouseClick(dialog.ok, Qt.MouseButton.LeftButton)
    assert [opened.session.counts(f"volume[{page}]")[2].sum() for page in range(3)] == [100, 200, 300]


def test_file_that_was_added_as_a_slide_is_not_said_to_be_unknown(opened, slide_files, notifications):
    opened.slides.file_drop.open_import(slide_files[:1])
    assert notifications[-1].startswith("case0.png: already added as a slide")
