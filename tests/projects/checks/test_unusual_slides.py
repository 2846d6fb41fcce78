"""Slides that are dark, blank or not square, and settings that do not fit the slides."""

import numpy as np
import pytest
import tifffile

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.checks.unusual_slides import find_unfit_settings, find_unusual_slides
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project


@pytest.fixture
def empty(tmp_path):
    """A project without slides, of 1 µm per pixel."""
    return Project.create(tmp_path / "p.pathseg")


def write(path, picture, mpp=None):
    resolution = {} if mpp is None else {"resolution": [1e4 / side for side in mpp], "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, picture, photometric="rgb", metadata=None, **resolution)
    return path


def noise(side=128, low=60, high=220, kind=np.uint8):
    return np.random.default_rng(0).integers(low, high, (side, side, 3)).astype(kind)


def added(project, *paths, **options):
    return add_slides(project, paths, AddOptions(negative=True, **options))


def test_dark_and_blank_slides_are_named_with_the_remedy(empty, tmp_path):
    pictures = {"dark": noise(low=0, high=30), "blank": noise(low=245, high=256), "sound": noise()}
    records = added(empty, *(write(tmp_path / f"{name}.tif", pixels) for name, pixels in pictures.items()))
    dark, blank = find_unusual_slides(empty, records)
    assert dark.startswith("dark: nearly black: 99 % of the pixels lie below 50 of 255.")
    assert "save it as 8 bits" in dark
    assert blank.startswith("blank: nearly white: ")
    assert set(find_unusual_slides(empty, records)) <= {problem.text for problem in check(empty)}


def test_slides_of_one_camera_are_named_together_with_their_bits(empty, tmp_path):
    paths = [write(tmp_path / f"{name}.tif", noise(kind=np.uint16) * 16) for name in "ab"]
    (text,) = find_unusual_slides(empty, added(empty, *paths))
    assert text.startswith("a, b: 16-bit samples of which 12 bits are used")


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_pixels_that_are_not_square_are_refused_with_both_remedies(empty, tmp_path, name):
    from PIL import Image

    if name == "a.tif":
        write(tmp_path / name, noise(), (0.5, 1.0))
    else:
        Image.fromarray(noise()).save(tmp_path / name, dpi=(25_400 / 0.5, 25_400))
    with pytest.raises(UnsupportedSlideError) as refusal:
        added(empty, tmp_path / name)
    for words in (name, "0.5 x 1 µm", "vips resize IN.tif OUT.tif 1 --vscale 2", "pathseg add --pixel-size 0.5"):
        assert words in str(refusal.value)
    assert not empty.slides


def test_a_given_pixel_size_overrides_what_the_file_states(empty, tmp_path):
    (record,) = added(empty, write(tmp_path / "a.tif", noise(), (0.5, 1.0)), pixel_size=0.25)
    assert (record.mpp, record.downsample) == (0.25, 4)
    (record,) = added(empty, tmp_path / "a.tif", pixel_size=0.5)
    assert (record.mpp, record.downsample) == (0.5, 4)  # its mask keeps its grid
    assert find_unusual_slides(empty, [record]) == []


def test_a_slide_of_version_0_1_0_whose_areas_are_wrong_is_told(empty, tmp_path):
    added(empty, write(tmp_path / "a.tif", noise(), (0.5, 1.0)), pixel_size=0.75)  # the mean, as it was taken then
    (text,) = find_unusual_slides(empty, list(empty.slides.values()))
    assert text.startswith("a: pixels of 0.5 x 1 µm, which are not square")


def test_slides_of_a_scanners_tolerance_are_square(empty, tmp_path):
    (record,) = added(empty, write(tmp_path / "a.tif", noise(), (0.25, 0.2525)))
    assert record.mpp**2 == pytest.approx(0.25 * 0.2525, rel=1e-3)


def test_small_slides_are_told_with_the_tile_that_is_used(empty, tmp_path):
    records = added(empty, write(tmp_path / "a.tif", noise(64)), write(tmp_path / "b.tif", noise(50)))
    (text,) = find_unfit_settings(empty, records)
    assert "smaller than a tile of 256 pixels, so they are learned in tiles of 64" in text
    assert list(find_unfit_settings(empty, records, TrainConfig(tile=64))) == []


def test_a_few_small_slides_among_large_ones_are_named(empty, tmp_path):
    records = added(empty, write(tmp_path / "small.tif", noise(64)), write(tmp_path / "large.tif", noise(400)))
    (text,) = find_unfit_settings(empty, records)
    assert text.startswith("1 of 2 training slides are much smaller than a tile of 256 pixels (small)")


def test_slides_that_a_coarse_project_leaves_nothing_of_are_told(tmp_path):
    project = Project.create(tmp_path / "p.pathseg", mpp=8.0)
    records = added(project, write(tmp_path / "a.tif", noise(400), (0.5, 0.5)))
    text = next(find_unfit_settings(project, records))
    assert "a 25 x 25 pixels at the project's 8 um per pixel. Make the project with a finer --mpp" in text
