import pytest
import torch

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.fcn8s import FCN8s
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
