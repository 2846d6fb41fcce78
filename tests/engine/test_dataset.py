import numpy as np
import pytest

from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import edits
from napari_pathseg.engine.dataset import LearningSet


@pytest.fixture
def learning(project):
    with LearningSet(project, [project.slide(f"case{n}") for n in range(5)]) as learning:
        yield learning


def test_tiles_hold_the_slide_with_its_labels(learning):
    tile = learning.draw(64, np.random.default_rng(0))
    assert tile.pixels.shape == (64, 64, 3)
    dark = tile.pixels.mean(axis=-1) < 150
    assert ((tile.labels == 2) == dark).all()


def test_a_class_is_seen_more_often_than_it_occurs(learning):
    rng = np.random.default_rng(0)
    seen = np.mean([(learning.draw(32, rng).labels == 2).mean() for _ in range(200)])
    occurs = 80 * 80 / 192**2
    assert seen > 1.4 * occurs


def test_what_only_a_model_found_is_never_drawn(project):
    with project.writing(), project.open_mask("case5") as mask:
        edits.fill_from_model(mask, Region(0, 0, 192, 192), np.full((192, 192), 2, np.uint8))
        edits.paint(mask, Region(0, 0, 8, 8), np.full((8, 8), 1, np.uint8))
    with LearningSet(project, [project.slide("case5")]) as learning:
        assert learning.classes == [1]
        tile = learning.draw(64, np.random.default_rng(0))
        assert (tile.labels > 0).sum() == 64


def test_a_tile_larger_than_the_slide_is_mirrored_and_unlabelled_outside(learning):
    tile = learning.draw(256, np.random.default_rng(0))
    assert (tile.labels == 0).sum() == 256**2 - 192**2
    assert (tile.pixels.min(axis=(0, 1)) > 0).all()


def test_validation_tiles_cover_the_labels_without_overlap(learning):
    tiles = list(learning.spread(64, 1000, np.random.default_rng(0)))
    assert sum(region.height * region.width for _, region in tiles) == 5 * 192**2
    assert len(list(learning.spread(64, 7, np.random.default_rng(0)))) == 7
