from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage import color

from napari_pathseg.engine.dataset.stain import (
    HED_FROM_RGB,
    RGB_FROM_HED,
    hed_transform,
    stain_normaliser,
    to_pixels,
    to_planes,
    transform_density,
)

METHODS = ("macenko", "reinhard")
SAMPLES = sorted((Path(__file__).parents[3] / "sample_data").glob("slide_0[124].tif"))


@pytest.fixture(scope="module")
def tissue():
    """Tissue of a sample slide without glass, 256 pixels wide."""
    return np.ascontiguousarray(tifffile.imread(SAMPLES[0])[200:456, 200:456])


def restained(pixels, haematoxylin, eosin):
    return to_pixels(
        transform_density(to_planes(pixels), *hed_transform(np.array([haematoxylin, eosin, 1.0]), np.zeros(3)))
    )


def test_stain_vectors_equal_those_of_scikit_image():
    assert np.allclose(RGB_FROM_HED, color.rgb_from_hed)
    assert np.allclose(HED_FROM_RGB, color.hed_from_rgb)


def test_planes_convert_back_to_the_same_pixels(tissue):
    assert np.array_equal(to_pixels(to_planes(tissue)), tissue)


def test_hed_identity_keeps_all_256_values():
    ramp = np.arange(256, dtype=np.uint8)
    pixels = np.stack([ramp, ramp[::-1], np.roll(ramp, 77)], axis=-1)[None]
    assert np.array_equal(restained(pixels, 1, 1), pixels)


def test_hed_transform_scales_and_shifts_the_amounts_of_stain(tissue):
    scale, shift = np.array([0.8, 1.1, 0.9]), np.array([0.1, 0.05, 0.0])
    planes = to_planes(tissue)
    changed = transform_density(planes, *hed_transform(scale, shift))
    before, after = (
        (np.log(256) - np.log(part.reshape(3, -1).numpy() + 1)).T @ HED_FROM_RGB for part in (planes, changed)
    )
    kept = ((changed > 0) & (changed < 255)).all(dim=0).flatten().numpy()
    assert kept.mean() > 0.9
    assert np.abs(after - (before * scale + shift))[kept].max() < 1e-2


def test_macenko_agrees_with_torchstain(tissue):
    torchstain = pytest.importorskip("torchstain", reason="torchstain is the oracle; install the extra [test].")
    stained = tissue[(tissue < 240 * np.exp(-0.15) - 1).all(axis=-1)][:30_000].reshape(150, 200, 3)
    expected = torchstain.normalizers.MacenkoNormalizer(backend="numpy").normalize(stained, stains=False)[0]
    found = stain_normaliser("macenko", stained)(stained)
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_reinhard_gives_tissue_the_mean_and_deviation_of_the_target(tissue):
    lms = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
    found = stain_normaliser("reinhard", tissue)(tissue).reshape(-1, 3)
    x, y, z = np.log(np.maximum(found @ lms.T, 1)).T
    lab = np.stack([(x + y + z) / 3**0.5, (x + y - 2 * z) / 6**0.5, (x - y) / 2**0.5])
    assert lab.mean(axis=1) == pytest.approx([8.741, -0.124, 0.0445], abs=0.06)
    assert lab.std(axis=1) == pytest.approx([0.614, 0.110, 0.0286], rel=0.25)  # clipped at 255


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_normalisation_makes_two_stainings_of_a_slide_alike(method, path):
    slide = tifffile.imread(path)[:640, :640]
    other = restained(slide, 1.25, 0.85)
    first, second = (stain_normaliser(method, pixels[::2, ::2])(pixels).astype(int) for pixels in (slide, other))
    assert np.abs(first - second).mean() < 0.6 * np.abs(slide.astype(int) - other).mean()


@pytest.mark.parametrize("method", METHODS)
def test_normaliser_treats_a_tile_like_the_whole_slide(method, tissue):
    normalise = stain_normaliser(method, tissue)
    whole = normalise(tissue)
    assert np.array_equal(normalise(tissue[10:41, 20:84]), whole[10:41, 20:84])
    assert whole.dtype == np.uint8
    assert not np.array_equal(whole, tissue)


@pytest.mark.parametrize("method", METHODS)
def test_normaliser_ignores_glass_around_the_tissue(method, tissue):
    framed = np.full((600, 600, 3), 244, np.uint8)
    framed[:100] = 0  # beyond the scanned area
    framed[200:456, 200:456] = tissue
    alone, around = stain_normaliser(method, tissue)(tissue), stain_normaliser(method, framed)(tissue)
    assert np.array_equal(alone, around)


def speckled(colour, deviation):
    noise = np.random.default_rng(0).normal(0, deviation, (100, 100, 1))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "thumbnail",
    [
        np.full((64, 64, 3), 255, np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        speckled((120, 120, 120), 30),
        np.full((64, 64, 3), (180, 90, 160), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
    ],
    ids=["blank", "black", "grey", "one colour", "empty"],
)
def test_slide_without_a_measurable_staining_is_left_unchanged(method, thumbnail):
    assert stain_normaliser(method, thumbnail) is None


@pytest.mark.parametrize("method", METHODS)
def test_crumb_of_tissue_is_too_little_to_normalise(method, tissue):
    thumbnail = np.full((200, 200, 3), 240, np.uint8)
    thumbnail[:15, :15] = tissue[:15, :15]
    assert stain_normaliser(method, thumbnail) is None


def test_method_none_changes_nothing(tissue):
    assert stain_normaliser("none", tissue) is None
