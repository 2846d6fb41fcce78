import numpy as np
import pytest
import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.dataset.patches import LearningSet
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training.batches import Supply
from napari_pathseg.errors import OutOfMemoryError

CONFIG = TrainConfig(
    tile=64, batch=4, accumulate=2, cached_tiles=8, flip_rotate=False, geometric_p=0, degrade_p=0, stain_jitter=0
)


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec("unet", "mobilenet_v2", 2)).eval()


@pytest.fixture
def supply(project, network):
    device = choose_device(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "fp32")
    with LearningSet(project, [project.slide(f"case{n}") for n in range(4)], CONFIG) as learning:
        yield lambda **changes: Supply(learning, CONFIG.replace(**changes), device)


def test_a_step_learns_from_as_many_batches_as_are_accumulated(supply):
    batches = supply().batches()
    assert [tuple(batch.pixels.shape) for batch in batches] == [(4, 3, 64, 64)] * 2
    assert [tuple(batch.labels.shape) for batch in batches] == [(4, 64, 64)] * 2
    assert batches[0].weights is None


def test_a_seed_repeats_what_is_drawn(supply):
    first, second, other = (supply(seed=seed, geometric_p=1, degrade_p=1).batches()[0] for seed in (3, 3, 4))
    assert torch.equal(first.pixels, second.pixels)
    assert not torch.equal(first.pixels, other.pixels)


def test_half_the_tiles_twice_as_often_are_as_many(supply):
    starved = supply()
    starved.halve()
    assert (starved.batch, starved.accumulate) == (2, 4)
    starved.halve()
    with pytest.raises(OutOfMemoryError, match="A single tile of 64 x 64"):
        starved.halve()


def test_kept_features_are_those_of_their_tiles(supply, network):
    kept = supply()
    assert sum(1 for _ in kept.keep_features(network)) == 2
    features, batch = kept.kept()
    with torch.no_grad():
        again = network.encode(batch.pixels)
    for level, fresh in zip(features, again, strict=True):
        assert torch.allclose(level, fresh, atol=1e-4)


def test_kept_labels_turn_with_their_features(supply, network):
    kept = supply(flip_rotate=True)
    list(kept.keep_features(network))
    for _ in range(6):
        _, batch = kept.kept()
        dark = batch.pixels.float().mean(dim=1) < 150
        assert torch.equal(batch.labels == 2, dark)


def test_a_pass_is_as_many_steps_as_show_all_that_is_labelled(supply):
    assert supply().steps_in_a_pass == 4 * 9 // 8
    assert np.isclose(supply(batch=1, accumulate=1).steps_in_a_pass, 36)
