"""Stains are separated as scikit-image does it, only faster."""

import numpy as np
import pytest
from skimage.color import rgb2hed

from napari_pathseg.interactive.optical_density import haematoxylin, stains


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


def test_stains_equal_those_of_scikit_image_on_the_decadic_scale(image):
    image = np.maximum(image, 1)  # scikit-image gives black six decades
    theirs = 6 * rgb2hed(image)
    for ours, stain in zip(stains(image), (0, 1), strict=True):
        assert ours.dtype == np.float32
        assert np.allclose(ours, theirs[..., stain], atol=1e-5)


def test_white_has_no_stain_and_black_a_finite_amount():
    ends = np.array([[[255] * 3, [0] * 3]], np.uint8)
    assert [amount[0, 0] for amount in stains(ends)] == [0, 0]
    assert all(np.isfinite(amount).all() for amount in stains(ends))


def test_amount_of_pure_haematoxylin_is_recovered():
    amounts = np.array([0.2, 0.5, 0.8])
    colours = 255 * 10 ** -(amounts[:, None] * [0.65, 0.70, 0.29])
    dyed = np.rint(colours).astype(np.uint8)[None]
    assert haematoxylin(dyed)[0] == pytest.approx(amounts, abs=0.02)
    assert stains(dyed)[1][0] == pytest.approx(0, abs=0.02)


def test_stain_of_a_grey_image_is_its_brightness():
    grey = np.array([[0, 51, 255]], np.uint8)
    assert haematoxylin(grey)[0] == pytest.approx([0, 0.2, 1])
    assert len(stains(grey)) == 1
