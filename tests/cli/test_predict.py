"""`pathseg predict --bundle` and `pathseg export --format mask`: which images, and how they are coloured."""

import csv
import shutil

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_pathseg.cli import arguments
from napari_pathseg.contours.formats import read_contours
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.projects.exporting.label_pixels import LABEL_PIXELS
from napari_pathseg.slides.registry import open_slide


@pytest.fixture
def folder(slides, tmp_path):
    """A folder of three slides, the outline of one, a label image of another and a hidden file."""
    folder = tmp_path / "new"
    folder.mkdir()
    for path in (*slides[:3], slides[0].with_suffix(".svg")):
        shutil.copy(path, folder / path.name)
    Image.fromarray(np.zeros((192, 192), np.uint8)).save(folder / "case1_mask.png")
    (folder / "._case0.tif").write_bytes(b"of macOS")
    return folder


@pytest.fixture
def bundle(trained):
    project, _, bundle = trained
    return project.folder / "models" / bundle.id


def test_predictions_of_a_folder_are_images_in_the_class_colours(run_pathseg, bundle, folder, tmp_path):
    out = tmp_path / "out"
    options = ("--pixels", "colour", "--suffix", "_seen", "--probabilities", "--out", out)
    code, lines, _ = run_pathseg("predict", "--bundle", bundle, folder, *options)
    names = [f"case{n}_seen{kind}.png" for n in range(3) for kind in ("", "_Tumour_probability")]
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == names
    assert lines[-1] == "6 files written."
    for number in range(3):
        shown = np.asarray(Image.open(out / f"case{number}_seen.png"))
        probability = np.asarray(Image.open(out / f"case{number}_seen_Tumour_probability.png"))
        dark = np.asarray(Image.open(folder / f"case{number}.tif")).mean(axis=-1) < 150
        red = (shown == (200, 0, 0)).all(axis=-1)
        assert (red == dark).mean() > 0.9
        assert (red == (probability >= 128)).mean() > 0.99
        assert set(map(tuple, shown.reshape(-1, 3).tolist())) <= {(200, 0, 0), (0x96, 0xC8, 0x96)}


def test_prediction_of_a_project_exports_with_the_same_options(run_pathseg, trained, tmp_path):
    project, _, bundle = trained
    assert run_pathseg("predict", project.folder, "--slide", "case4", "--shifts", "2")[0] == 0
    options = ("--what", "prediction", "--slide", "case4", "--pixels", "palette", "--probabilities", "--suffix", "_p")
    assert run_pathseg("export", project.folder, "--format", "mask", "--out", tmp_path, *options)[0] == 0
    image = Image.open(tmp_path / "case4_p.png")
    stored = project.find_prediction(bundle.id, "case4")
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image), np.asarray(stored.classes))
    probability = Image.open(tmp_path / "case4_p_Tumour_probability.png")
    assert np.array_equal(np.asarray(probability), np.asarray(stored.probabilities[1]))


@pytest.fixture
def pyramid(tmp_path):
    """A slide of several levels with a pixel size, of tiles that look like the training slides."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(190, 230, (1500, 1300, 3)).astype(np.uint8)
    pixels[300:700, 200:900] = rng.integers(60, 120, (400, 700, 3))
    path = tmp_path / "big.tif"
    with tifffile.TiffWriter(path) as file:
        options = {"tile": (256, 256), "photometric": "rgb", "resolutionunit": "CENTIMETER"}
        for number in range(3):
            more = {"subfiletype": 1} if number else {}
            file.write(pixels[:: 2**number, :: 2**number], resolution=(1e4 / 2**number,) * 2, **options, **more)
    return path


@pytest.mark.parametrize("form", ["ome-tiff", "ome-zarr", "mask", "geojson", "csv"])
def test_pyramid_without_a_project_is_written_in_each_format(form, run_pathseg, bundle, pyramid, tmp_path):
    out = tmp_path / "out"
    code, _, _ = run_pathseg("predict", "--bundle", bundle, pyramid, "--out", out, "--format", form)
    assert code == 0
    (path,) = out.iterdir()
    dark = np.zeros((1500, 1300), bool)
    dark[300:700, 200:900] = True
    if form == "geojson":
        found = rasterize([c for c in read_contours(path) if c.class_name == "Tumour"], dark.shape) > 0
    elif form == "csv":
        (row,) = [row for row in csv.DictReader(path.open()) if row["class"] == "Tumour"]
        assert abs(float(row["area_mm2"]) / (dark.sum() / 1e6) - 1) < 0.2
        return
    elif form == "ome-zarr":
        group = zarr.open_group(path, mode="r")
        dataset = group.attrs["ome"]["multiscales"][0]["datasets"][0]
        assert dataset["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 1.0]}]
        found = group["0"][:] == 2
    else:
        with open_slide(path) as slide:
            assert slide.mpp == 1.0
        found = tifffile.imread(path) == 2
    assert 2 * (found & dark).sum() / (found.sum() + dark.sum()) > 0.9


def test_folder_without_slides_is_refused_with_the_suffixes(run_pathseg, bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, complaints = run_pathseg("predict", "--bundle", bundle, tmp_path / "empty", "--out", tmp_path / "out")
    assert code == 1
    assert complaints[-1].startswith(f"{tmp_path / 'empty'} holds no slide. Name a folder with files that end in .bif")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option", [("--out", "x"), ("--suffix", "_a"), ("--probabilities",), ("--pixels", "palette"), ("--format", "svg")]
)
def test_image_options_without_a_bundle_name_the_command_that_takes_them(run_pathseg, project, option):
    code, _, complaints = run_pathseg("predict", project.folder, *option)
    assert code == 1
    assert complaints[-1].endswith("as images with pathseg export --format mask --what prediction.")


def test_command_line_offers_every_kind_of_label_image():
    assert tuple(LABEL_PIXELS) == arguments.PIXELS
