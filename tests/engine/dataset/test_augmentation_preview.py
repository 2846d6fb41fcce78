import numpy as np
import pytest
from scipy import ndimage

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.augmentation_preview import GAP, SAMPLES, SIDE, augmentation_grid
from napari_pathseg.engine.dataset.tiles import Tile

SQUARE = slice(40, 120)


@pytest.fixture
def tile():
    rng = np.random.default_rng(0)
    pixels = np.clip(170 + 300 * ndimage.gaussian_filter(rng.normal(size=(160, 160, 3)), (4, 4, 0)), 0, 255)
    labels = np.ones((160, 160), np.uint8)
    labels[SQUARE, SQUARE] = 2
    return Tile(pixels.astype(np.uint8), labels, np.ones((160, 160), np.float32), pixels.astype(np.uint8))


def samples(grid):
    starts = range(0, grid.shape[0], SIDE + GAP)
    return [grid[top : top + SIDE, left : left + SIDE] for top in starts for left in starts]


def test_grid_holds_sixteen_samples_with_white_gaps(tile):
    grid = augmentation_grid(tile, TrainConfig(), 0)
    assert grid.shape == (646, 646, 3)
    assert grid.dtype == np.uint8
    assert len(samples(grid)) == SAMPLES**2
    for start in (SIDE, 2 * SIDE + GAP, 3 * SIDE + 2 * GAP):
        assert (grid[start : start + GAP] == 255).all()
        assert (grid[:, start : start + GAP] == 255).all()


def test_first_sample_is_the_tile_itself_with_its_outline(tile):
    first = samples(augmentation_grid(tile, TrainConfig(), 0))[0]
    outline = np.zeros((160, 160), bool)
    outline[SQUARE, SQUARE] = True
    outline[41:119, 41:119] = False
    assert (first[outline] == DEFAULT_CLASSES.specs[1].rgb).all()
    assert np.array_equal(first[~outline], tile.pixels[~outline])


def test_samples_differ_and_a_seed_repeats_them(tile):
    grid = augmentation_grid(tile, TrainConfig(), 3)
    assert len({sample.tobytes() for sample in samples(grid)}) == SAMPLES**2
    assert np.array_equal(grid, augmentation_grid(tile, TrainConfig(), 3))
    assert not np.array_equal(grid, augmentation_grid(tile, TrainConfig(), 4))


def test_samples_without_augmentation_are_the_tile(tile):
    still = TrainConfig(flip_rotate=False, geometric_p=0, degrade_p=0, stain_jitter=0)
    assert len({sample.tobytes() for sample in samples(augmentation_grid(tile, still, 0))}) == 1


@pytest.mark.parametrize("side", [64, 256, 416])
def test_tile_of_any_size_fits(tile, side):
    pixels, labels = np.resize(tile.pixels, (side, side, 3)), np.resize(tile.labels, (side, side))
    grid = augmentation_grid(Tile(pixels, labels), TrainConfig(), 0)
    assert grid.shape == (646, 646, 3)


def test_classes_have_their_own_outline_and_unlabelled_pixels_none(tile):
    labels = np.zeros((160, 160), np.uint8)
    labels[20:60, 20:60], labels[20:60, 90:130], labels[90:130, 20:60] = 1, 2, 3
    still = TrainConfig(flip_rotate=False, geometric_p=0, degrade_p=0, stain_jitter=0)
    first = samples(augmentation_grid(Tile(tile.pixels, labels), still, 0))[0]
    drawn = (first != tile.pixels).any(axis=-1)
    assert not drawn[labels == 0].any()
    assert len({tuple(first[row, column]) for row, column in ((20, 40), (20, 110), (90, 40))}) == 3
