from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import write_contours
from napari_pathseg.errors import AnnotationError, ProjectError, UnsupportedSlideError
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.slides.level_array import LevelArray
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.ui.launch import get_dock
from napari_pathseg.ui.reader import contours_layer, get_reader

SQUARE = np.array([[10.0, 20.0], [10.0, 80.0], [70.0, 80.0], [70.0, 20.0]])
HOLE = np.array([[30.0, 40.0], [30.0, 60.0], [50.0, 60.0], [50.0, 40.0]])


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "case.1.tif"
    levels = [np.full((size, 2 * size, 3), 200, np.uint8) for size in (512, 256)]
    settings = {"tile": (128, 128), "photometric": "rgb", "metadata": None, "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as file:
        for number, pixels in enumerate(levels):
            file.write(pixels, resolution=(2e4 / 2**number,) * 2, subfiletype=number and 1, **settings)
    return path


@pytest.fixture
def outlines(tmp_path):
    path = tmp_path / "case.1.geojson"
    write_contours(path, [Contour(SQUARE, (HOLE,), "Tumour", color="#c80000")])
    return path


def read(path):
    return get_reader(str(path))(str(path))


def test_stack_of_pages_is_left_to_napari(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 64, 64), np.uint8), photometric="minisblack")
    assert get_reader(str(tmp_path / "stack.tif")) is None


def test_slide_opens_as_a_lazy_pyramid_in_micrometres(slide):
    [(levels, settings, kind)] = read(slide)
    assert kind == "image"
    assert [type(level) for level in levels] == [LevelArray, LevelArray]
    assert settings["name"] == "case.1"
    assert settings["scale"] == pytest.approx((0.5, 0.5))
    assert settings["units"] == ("um", "um")


def test_napari_shows_the_layers_of_the_reader(slide, outlines):
    viewer = ViewerModel()
    for path in (slide, outlines):
        for layer in read(path):
            viewer._add_layer_from_data(*layer)
    assert [layer.name for layer in viewer.layers] == ["case.1", "case.1 · contours"]
    assert viewer.layers[0].multiscale


def test_slide_without_a_pixel_size_opens_in_pixels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    [(_, settings, _)] = read(tmp_path / "a.tif")
    assert settings["units"] == ("pixel", "pixel")


def test_file_that_is_not_a_slide_is_refused_with_the_reason(tmp_path):
    (tmp_path / "a.svs").write_text("not a slide")
    with pytest.raises(UnsupportedSlideError, match=r"a\.svs could not be opened as a slide"):
        read(tmp_path / "a.svs")


@pytest.mark.parametrize("suffix", [".czi", ".CZI"])
def test_damaged_czi_is_claimed_by_name_and_refused_with_openslides_reason(tmp_path, suffix):
    assert suffix.lower() in SLIDE_SUFFIXES
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(b"ZISRAWFILE".ljust(1024, b"\0"))
    with pytest.raises(
        UnsupportedSlideError, match=rf"scan\{suffix} could not be opened as a slide\..*OpenSlide reader: "
    ):
        read(path)


def test_contours_open_with_their_class_colour_and_holes(outlines):
    data, settings, kind = contours_layer(outlines)
    assert kind == "shapes"
    assert [points.tolist() for points in data] == [SQUARE.tolist(), HOLE.tolist()]
    assert list(settings["features"]["class"]) == ["Tumour", "Tumour"]
    assert list(settings["features"]["hole"]) == [False, True]
    assert settings["edge_color"] == ["#c80000", "#c80000"]


def test_file_without_contours_opens_as_an_empty_shapes_layer(tmp_path):
    path = tmp_path / "none.geojson"
    write_contours(path, [])
    layer = ViewerModel()._add_layer_from_data(*read(path)[0])[0]
    assert (layer.nshapes, layer.ndim) == (0, 2)


def test_damaged_contour_file_is_refused_naming_the_position(tmp_path):
    (tmp_path / "a.geojson").write_text("{")
    with pytest.raises(AnnotationError, match=r"a\.geojson"):
        read(tmp_path / "a.geojson")


def test_contours_are_aligned_with_their_slide_in_the_window(make_napari_viewer, slide, outlines):
    viewer = make_napari_viewer()
    viewer.open(slide, plugin="napari-pathseg")
    [layer] = viewer.open(outlines, plugin="napari-pathseg")
    assert layer.scale == pytest.approx([0.5, 0.5])
    assert layer.units == viewer.layers["case.1"].units


def test_several_files_and_plain_folders_are_left_to_other_readers(tmp_path):
    assert get_reader([str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]) is None
    assert get_reader(str(tmp_path)) is None


def test_project_opens_in_the_dock(make_napari_viewer, slide, tmp_path):
    project = Project.create(tmp_path / "liver.pathseg")
    add_slides(project, [slide])
    viewer = make_napari_viewer()
    viewer.open(project.folder, plugin="napari-pathseg")
    dock = get_dock(viewer)
    assert dock.session.slide.id == "case.1"
    dock.shutdown()


def test_project_without_a_window_is_refused(tmp_path):
    folder = Project.create(tmp_path / "liver.pathseg").folder
    with pytest.raises(ProjectError, match="pathseg open"):
        read(Path(folder))
