import csv
import json
import os

import numpy as np
import pytest
import tifffile
from PIL import Image
from tifffile import imread

from napari_pathseg.classes import class_table
from napari_pathseg.errors import AnnotationError, ConfigError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import open_mask
from napari_pathseg.masks.edits import import_labels, paint
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.exporting.export import ExportOptions, export, left_out
from napari_pathseg.projects.ground_truth import labelled_pixel_counts
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.samples import write_pyramid


def test_mask_export_writes_a_label_image_per_slide(project, tmp_path):
    files = export(project, tmp_path / "out", ExportOptions(format="mask"))
    assert [path.name for path in files] == [f"case{n}.png" for n in range(5)]
    mask = np.asarray(Image.open(files[0]))
    assert mask.shape == (192, 192)
    assert (mask == 2).sum() == 6400


def test_geojson_has_names_and_colours_and_no_background(project, tmp_path):
    (path,) = export(project, tmp_path / "out", ExportOptions(format="geojson", slides=["case0"]))
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["properties"]["classification"] == {"name": "Tumour", "color": [200, 0, 0]}
    assert feature["geometry"]["type"] == "Polygon"


def _complete_slide(tmp_path, *, negative=False):
    """Return a project with a complete slide of 60 x 50 pixels; 100 pixels of it are Tumour if it is not negative."""
    Image.fromarray(np.full((60, 50, 3), 200, np.uint8)).save(tmp_path / "a.png")
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, [tmp_path / "a.png"], AddOptions(negative=True))
    if not negative:
        with project.write_lock(), project.open_mask("a") as mask:
            paint(mask, Region(10, 20, 10, 10), np.full((10, 10), 2, np.uint8))
    return project


def _pixels_by_class(path):
    return {row["class"]: int(row["mask_pixels"]) for row in csv.DictReader(path.open())}


@pytest.mark.parametrize(("negative", "tumour"), [(False, 100), (True, 0)])
def test_background_of_a_complete_slide_is_in_every_export(tmp_path, negative, tumour):
    project = _complete_slide(tmp_path, negative=negative)
    expected = labelled_pixel_counts(project, project.slide("a"), project.counts("a"))[1:3].tolist()
    assert expected == [3000 - tumour, tumour]
    for kind in ("mask", "ome-tiff"):
        (path,) = export(project, tmp_path / kind, ExportOptions(format=kind))
        pixels = imread(path) if kind == "ome-tiff" else np.asarray(Image.open(path))
        assert np.bincount(pixels.ravel(), minlength=3).tolist() == [0, *expected]
    (path,) = export(project, tmp_path / "csv", ExportOptions(format="csv"))
    assert list(_pixels_by_class(path).values()) == expected
    (path,) = export(project, tmp_path / "geojson", ExportOptions(format="geojson"))
    names = [f["properties"]["classification"]["name"] for f in json.loads(path.read_text())["features"]]
    assert names == ([] if negative else ["Tumour"])  # the rest of a complete slide has no outline


def test_background_of_a_complete_box_is_in_every_export(tmp_path):
    Image.fromarray(np.full((60, 50, 3), 200, np.uint8)).save(tmp_path / "a.png")
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, [tmp_path / "a.png"])
    with project.write_lock():
        project.update_slide("a", boxes=(Region(5, 5, 20, 30),))
    (path,) = export(project, tmp_path / "out", ExportOptions(format="csv"))
    assert _pixels_by_class(path) == {"Background": 600, "Tumour": 0}
    (path,) = export(project, tmp_path / "out", ExportOptions(format="geojson"))
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["properties"]["classification"]["name"] == "Background"


def test_ignored_pixels_of_a_complete_slide_stay_unlabelled(tmp_path):
    project = _complete_slide(tmp_path)
    with project.write_lock(), project.open_mask("a") as mask:
        import_labels(mask, Region(0, 0, 60, 50), np.zeros((60, 50), np.uint8), np.eye(60, 50, dtype=bool))
    (path,) = export(project, tmp_path / "out", ExportOptions(format="csv"))
    assert _pixels_by_class(path)["Background"] == 3000 - 100 - 50


def test_slides_without_a_mask_are_named(project, tmp_path):
    Image.fromarray(np.full((60, 50, 3), 200, np.uint8)).save(tmp_path / "new.png")
    add_slides(project, [tmp_path / "new.png"])
    options = ExportOptions(format="mask")
    assert left_out(project, options) == "Not annotated, so no file was written: case5, new."
    assert len(export(project, tmp_path / "out", options)) == 5


def test_slide_that_was_only_looked_at_is_not_exported_as_empty(project, tmp_path):
    record = project.slide("case5")
    with open_mask(project.mask_path("case5"), record.mask_shape, project.classes) as mask:
        mask.flush()
    assert project.mask_path("case5").exists()
    options = ExportOptions(format="geojson")
    assert left_out(project, options) == "Not annotated, so no file was written: case5."
    assert "case5.geojson" not in [path.name for path in export(project, tmp_path / "out", options)]


