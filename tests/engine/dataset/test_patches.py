import shutil

import numpy as np
import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.training.plan import plan_training
from napari_pathseg.geometry import Region
from napari_pathseg.masks import edits
from napari_pathseg.projects.project import Project

SMALL = TrainConfig(tile=64)


def make_dataset(project, config=SMALL, slides=range(5)):
    return PatchDataset(project, [project.slide(f"case{n}") for n in slides], config)


@pytest.fixture
def dataset(project):
    with make_dataset(project) as dataset:
        yield dataset


def test_tiles_hold_the_pixels_of_the_slide_with_their_labels(dataset):
    tile = dataset.draw(np.random.default_rng(0))
    assert tile.pixels.shape == (64, 64, 3)
    dark = tile.pixels.mean(axis=-1) < 150
    assert ((tile.labels == 2) == dark).all()
    assert tile.weights is None
    assert tile.context is None


def test_rare_class_is_drawn_more_often_than_it_occurs(dataset):
    rng = np.random.default_rng(0)
    seen = np.mean([(dataset.draw(rng).labels == 2).mean() for _ in range(200)])
    occurs = 80 * 80 / 192**2
    assert seen > 1.3 * occurs


def test_every_other_tile_shows_the_slides_that_are_favoured(project):
    rng = np.random.default_rng(0)
    with make_dataset(project, TrainConfig(tile=192)) as dataset:  # a tile is a whole slide

        def share_of_last():
            last = dataset.slides[-1].pixels(Region(0, 0, 192, 192))
            return np.mean([np.array_equal(dataset.draw(rng).pixels, last) for _ in range(200)])

        assert share_of_last() == pytest.approx(1 / 5, abs=0.1)
        dataset.favour(["case4"])
        assert share_of_last() == pytest.approx(1 / 2 + 1 / 10, abs=0.1)


def test_predictions_of_a_model_are_never_drawn(project):
    with project.write_lock(), project.open_mask("case5") as mask:
        edits.fill_from_model(mask, Region(0, 0, 192, 192), np.full((192, 192), 2, np.uint8))
        edits.paint(mask, Region(0, 0, 8, 8), np.full((8, 8), 1, np.uint8))
    with make_dataset(project, slides=[5]) as dataset:
        assert dataset.classes == [1]
        rng = np.random.default_rng(0)
        assert max((dataset.draw(rng).labels > 0).sum() for _ in range(20)) == 64


def correct(project, slide, region, label=2):
    """Import a label, then paint another over it, as a user who corrects."""
    with project.write_lock(), project.open_mask(slide) as mask:
        edits.import_labels(mask, region, np.full(region[2:], 3 - label, np.uint8), np.ones(region[2:], bool))
        edits.paint(mask, region, np.full(region[2:], label, np.uint8))


def test_corrected_pixels_weigh_more(project):
    correct(project, "case0", Region(0, 0, 16, 16))
    with make_dataset(project, TrainConfig(tile=192, corrected_weight=5), [0]) as dataset:
        tile = dataset.draw(np.random.default_rng(0))
    assert (tile.weights[:16, :16] == 5).all()
    assert (tile.weights == 5).sum() == 256


def test_blocks_with_corrections_are_drawn_more_often(project):
    correct(project, "case0", Region(0, 0, 16, 16))

    def share(weight):
        with make_dataset(project, SMALL.replace(corrected_weight=weight), [0]) as dataset:
            rng = np.random.default_rng(0)
            return np.mean([dataset.draw(rng).weights is not None for _ in range(200)])

    assert share(20) > 1.5 * share(1.5) > 0


def shares_of_slides(project, records, config, draws=600):
    """Return how often tiles as large as the slides are drawn from each of them."""
    whole = config.replace(tile=192)
    with PatchDataset(project, records, whole) as dataset:
        pixels, rng = [slide.pixels(Region(0, 0, 192, 192)) for slide in dataset.slides], np.random.default_rng(0)
        drawn = [dataset.draw(rng).pixels for _ in range(draws)]
    found = [next(n for n, known in enumerate(pixels) if (known == tile).all()) for tile in drawn]
    return np.bincount(found, minlength=len(records)) / draws


def test_training_that_goes_on_sees_corrected_slides_more_often_and_all_older_ones_still(trained, tmp_path):
    folder = tmp_path / "goes_on.pathseg"
    shutil.copytree(trained[0].folder, folder)
    project = Project.open(folder)
    plan = plan_training(project, TrainConfig(), "m001")
    slides = [record.id for record in plan.train]
    assert set(slides) == set(trained[2].train)  # nothing that the model has learnt is left out
    correct(project, slides[0], Region(0, 0, 96, 192), 1)
    correct(project, slides[0], Region(96, 0, 96, 192), 2)
    first, *others = shares_of_slides(project, plan.train, plan.config.replace(corrected_weight=3))
    assert first == pytest.approx(3 / (2 + len(slides)), abs=0.06)
    assert others == pytest.approx([1 / (2 + len(slides))] * len(others), abs=0.06)


