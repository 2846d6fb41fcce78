import numpy as np
import pytest
import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training.batch_loader import BatchLoader
from napari_pathseg.errors import OutOfMemoryError

CONFIG = TrainConfig(
    tile=64, batch=4, accumulate=2, cached_tiles=8, flip_rotate=False, geometric_p=0, degrade_p=0, stain_jitter=0
)


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec("unet", "mobilenet_v2", 2)).eval()


@pytest.fixture
def loader(project, network):
    device = choose_device(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "fp32")
    with PatchDataset(project, [project.slide(f"case{n}") for n in range(4)], CONFIG) as dataset:
        yield lambda **changes: BatchLoader(dataset, CONFIG.replace(**changes), device)


def test_loader_gives_as_many_batches_as_are_accumulated(loader):
    batches = loader().next_batches(0)
    assert [tuple(batch.pixels.shape) for batch in batches] == [(4, 3, 64, 64)] * 2
    assert [tuple(batch.labels.shape) for batch in batches] == [(4, 64, 64)] * 2
    assert batches[0].weights is None


def test_seed_repeats_the_batches(loader):
    first, second, other = (loader(seed=seed, geometric_p=1, degrade_p=1).next_batches(10**6)[0] for seed in (3, 3, 4))
    assert torch.equal(first.pixels, second.pixels)
    assert not torch.equal(first.pixels, other.pixels)


def test_augmentation_rises_over_the_first_passes(loader):
    def warped(step, **changes):
        still, warps = (loader(geometric_p=p, **changes).next_batches(step)[0] for p in (0.0, 1.0))
        return (still.pixels != warps.pixels).flatten(1).any(dim=1).float().mean().item()

    pass_ = 36 / 8  # steps
    assert warped(0, augment_ramp=4) == 0
    assert 0 < np.mean([warped(2 * pass_, augment_ramp=4, seed=seed) for seed in range(6)]) < 1
    assert warped(4 * pass_, augment_ramp=4) == warped(0, augment_ramp=0) == 1


def test_halved_batch_is_accumulated_twice_as_often(loader):
    halved = loader()
    halved.halve_batch()
    assert (halved.batch, halved.accumulate) == (2, 4)
    halved.halve_batch()
    with pytest.raises(OutOfMemoryError, match="A single tile of 64 x 64"):
        halved.halve_batch()


def test_cached_features_are_those_of_their_tiles(loader, network):
    cached = loader()
    assert sum(1 for _ in cached.cache_features(network)) == 2
    features, batch = cached.cached_batch()
    with torch.no_grad():
        again = network.encode(batch.pixels)
    for level, fresh in zip(features, again, strict=True):
        assert torch.allclose(level, fresh, atol=1e-4)


def test_cached_labels_flip_with_their_features(loader, network):
    cached = loader(flip_rotate=True)
    list(cached.cache_features(network))
    for _ in range(6):
        _, batch = cached.cached_batch()
        dark = batch.pixels.float().mean(dim=1) < 150
        assert torch.equal(batch.labels == 2, dark)


def test_epoch_has_as_many_steps_as_cover_the_labels(loader):
    assert loader().steps_per_epoch == 4 * 9 // 8
    assert np.isclose(loader(batch=1, accumulate=1).steps_per_epoch, 36)