def test_format_that_a_slide_lacks_facts_for_names_the_slide_and_a_way_out(project, tmp_path):
    name = project.find_file(project.slide("case0")).name
    with pytest.raises(AnnotationError, match=f"^{name}: NDPA files .* or choose another format") as error:
        export(project, tmp_path / "out", ExportOptions(format="ndpa"))
    assert "partial" not in str(error.value)
    assert not list((tmp_path / "out").iterdir())


def test_exported_contours_import_as_the_same_mask(project, slides, tmp_path):
    (path,) = export(project, tmp_path / "out", ExportOptions(format="geojson", slides=["case0"]))
    other = Project.create(tmp_path / "other.pathseg")
    add_slides(other, slides[:1], AddOptions(contours=path))
    assert (other.counts("case0") == project.counts("case0")).all()


def test_mask_of_a_pyramid_is_exported_on_its_own_grid(tmp_path):
    write_pyramid(tmp_path / "big.tif", (3000, 2000), mpp=0.25)
    project = Project.create(tmp_path / "p.pathseg")
    (record,) = add_slides(project, [tmp_path / "big.tif"], AddOptions(negative=True))
    project.open_mask(record.id).close()
    (path,) = export(project, tmp_path / "out", ExportOptions(format="mask"))
    image = Image.open(path)
    assert path.suffix == ".tif"
    assert image.size == (500, 750)


def test_contours_can_be_smoothed(project, tmp_path):
    (path,) = export(project, tmp_path, ExportOptions(format="geojson", slides=["case0"], smooth_um=4.0))
    (feature,) = json.loads(path.read_text())["features"]
    assert len(feature["geometry"]["coordinates"][0]) > 9  # the square's corners are round


def test_exported_mask_of_a_pyramid_imports_as_the_same_mask(tmp_path):
    write_pyramid(tmp_path / "big.tif", (3000, 2000), mpp=0.25)
    project = Project.create(tmp_path / "p.pathseg")
    (record,) = add_slides(project, [tmp_path / "big.tif"], AddOptions(negative=True))
    with project.write_lock(), project.open_mask(record.id) as mask:
        paint(mask, Region(10, 20, 100, 50), np.full((100, 50), 2, np.uint8))
    for kind in ("mask", "ome-tiff"):
        (path,) = export(project, tmp_path / kind, ExportOptions(format=kind))
        other = Project.create(tmp_path / f"{kind}.pathseg")
        add_slides(other, [tmp_path / "big.tif"], AddOptions(contours=path))
        assert other.counts("big")[2].sum() == 5000


def test_imported_file_is_never_overwritten(project, slides):
    with pytest.raises(ProjectError, match="is a file imported into the project"):
        export(project, slides[0].parent, ExportOptions(format="svg"))


def test_unknown_format_is_refused_with_the_known_ones(project, tmp_path):
    with pytest.raises(ConfigError, match="format is 'gif'; it must be one of .*geojson.*, mask"):
        export(project, tmp_path, ExportOptions(format="gif"))


def test_project_without_predictions_says_what_to_do(project, tmp_path):
    with pytest.raises(ProjectError, match=r"has no prediction to export. Predict a slide first"):
        export(project, tmp_path / "out", ExportOptions(format="mask", what="prediction"))
    assert not (tmp_path / "out").exists()


def test_slide_is_never_overwritten_by_its_mask(tmp_path):
    image_path = tmp_path / "a.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(image_path)
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, [image_path], AddOptions(negative=True))
    project.open_mask("a").close()
    before = image_path.read_bytes()
    with pytest.raises(ProjectError, match=r"a\.png is a slide and would be overwritten"):
        export(project, tmp_path, ExportOptions(format="mask"))
    assert image_path.read_bytes() == before


@pytest.fixture
def exported(project, tmp_path):
    """The label image of case0 of each kind, by kind: files and pixels, and the colour of each class number."""
    files = {}
    for pixels in ("index", "palette", "colour", "binary"):
        options = ExportOptions(format="mask", pixels=pixels, slides=["case0"], suffix="_mask")
        (files[pixels],) = export(project, tmp_path / pixels, options)
    return files, np.array([(0, 0, 0), (0x96, 0xC8, 0x96), (200, 0, 0)], np.uint8)


def test_palette_image_holds_class_numbers_that_are_shown_in_the_class_colours(exported):
    files, colours = exported
    numbers, image = np.asarray(Image.open(files["index"])), Image.open(files["palette"])
    assert (files["palette"].name, image.mode) == ("case0_mask.png", "P")
    assert (numbers == 2).sum() == 6400
    assert np.array_equal(np.asarray(image), numbers)
    assert np.array_equal(np.asarray(image.convert("RGB")), colours[numbers])


def test_colour_image_shows_the_classes_and_binary_image_is_0_and_255(exported):
    files, colours = exported
    numbers = np.asarray(Image.open(files["index"]))
    assert np.array_equal(np.asarray(Image.open(files["colour"])), colours[numbers])
    assert np.array_equal(np.asarray(Image.open(files["binary"])), np.where(numbers == 2, 255, 0))


