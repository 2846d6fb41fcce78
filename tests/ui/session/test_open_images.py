"""Images that are open in napari but are no slides: they are offered as slides, and hide no strokes."""

import numpy as np
import pytest
import tifffile
from napari.layers._source import layer_source

from napari_pathseg.geometry import Region
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.ui.reader import slide_layer
from napari_pathseg.ui.session.background import run_now
from napari_pathseg.ui.session.import_controller import add_files, adopting
from napari_pathseg.ui.session.next_step import next_step


@pytest.fixture
def viewer(session):
    return session.layers.viewer


def open_in_napari(viewer, *paths):
    """Add the layers that *File > Open* adds with the plugin's reader."""
    added = []
    for path in paths:
        with layer_source(path=str(path), reader_plugin="napari-pathseg"):
            added += viewer._add_layer_from_data(*slide_layer(path))
    return added


def names(viewer):
    return [layer.name for layer in viewer.layers]


def own_layers(slide):
    return [slide, f"{slide} · probability", f"{slide} · mask", f"{slide} · contours"]


def test_image_that_is_open_before_there_is_a_project_becomes_its_first_slide(session, viewer, slide_files):
    open_in_napari(viewer, slide_files[1])
    step = next_step(session)
    assert (step.text, step.button) == ("“case1.png” is open, but no slide yet.", "Add as slide")
    run_now(adopting(session))
    assert session.project.folder == slide_files[0].parent / "liver.pathseg"
    assert session.slide.id == "case1"
    assert names(viewer) == own_layers("case1")


def test_slides_image_and_mask_lie_above_images_that_were_open_before(session, viewer, slide_files):
    open_in_napari(viewer, *slide_files[1:3])
    add_files(session, slide_files[:1])
    assert names(viewer) == ["case1", "case2", *own_layers("case0")]


def test_image_opened_while_a_slide_is_in_view_lies_below_the_mask_and_is_offered(session, viewer, slide_files):
    add_files(session, slide_files[:1])
    open_in_napari(viewer, slide_files[1])
    assert names(viewer) == ["case0", "case1", *own_layers("case0")[1:]]
    assert next_step(session).text == "“case1.png” is no slide yet: strokes go to case0."
    run_now(adopting(session))
    assert session.slide.id == "case1"
    assert names(viewer) == own_layers("case1")


def test_another_slide_is_not_hidden_by_an_image_that_was_opened_over_the_last_one(session, viewer, slide_files):
    add_files(session, slide_files[:2])
    open_in_napari(viewer, slide_files[2])
    session.show_slide("case1")
    assert names(viewer) == ["case2", *own_layers("case1")]


def test_see_through_image_stays_over_the_slides(session, viewer, slide_files):
    add_files(session, slide_files[:2])
    [layer] = open_in_napari(viewer, slide_files[2])
    layer.opacity = 0.4
    session.show_slide("case1")
    assert names(viewer) == ["case1", "case2", *own_layers("case1")[1:]]


def test_image_that_the_user_moves_above_the_mask_is_moved_back_at_a_click(session, viewer, slide_files):
    add_files(session, slide_files[:1])
    [layer] = open_in_napari(viewer, slide_files[1])
    viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))
    step = next_step(session)
    assert (step.text, step.action) == ("“case1” lies above the mask and hides strokes.", "uncover")
    session.open_images.uncover()
    assert names(viewer) == ["case0", "case1", *own_layers("case0")[1:]]


def test_several_images_and_the_pages_of_a_stack_are_added_together(session, viewer, slide_files, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    tifffile.imwrite(tmp_path / "volume.tif", pixels, photometric="minisblack")
    open_in_napari(viewer, *slide_files[:2])
    with layer_source(path=str(tmp_path / "volume.tif"), reader_plugin="napari"):
        viewer.add_image(pixels, name="volume")
    assert next_step(session).button == "Add 3 slides"
    run_now(adopting(session))
    assert list(session.project.slides) == ["case0", "case1", "volume[0]", "volume[1]", "volume[2]"]
    assert names(viewer) == own_layers("case0")


def test_layer_of_an_image_that_cannot_be_added_stays(session, viewer, slide_files, tmp_path):
    open_in_napari(viewer, slide_files[0])
    [layer] = open_in_napari(viewer, slide_files[1])
    slide_files[1].write_bytes(b"no image any more")
    result = run_now(adopting(session))
    assert list(result.refused) == [slide_files[1]]
    assert layer in viewer.layers
    assert "case0" not in [one.name for one in session.open_images.offered]


def test_image_that_is_a_slide_already_is_shown(session, viewer, slide_files):
    add_files(session, slide_files[:2])
    open_in_napari(viewer, slide_files[1])
    assert next_step(session).text == "“case1.png” is the slide case1 of this project."
    run_now(adopting(session))
    assert session.slide.id == "case1"
    assert names(viewer) == own_layers("case1")


def test_image_without_a_file_is_saved_in_the_project(session, viewer, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (700, 600, 4), np.uint8)
    viewer.add_image(pixels, name="scan", rgb=True, scale=(0.5, 0.5), units=("um", "um"))
    assert next_step(session).text.startswith("“scan” has no file. Save it")
    session.new_project(tmp_path / "a.pathseg")
    assert next_step(session).button == "Add as slide"
    run_now(adopting(session))
    assert session.slide.path == str(tmp_path / "a.pathseg" / "slides" / "scan.tif")
    assert session.slide.mpp == pytest.approx(0.5)
    with open_slide(session.slide.path) as slide:
        assert np.array_equal(slide.read_level(0, Region(0, 0, 700, 600)), pixels[..., :3])
    assert names(viewer) == own_layers("scan")


def test_image_without_a_file_that_holds_no_8_bit_plane_is_to_be_saved_by_the_user(session, viewer, tmp_path):
    session.new_project(tmp_path / "a.pathseg")
    viewer.add_image(np.zeros((64, 64)), name="map")
    assert next_step(session).text.startswith("“map” has no file. Save it")


def test_image_that_is_left_as_it_is_is_offered_no_more(session, viewer, slide_files):
    open_in_napari(viewer, slide_files[0])
    session.open_images.leave(session.open_images.offered)
    assert next_step(session).action == "add"
    open_in_napari(viewer, slide_files[1])
    assert next_step(session).text == "“case1.png” is open, but no slide yet."


def test_images_computed_from_a_slide_in_view_are_not_offered(session, viewer, slide_files):
    add_files(session, slide_files[:1])
    before = next_step(session)
    viewer.add_image(np.zeros((64, 64), np.uint8), name="filtered")
    assert next_step(session) == before
    assert names(viewer) == ["case0", "filtered", *own_layers("case0")[1:]]
