import math

import numpy as np
import pytest
import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.training import train_state
from napari_pathseg.engine.training.train_state import Batch, TrainState

CONFIG = TrainConfig(tile=64, precision="fp32", architecture="unet-classic")
SPEC = NetworkSpec("unet", "mobilenet_v2", 2)


def make_state(spec=SPEC, **changes):
    config = CONFIG.replace(**changes)
    torch.manual_seed(0)
    network = build_network(spec)
    device = choose_device(network, torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "fp32")
    state = TrainState(network, device, config, [1, 1])
    state.reset_optimizer(decoder_only=False)
    return state


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(1, 3, (2, 8, 8))).repeat_interleave(8, 1).repeat_interleave(8, 2)
    pixels = (labels * 80).unsqueeze(1).expand(-1, 3, -1, -1).to(torch.uint8)
    return Batch(pixels.contiguous(), labels.to(torch.uint8))


def test_training_steps_lower_the_loss(batch):
    state = make_state()
    losses = [state.training_step([batch], 1e-3) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]
    assert state.step == 12
    assert state.training_dice is not None


def test_ema_follows_the_network(batch):
    state = make_state(ema_decay=0.9)
    before = state.ema_model.state_dict()["net.segmentation_head.0.weight"].clone()
    for _ in range(2):
        state.training_step([batch], 1e-2)
    now = state.network.state_dict()["net.segmentation_head.0.weight"]
    mean = state.ema_model.state_dict()["net.segmentation_head.0.weight"]
    assert 0 < (mean - before).abs().sum() < (now - before).abs().sum() * 1.01


@pytest.mark.parametrize("decay", [0.9, 0.98, 0.0])
def test_ema_equals_the_formula_of_earlier_versions(batch, decay, monkeypatch):
    monkeypatch.setattr(train_state, "_PARAMETERS_PER_STEP", 5_000_000)
    state = make_state(ema_decay=decay)
    size = sum(parameter.numel() for parameter in state.network.parameters())
    every = 2 + size // 5_000_000
    assert every > 2
    expected = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    for step in range(1, 3 * every + 1):
        state.training_step([batch], 1e-2)
        if step % every == 0:
            keep = min(decay, step / (step + 10)) ** every
            for name, now in state.network.state_dict().items():
                if now.is_floating_point():
                    expected[name].lerp_(now, 1 - keep)
    for name, mean in state.ema_model.state_dict().items():
        if mean.is_floating_point():
            assert torch.equal(mean, expected[name]), name


def test_ema_that_is_updated_rarely_catches_up_when_asked(batch, monkeypatch):
    monkeypatch.setattr(train_state, "_PARAMETERS_PER_STEP", 1_000_000)
    state = make_state(ema_decay=0.9)
    assert state._ema_interval > 3
    initial = [parameter.detach().clone() for parameter in state.network.parameters()]
    for _ in range(3):
        state.training_step([batch], 1e-2)
    assert all(torch.equal(*pair) for pair in zip(initial, state.ema_model.parameters(), strict=True))
    for _ in range(2):  # the second time there is nothing to catch up with
        state.update_ema()
        keep = (3 / 13) ** 3
        for before, now, mean in zip(initial, state.network.parameters(), state.ema_model.parameters(), strict=True):
            torch.testing.assert_close(mean, before.lerp(now.detach(), 1 - keep))


@pytest.mark.parametrize("decay", [0.9, 0.98])
def test_ema_copies_the_batch_counters_of_the_network(batch, decay):
    state = make_state(ema_decay=decay)
    for _ in range(state._ema_interval):
        state.training_step([batch], 1e-3)
    averaged, current = state.ema_model.state_dict(), state.network.state_dict()
    counters = [name for name in current if name.endswith("num_batches_tracked")]
    assert {name: averaged[name].item() for name in counters} == dict.fromkeys(counters, state._ema_interval)
    assert counters
    assert {name: tensor.dtype for name, tensor in averaged.items()} == {n: t.dtype for n, t in current.items()}
    build_network(SPEC).load_state_dict(averaged, strict=True)


def test_ema_decay_of_zero_keeps_the_latest_weights(batch):
    state = make_state(ema_decay=0.0)
    for _ in range(2):
        state.training_step([batch], 1e-2)
    for mean, now in zip(state.ema_model.parameters(), state.network.parameters(), strict=True):
        assert torch.equal(mean, now)


def test_step_with_a_nan_loss_changes_nothing(batch):
    state = make_state()
    before = [parameter.detach().clone() for parameter in state.network.parameters()]
    state._loss = lambda logits, labels, weights: logits.sum() * math.nan
    assert math.isnan(state.training_step([batch], 1e-2))
    assert all(torch.equal(a, b) for a, b in zip(before, state.network.parameters(), strict=True))
    assert state.step == 0


def test_accumulated_halves_give_the_gradients_of_the_whole_batch(batch):
    whole, halves = (make_state(NetworkSpec("unet-classic", "", 2, 3), loss="cross-entropy") for _ in range(2))
    for state in (whole, halves):
        for module in state.network.modules():
            if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
                module.p = 0.0
    parts = [Batch(batch.pixels[i : i + 1], batch.labels[i : i + 1]) for i in range(2)]
    assert whole.training_step([batch], 0.0) == pytest.approx(halves.training_step(parts, 0.0), rel=1e-5)
    for a, b in zip(whole.network.parameters(), halves.network.parameters(), strict=True):
        assert (a.grad - b.grad).norm() <= 1e-2 * a.grad.norm() + 1e-6


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_state_continues_from_its_tensors_as_if_uninterrupted(batch, optimizer):
    first = make_state(optimizer=optimizer)
    for _ in range(3):
        first.training_step([batch], 1e-3)
    kept = {name: tensor.clone() for name, tensor in first.tensors().items()}
    second = make_state(optimizer=optimizer)
    second.load_tensors(kept, {"step": first.step, "loss": first.loss})  # as in checkpoints of older versions
    for state in (first, second):
        for _ in range(2):
            state.training_step([batch], 1e-3)
    assert second.loss == first.loss
    for a, b in zip(first.tensors().values(), second.tensors().values(), strict=True):
        assert torch.equal(a, b)


def test_training_step_leaves_the_global_random_numbers_alone(batch):
    state = make_state(NetworkSpec("unet-classic", "", 2, 3))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    state.training_step([batch], 1e-3)
    assert torch.equal(torch.rand(3), expected)


def test_decoder_step_leaves_a_frozen_encoder_alone(batch):
    state = make_state()
    state.reset_optimizer(decoder_only=True)
    encoder = [parameter.detach().clone() for parameter in state.network.encoder_parameters()]
    with torch.no_grad():
        features = state.network.encode(batch.pixels)
    first = state.decoder_step(features, batch, 1e-2)
    for _ in range(8):
        last = state.decoder_step(features, batch, 1e-2)
    assert last < first
    assert all(torch.equal(a, b) for a, b in zip(encoder, state.network.encoder_parameters(), strict=True))
