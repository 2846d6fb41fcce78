import shutil

import numpy as np
import pytest

from napari_pathseg.ui.sample import outlined_tumour
from napari_pathseg.ui.sample_files import sample_folder, sample_slides


@pytest.fixture(scope="module")
def samples():
    if not (sample_folder().parent / "setup.cfg").is_file():
        pytest.skip("the sample slides of the checkout are not here")
    return sample_folder()


def test_sample_is_a_slide_with_its_tumour_outlined(samples):
    (levels, image, kind), (rings, contours, kind_of_contours) = outlined_tumour()
    assert (kind, kind_of_contours) == ("image", "shapes")
    assert image["scale"] == contours["scale"]
    assert image["units"] == contours["units"] == ("um", "um")
    corners = np.concatenate(rings)
    assert (corners >= -0.5).all()
    assert (corners < levels[0].shape[:2]).all()


def test_sample_folder_has_six_slides(samples):
    assert all(path.is_file() for path in sample_slides(samples))


def test_drawn_sample_slides_are_reused(samples, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.sample_files.__file__", str(tmp_path / "a/b/installed.py"))
    drawn = shutil.copytree(samples, tmp_path / "cache/sample_slides")
    assert sample_folder(tmp_path / "cache") == drawn
