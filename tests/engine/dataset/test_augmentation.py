import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.augmentation import Augmentation, flip_rotate
from napari_pathseg.engine.dataset.tiles import Tile

STILL = TrainConfig(flip_rotate=False, geometric_p=0, degrade_p=0, stain_jitter=0)
STRONG = TrainConfig(
    geometric_p=1, rotation=90, shift=0.3, shear=30, zoom=0.5, elastic=12, degrade_p=1, stain_jitter=0.3
)
FIXED = {"rotation": 0, "shift": 0, "shear": 0, "zoom": 0, "elastic": 0}


def same(one, other):
    parts = ("pixels", "labels", "weights", "context")
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in parts)


def blobs(side, seed, classes=4):
    """Return classes from 0 in blobs some pixels wide."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), side / 12)
    return np.digitize(smooth, np.quantile(smooth, np.arange(1, classes) / classes)).astype(np.uint8)


def restained(pixels, strength, seed):
    tile = Tile(pixels, np.ones(pixels.shape[:2], np.uint8))
    return Augmentation(STILL.replace(stain_jitter=strength))(tile, np.random.default_rng(seed)).pixels.astype(int)


def coloured(side=64, seed=0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(side, side, 3)), (3, 3, 0))
    pixels = np.clip(150 + 400 * smooth, 10, 245).astype(np.uint8)
    return Tile(pixels, blobs(side, seed), rng.random((side, side), np.float32), np.ascontiguousarray(pixels[::-1]))


def grey(side=64):
    return Tile(np.repeat(coloured(side).pixels[..., :1], 3, axis=-1), blobs(side, 0))


def test_eight_symmetries_differ_and_move_image_and_labels_together():
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    pixels = np.repeat(labels[..., None], 3, axis=-1)
    seen = set()
    for number in range(8):
        moved_pixels, moved_labels = flip_rotate(number, pixels, labels)
        assert (moved_pixels[..., 0] == moved_labels).all()
        seen.add(moved_labels.tobytes())
    assert len(seen) == 8


@pytest.mark.parametrize("seed", range(4))
def test_seed_repeats_a_variant_and_the_tile_itself_is_unchanged(seed):
    tile, copy = coloured(), coloured()
    first = Augmentation(STRONG)(tile, np.random.default_rng(seed))
    assert same(first, Augmentation(STRONG)(tile, np.random.default_rng(seed)))
    assert not same(first, Augmentation(STRONG)(tile, np.random.default_rng(seed + 100)))
    assert same(tile, copy)


@pytest.mark.parametrize(
    "config",
    [
        STILL,
        STILL.replace(geometric_p=1, **FIXED),
        STILL.replace(degrade_p=1, blur=0, noise=0, jpeg=100),
    ],
)
def test_augmentation_with_limits_of_zero_changes_nothing(config):
    tile = coloured()
    assert same(Augmentation(config)(tile, np.random.default_rng(0)), tile)


def test_variants_keep_shape_and_type_and_are_contiguous():
    tile = coloured()
    for seed in range(8):
        varied = Augmentation(STRONG)(tile, np.random.default_rng(seed))
        for part in ("pixels", "labels", "weights", "context"):
            before, after = getattr(tile, part), getattr(varied, part)
            assert (after.shape, after.dtype) == (before.shape, before.dtype)
            assert after.flags.c_contiguous


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([64, 96, 128]), st.floats(0, 180), st.floats(0, 30))
def test_labels_are_never_interpolated_and_follow_their_image(seed, side, rotation, elastic):
    labels = blobs(side, seed)
    tile = Tile(np.repeat(labels[..., None] * np.uint8(60), 3, axis=-1), labels, labels.astype(np.float32) / 7)
    config = STRONG.replace(rotation=rotation, elastic=elastic, degrade_p=0, stain_jitter=0)
    varied = Augmentation(config)(tile, np.random.default_rng(seed))
    assert set(np.unique(varied.labels)) <= set(np.unique(labels))
    assert np.array_equal(varied.weights, varied.labels.astype(np.float32) / 7)
    inside = ndimage.maximum_filter(varied.labels, 3) == ndimage.minimum_filter(varied.labels, 3)
    # A sliver of a class between two samples may show in the image only.
    difference = np.abs(varied.pixels[..., 0].astype(int) - 60 * varied.labels)[inside]
    assert (difference > 30).mean() < 0.002


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 5, 10]))
def test_elastic_deformation_keeps_to_its_limit(seed, limit):
    rows, columns = np.indices((128, 128)).astype(np.uint8)
    tile = Tile(np.stack([rows, columns, rows], axis=-1), rows)
    config = STILL.replace(geometric_p=1, **(FIXED | {"elastic": limit}))
    varied = Augmentation(config)(tile, np.random.default_rng(seed))
    moved = varied.pixels.astype(int) - tile.pixels
    assert np.abs(moved).max() <= limit + 1
    assert np.abs(moved).max() > 0


@pytest.mark.parametrize("seed", range(6))
def test_shift_keeps_to_its_limit(seed):
    rows, columns = np.indices((128, 128)).astype(np.uint8)
    tile = Tile(np.stack([rows, columns, rows], axis=-1), rows)
    config = STILL.replace(geometric_p=1, **(FIXED | {"shift": 0.1}))
    moved = Augmentation(config)(tile, np.random.default_rng(seed)).pixels[40:80, 40:80].astype(int)
    moved -= tile.pixels[40:80, 40:80]
    assert np.abs(moved).max() <= 13
    assert np.ptp(moved[..., 0]) <= 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("fill_mode", "padding"), [("mirror", "reflect"), ("nearest", "edge")])
def test_fill_mode_decides_what_lies_beyond_the_edge(fill_mode, padding, seed):
    side = 96
    rows, columns = np.indices((side, side)).astype(np.float32)
    tile = Tile(np.stack([rows, columns, rows], axis=-1).astype(np.uint8), rows.astype(np.uint8), columns)
    config = STILL.replace(geometric_p=1, fill_mode=fill_mode, **(FIXED | {"shift": 0.4}))
    moved = Augmentation(config)(tile, np.random.default_rng(seed))
    down, right = int(moved.labels[48, 48]) - 48, int(moved.weights[48, 48]) - 48  # pixels by which it was shifted
    assert max(abs(down), abs(right)) > 5
    window = np.s_[side + down : 2 * side + down, side + right : 2 * side + right]
    assert np.array_equal(moved.labels, np.pad(tile.labels, side, mode=padding)[window])
    assert np.array_equal(moved.weights, np.pad(columns, side, mode=padding)[window])
    expected = np.pad(tile.pixels, ((side, side), (side, side), (0, 0)), mode=padding)[window]
    assert np.abs(moved.pixels.astype(int) - expected).max() <= 1  # interpolated between two pixels


@pytest.mark.parametrize("seed", range(8))
def test_context_moves_with_its_tile(seed):
    side = 64
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(4 * side, 4 * side, 3)), (10, 10, 0))
    large = np.clip(150 + 1200 * smooth, 10, 245).astype(np.uint8)
    middle = slice(side * 3 // 2, side * 5 // 2)
    context = large.reshape(side, 4, side, 4, 3).mean(axis=(1, 3)).astype(np.uint8)
    tile = Tile(np.ascontiguousarray(large[middle, middle]), np.ones((side, side), np.uint8), None, context)
    config = STRONG.replace(rotation=180, shift=0.1, shear=20, zoom=0.3, elastic=0, degrade_p=0, stain_jitter=0.2)
    varied = Augmentation(config)(tile, np.random.default_rng(seed))
    small = varied.pixels.reshape(side // 4, 4, side // 4, 4, 3).mean(axis=(1, 3))
    # The middle eighth of the side lies inside the tile under any warp.
    seen, around = small[6:10, 6:10], varied.context[side // 2 - 2 : side // 2 + 2, side // 2 - 2 : side // 2 + 2]
    assert np.abs(seen - around).max() < 6
    assert np.abs(varied.pixels.astype(int) - tile.pixels).max() > 12


def test_geometric_p_is_the_fraction_of_warped_tiles():
    tile = coloured(32)
    augment, rng = Augmentation(STILL.replace(geometric_p=0.3)), np.random.default_rng(0)
    warped = [not same(augment(tile, rng), tile) for _ in range(400)]
    assert 0.22 < np.mean(warped) < 0.38


@pytest.mark.parametrize("seed", range(5))
def test_stain_jitter_changes_colours_a_little(seed):
    pixels = coloured().pixels
    varied = restained(pixels, 0.15, seed)
    assert 1 < np.abs(varied - pixels).mean() < 30
    assert (np.ptp(varied - pixels, axis=(0, 1)) > 0).all()


@pytest.mark.parametrize("seed", range(12))
def test_grey_tile_stays_grey_under_every_augmentation(seed):
    tile = grey()
    varied = Augmentation(STRONG)(tile, np.random.default_rng(seed))
    assert (varied.pixels == varied.pixels[..., :1]).all()
    assert not np.array_equal(varied.pixels, tile.pixels)


def test_colours_vary_more_where_few_slides_are_learnt():
    tile = Tile(np.full((16, 16, 3), (180, 90, 140), np.uint8), np.ones((16, 16), np.uint8))
    config = STILL.replace(stain_jitter=0.1)

    def spread(slides):
        augment, rng = Augmentation(config, slides), np.random.default_rng(0)
        return np.std([augment(tile, rng).pixels[0, 0] for _ in range(60)], axis=0).mean()

    assert spread(1) > 1.5 * spread(3) > 1.5 * spread(7)
    assert spread(7) == spread(100)


@pytest.mark.parametrize("seed", range(5))
def test_stain_jitter_of_grey_keeps_the_order_of_brightness(seed):
    values = np.arange(0, 256, 5, dtype=np.uint8)
    ramp = np.repeat(np.resize(values, (len(values), len(values)))[..., None], 3, axis=-1)
    varied = restained(ramp, 0.15, seed)
    assert (np.diff(varied, axis=1) >= 0).all()
    assert 0 < np.abs(varied - ramp).max() < 70


def roughness(pixels):
    return np.abs(np.diff(pixels.astype(int), axis=1)).mean()


def test_blur_smooths_noise_roughens_and_compression_makes_blocks():
    tile = coloured()
    none = STILL.replace(degrade_p=1, blur=0, noise=0, jpeg=100)
    for seed in range(5):
        blurred, noisy, packed = (
            Augmentation(none.replace(**only))(tile, np.random.default_rng(seed)).pixels
            for only in ({"blur": 3.0}, {"noise": 20.0}, {"jpeg": 10})
        )
        assert roughness(blurred) <= roughness(tile.pixels) <= roughness(noisy)
        assert not np.array_equal(packed, tile.pixels)
        assert np.abs(packed.astype(int) - tile.pixels).mean() < 15


def test_degradation_leaves_labels_and_weights_alone():
    tile = coloured()
    varied = Augmentation(STILL.replace(degrade_p=1, stain_jitter=0.5))(tile, np.random.default_rng(0))
    assert np.array_equal(varied.labels, tile.labels)
    assert np.array_equal(varied.weights, tile.weights)
    assert not np.array_equal(varied.pixels, tile.pixels)
