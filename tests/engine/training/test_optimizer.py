import pytest
import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.fcn8s import FCN8s
from napari_pathseg.engine.networks.network import Network
from napari_pathseg.engine.training.losses import build_loss
from napari_pathseg.engine.training.optimizer import (
    LearningRateSchedule,
    build_optimizer,
    freeze_encoder,
    set_learning_rate,
    train_mode,
)


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec("unet", "tf_efficientnet_lite0", 2))


def factors(name, points, steps=10_000, **changes):
    schedule = LearningRateSchedule(TrainConfig(schedule=name, **changes), 10)
    return [schedule.factor(progress, steps) for progress in points]


def test_cosine_rises_during_warm_up_and_falls_to_a_hundredth():
    schedule = LearningRateSchedule(TrainConfig(schedule="cosine", warm_up=0.1), 10)
    rise = [schedule.factor(progress, 0) for progress in (0, 0.05, 0.1)]
    assert rise[0] == pytest.approx(0.05)
    assert rise == sorted(rise)
    assert schedule.factor(1, 0) == pytest.approx(0.01)


def test_one_cycle_peaks_at_three_tenths():
    start, peak, end = factors("one-cycle", (0, 0.3, 1))
    assert (start, peak) == (pytest.approx(0.05), pytest.approx(1))
    assert end < 0.01


def test_staircase_falls_by_a_twentieth_with_each_epoch():
    schedule = LearningRateSchedule(TrainConfig(schedule="staircase", warm_up=0), 10)
    assert [schedule.factor(0, step) for step in (0, 9, 10, 25)] == pytest.approx([1, 1, 0.95, 0.95**2])


def test_plateau_halves_the_learning_rate_after_its_patience():
    schedule = LearningRateSchedule(TrainConfig(schedule="plateau", warm_up=0), 10)
    for best in (True, False, False):
        schedule.validated(best=best)
    assert schedule.factor(0.5, 0) == 1
    schedule.validated(best=False)
    assert schedule.factor(0.5, 0) == 0.5


@pytest.mark.parametrize(("preset", "name"), [("normal", "cosine"), ("thorough", "plateau")])
def test_schedule_auto_follows_the_preset(preset, name):
    assert LearningRateSchedule(TrainConfig(preset=preset), 10).name == name


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_optimizers_scale_the_learning_rate_of_the_encoder(network, name):
    optimizer = build_optimizer(network, TrainConfig(optimizer=name, encoder_lr_scale=0.1, weight_decay=0.01))
    set_learning_rate(optimizer, 1.0)
    rates = {group["lr"] for group in optimizer.param_groups}
    assert rates == {1.0, 0.1}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.01}
    moved = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
    assert moved == sum(parameter.numel() for parameter in network.parameters())


def test_large_fan_in_and_encoder_without_norms_have_lower_rates():
    with torch.device("meta"):  # half a gigabyte of weights, of which only the shapes matter
        network = FCN8s(NetworkSpec("fcn8s", "", 2))
    optimizer = build_optimizer(network, TrainConfig())
    set_learning_rate(optimizer, 1.0)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rate_of[id(network.fc6.weight)] == pytest.approx(1024 / (512 * 7 * 7))
    assert rate_of[id(network.fc7.weight)] == 1
    assert {rate_of[id(parameter)] for parameter in network.encoder_parameters()} == {0.2}


def test_weight_decay_spares_biases_and_norms(network):
    optimizer = build_optimizer(network, TrainConfig())
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert (parameter.ndim > 1) == (group["weight_decay"] > 0)


def test_frozen_encoder_keeps_its_batch_statistics(network):
    freeze_encoder(network, frozen=True)
    train_mode(network)
    norms = [m for m in network.encoder.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert not any(norm.training for norm in norms)
    freeze_encoder(network, frozen=False)
    train_mode(network)
    assert all(norm.training for norm in norms)


class Tiny(Network):
    """Two convolutions: an encoder without weight decay and a decoder with it, as in FCN-8s."""

    def __init__(self):
        super().__init__((127.5,) * 3, (127.5,) * 3)
        self.first, self.last = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 2, 3, padding=1)

    @property
    def encoder(self):
        return self.first

    def _encode(self, pixels):
        return [self.first(pixels.to(self.first.weight.dtype)).tanh()]

    def _decode(self, features):
        return self.last(features[0])

    def decayed_parameters(self):
        return [self.last.weight]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_summed_cross_entropy_with_l2_converts_as_the_help_of_weight_decay_says(optimizer):
    torch.manual_seed(0)
    recipe, ours = (Tiny().double() for _ in range(2))
    ours.load_state_dict(recipe.state_dict())
    pixels, labels = torch.randint(0, 256, (2, 3, 32, 32)), torch.randint(1, 3, (2, 32, 32))
    number, strength, rate = labels.numel(), 5.0, 0.01
    if optimizer == "adam":
        stepping = torch.optim.Adam(recipe.parameters(), rate)
    else:
        stepping = torch.optim.SGD(recipe.parameters(), rate / number, momentum=0.9, nesterov=True)
    config = TrainConfig(optimizer=optimizer, weight_decay=2 * strength / number, learning_rate=rate)
    loss, converted = build_loss(config.replace(loss="cross-entropy"), [1, 1]), build_optimizer(ours, config)
    start = recipe.last.weight.detach().clone()
    for _ in range(30):
        stepping.zero_grad()
        entropy = torch.nn.functional.cross_entropy(recipe(pixels), labels - 1, reduction="sum")
        (entropy + strength * recipe.last.weight.square().sum()).backward()
        stepping.step()
        converted.zero_grad()
        loss(ours(pixels), labels.to(torch.uint8)).backward()
        converted.step()
    for one, other in zip(recipe.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert (recipe.last.weight - start).abs().max() > 0.01
    assert "2λ/N" in next(info.help for field, info in config.described() if field.name == "weight_decay")