@pytest.mark.parametrize("pixels", ["index", "palette", "colour", "binary"])
def test_label_image_of_any_kind_comes_in_again_as_the_same_mask(project, slides, tmp_path, pixels):
    options = ExportOptions(format="mask", pixels=pixels, slides=["case0"], suffix="_mask")
    (path,) = export(project, tmp_path / "out", options)
    other = Project.create(tmp_path / "other.pathseg")
    add_slides(other, slides[:1], AddOptions(contours=path))
    before, after = (labelled_pixel_counts(p, p.slide("case0"), p.counts("case0")) for p in (project, other))
    assert (before == after).all()


@pytest.mark.parametrize("pixels", ["index", "palette", "colour", "binary"])
def test_label_tiff_of_a_pyramid_keeps_its_pixel_size_and_comes_in_again(tmp_path, pixels):
    write_pyramid(tmp_path / "big.tif", (3000, 2000), mpp=0.25)
    project = Project.create(tmp_path / "p.pathseg")
    (entry,) = add_slides(project, [tmp_path / "big.tif"], AddOptions(negative=True))
    with project.write_lock(), project.open_mask(entry.id) as mask:
        paint(mask, Region(10, 20, 100, 50), np.full((100, 50), 2, np.uint8))
    (path,) = export(project, tmp_path / "out", ExportOptions(format="mask", pixels=pixels))
    with tifffile.TiffFile(path) as file:
        assert file.pages.first.get_resolution("MICROMETER") == pytest.approx((1, 1))
    other = Project.create(tmp_path / "other.pathseg")
    add_slides(other, [tmp_path / "big.tif"], AddOptions(contours=path))
    assert other.counts("big")[2].sum() == 5000


def test_prediction_of_the_live_model_is_exported_where_no_other_model_was_trained(tmp_path):
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / "a.png")
    project = Project.create(tmp_path / "p.pathseg", class_table([("Background", None), ("Tumour", None)]))
    add_slides(project, [tmp_path / "a.png"])
    stored = np.zeros((2, 40, 30), np.uint8)
    stored[1] = 255
    prediction = create_prediction(project.prediction_path("live", "a"), (40, 30), ("Background", "Tumour"))
    prediction.write(Region(0, 0, 40, 30), stored)
    prediction.finish(1)
    options = ExportOptions(format="mask", what="prediction", model="live")
    assert left_out(project, options) == ""
    (path,) = export(project, tmp_path / "out", options)
    assert np.all(np.asarray(Image.open(path)) == 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": "green"}, "pixels is 'green'; it must be one of index, palette, colour, binary"),
        ({"format": "svg", "pixels": "colour"}, "format is 'svg'; pixels and probabilities need the format mask"),
        ({"probabilities": True}, "probabilities are those of a model; set what to prediction"),
        ({"suffix": "a/b"}, "suffix is 'a/b'; use letters"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        ExportOptions(**{"format": "mask", **options})


def test_prediction_of_a_former_live_model_is_not_exported(tmp_path):
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / "a.png")
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, [tmp_path / "a.png"])
    weights = project.folder / "models" / "live" / "weights.safetensors"
    for model in ("m001", "live"):
        (project.folder / "models" / model).mkdir(parents=True)
        (project.folder / "models" / model / "bundle.json").write_text("{}")
    weights.write_bytes(b"weights")
    names, stamp = project.classes.names, weights.stat().st_mtime_ns
    create_prediction(project.prediction_path("live", "a"), (40, 30), names, stamp).finish(stamp)
    options = ExportOptions(format="mask", what="prediction", model="live")
    assert [path.name for path in export(project, tmp_path / "out", options)] == ["a.png"]
    os.utime(weights, ns=(stamp + 1_000_000_000, stamp + 1_000_000_000))
    with pytest.raises(ProjectError, match=r"live model has changed since it predicted a\. Predict the slide again\."):
        export(project, tmp_path / "other", options)
    assert not (tmp_path / "other").exists()


def test_probabilities_are_written_as_predicted_for_each_class_but_background(tmp_path):
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / "a.png")
    names = ("Background", "a/b", "a_b", "Stroma")
    project = Project.create(tmp_path / "p.pathseg", class_table([(name, None) for name in names]))
    add_slides(project, [tmp_path / "a.png"])
    (project.folder / "models" / "m001").mkdir(parents=True)
    (project.folder / "models" / "m001" / "bundle.json").write_text("{}")
    stored = np.random.default_rng(0).integers(0, 256, (4, 40, 30), np.uint8)
    prediction = create_prediction(project.prediction_path("m001", "a"), (40, 30), names)
    prediction.write(Region(0, 0, 40, 30), stored)
    options = ExportOptions(format="mask", what="prediction", probabilities=True, suffix="_x")
    assert left_out(project, options) == "Predicted in part, the rest has no label: a."
    prediction.finish(1)
    assert left_out(project, options) == ""
    files = export(project, tmp_path / "out", options)
    assert [path.name for path in files] == [
        "a_x.png",
        "a_x_a_b_2_probability.png",
        "a_x_a_b_3_probability.png",
        "a_x_Stroma_probability.png",
    ]
    for path, plane in zip(files[1:], stored[1:], strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), plane)
    assert np.array_equal(np.asarray(Image.open(files[0])), stored.argmax(axis=0) + 1)