def test_a_single_corrected_block_leaves_its_slide_its_usual_share(project):
    correct(project, "case0", Region(0, 0, 16, 16))
    records = [project.slide(f"case{number}") for number in range(5)]
    assert shares_of_slides(project, records, SMALL) == pytest.approx([0.2] * 5, abs=0.06)


def test_gaps_between_touching_objects_weigh_more_with_border_weight(project):
    with project.write_lock(), project.open_mask("case5") as mask:
        labels = np.full((192, 192), 1, np.uint8)
        labels[40:90, 40:90] = labels[40:90, 93:150] = 2
        edits.paint(mask, Region(0, 0, 192, 192), labels)
    with make_dataset(project, TrainConfig(tile=192, border_weight=10), [5]) as dataset:
        weights = dataset.draw(np.random.default_rng(0)).weights
    assert weights[60, 91] > 5
    assert weights[5, 5] == pytest.approx(1, abs=0.01)


def test_gap_at_the_edge_of_a_tile_weighs_as_much_as_inside(project):
    with project.write_lock(), project.open_mask("case5") as mask:
        labels = np.full((192, 192), 1, np.uint8)
        labels[40:90, 40:90] = labels[40:90, 93:150] = 2
        edits.paint(mask, Region(0, 0, 192, 192), labels)
    config, record = TrainConfig(border_weight=10), [project.slide("case5")]
    with PatchDataset(project, record, config) as cached, PatchDataset(project, record, config, cache=False) as read:
        found = [one.slides[0].border_weights(Region(30, 92, 64, 64), 10, 5) for one in (cached, read)]
    assert found[0][20, 0] > 5  # though the object on the left lies outside
    np.testing.assert_allclose(*found, rtol=1e-3)


def test_tile_has_its_surroundings_with_context_on(project):
    with make_dataset(project, SMALL.replace(context=True)) as dataset:
        tile = dataset.draw(np.random.default_rng(0))
    assert tile.context.shape == (64, 64, 3)
    assert tile.context[24:40, 24:40].mean() == pytest.approx(tile.pixels.mean(), abs=6)


def test_tile_larger_than_a_slide_holds_it_mirrored_with_its_labels(project):
    with make_dataset(project, TrainConfig(tile=256, border_weight=2.0)) as dataset:
        rng = np.random.default_rng(0)
        tiles = [dataset.draw(rng) for _ in range(20)]
        found = set()
        for tile in tiles:
            assert (tile.labels > 0).all()
            places = [
                (slide, top, left)
                for slide in dataset.slides
                for top in range(65)
                for left in range(65)
                if np.array_equal(tile.pixels[top : top + 4, left : left + 8], slide.pixels(Region(0, 0, 4, 8)))
            ]
            ((slide, top, left),) = places  # the whole slide lies in the tile, at one place
            region = Region(-top, -left, 256, 256)
            mirrored = np.pad(slide.labels(Region(0, 0, 192, 192)), ((top, 64 - top), (left, 64 - left)), "reflect")
            assert np.array_equal(tile.labels, mirrored)
            assert np.array_equal(tile.pixels, slide.pixels(region))
            found.add((top, left))
    assert len(found) > 3  # it is placed at random


def test_labelled_regions_cover_the_labels_without_overlap(dataset):
    tiles = list(dataset.labelled_regions(64, 1000, np.random.default_rng(0)))
    assert sum(region.height * region.width for _, region in tiles) == 5 * 192**2
    assert len(list(dataset.labelled_regions(64, 7, np.random.default_rng(0)))) == 7


def test_epoch_has_as_many_tiles_as_cover_the_labels(dataset):
    assert dataset.tiles_per_epoch == 5 * 9


def test_complete_box_is_background_and_nothing_outside_is_labelled(project):
    box = Region(20, 30, 40, 50)
    record = project.update_slide("case5", boxes=(box,))
    expected = np.zeros((192, 192), np.uint8)
    expected[box.slices] = 1
    with PatchDataset(project, [record], TrainConfig(tile=192)) as dataset:
        assert dataset.classes == [1]
        labels = dataset.draw(np.random.default_rng(0)).labels
        assert (labels == 1).sum() == 40 * 50
        np.testing.assert_array_equal(dataset.slides[0].truth(Region(0, 0, 192, 192))[0], expected)
