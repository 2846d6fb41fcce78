import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_pathseg.config import LOSS_NAMES, TrainConfig
from napari_pathseg.engine.training.losses import ValidationLoss, build_loss, class_weights
from napari_pathseg.errors import ConfigError

every_loss = pytest.mark.parametrize("name", LOSS_NAMES)


def loss_of(name, classes=3, all_reduce=None, **changes):
    config = TrainConfig(loss=name, **changes)
    pixels = [100] * classes
    return build_loss(config, pixels) if all_reduce is None else build_loss(config, pixels, all_reduce)


def batch(seed=0, tiles=2, classes=3, side=6, unlabelled=True, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(tiles, classes, side, side, generator=generator, dtype=dtype) * 2
    labels = torch.randint(0 if unlabelled else 1, classes + 1, (tiles, side, side), generator=generator)
    weights = torch.rand(tiles, side, side, generator=generator, dtype=dtype) * 3
    return logits, labels.to(torch.uint8), weights


def certain(labels, classes, certainty=20.0):
    return F.one_hot(labels.long().clamp(min=1) - 1, classes).movedim(-1, 1) * certainty


seeds = st.integers(0, 2**31)
few = settings(max_examples=15, deadline=None)


@every_loss
@few
@given(seed=seeds)
def test_loss_ignores_logits_and_weights_of_unlabelled_pixels(name, seed):
    logits, labels, weights = batch(seed)
    other = logits + 30 * torch.randn_like(logits) * (labels == 0).unsqueeze(1)
    heavier = torch.where(labels == 0, 100.0, weights)
    expected = loss_of(name)(logits, labels, weights)
    assert torch.allclose(loss_of(name)(other, labels, heavier), expected)


@every_loss
@few
@given(seed=seeds, classes=st.integers(2, 5))
def test_loss_of_a_perfect_prediction_is_near_zero_and_of_a_wrong_one_high(name, seed, classes):
    _, labels, weights = batch(seed, classes=classes)
    loss = loss_of(name, classes)
    assert -1e-6 < loss(certain(labels, classes), labels, weights) < 1e-3
    wrong = labels % classes + 1
    assert loss(certain(wrong, classes), labels, weights) > 0.5


@every_loss
@few
@given(seed=seeds)
def test_loss_does_not_depend_on_the_order_of_tiles(name, seed):
    logits, labels, weights = batch(seed, tiles=4)
    order = torch.randperm(4)
    expected = loss_of(name)(logits, labels, weights)
    assert torch.allclose(loss_of(name)(logits[order], labels[order], weights[order]), expected)


@every_loss
@few
@given(seed=seeds)
def test_pixel_of_weight_two_counts_like_two_pixels(name, seed):
    logits, labels, _ = batch(seed)
    times = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, 6))
    weights = times.expand(2, 6, 6).double()
    repeated = logits.repeat_interleave(times, dim=3), labels.repeat_interleave(times, dim=2)
    assert torch.allclose(loss_of(name)(logits, labels, weights), loss_of(name)(*repeated))


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_equals_the_numerical_gradient(name, weighted):
    logits, labels, weights = batch(3, tiles=2, side=3)
    loss = loss_of(name, class_weights="1,2,0.5")
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, weights if weighted else None), logits)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 5.0])
def test_focal_gradient_is_right_and_finite_for_any_gamma(gamma):
    logits, labels, _ = batch(4, side=3)
    loss = loss_of("focal", focal_gamma=gamma)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits.requires_grad_())
    sure = (certain(labels, 3, 500.0)).double().requires_grad_()
    loss(sure, labels).backward()
    assert torch.isfinite(sure.grad).all()


@every_loss
def test_gradient_is_zero_on_unlabelled_pixels_only(name):
    logits, labels, _ = batch(5)
    logits.requires_grad_()
    loss_of(name)(logits, labels).backward()
    moved = (logits.grad != 0).any(dim=1)
    assert not moved[labels == 0].any()
    assert moved[labels > 0].float().mean() > (0.3 if name == "lovasz" else 0.99)


@every_loss
@pytest.mark.parametrize("why", ["unlabelled", "weightless"])
def test_batch_without_labels_has_zero_loss_and_gradient(name, why):
    logits, labels, weights = batch(6)
    logits.requires_grad_()
    labels, weights = (labels * 0, weights) if why == "unlabelled" else (labels, weights * 0)
    loss = loss_of(name)(logits, labels, weights)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@every_loss
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_bfloat16_and_extreme_logits_give_finite_losses_and_gradients(name, size):
    logits, labels, weights = batch(7, dtype=torch.float32)
    coarse = (logits * size).bfloat16().requires_grad_()
    loss = loss_of(name)(coarse, labels, weights.float())
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(coarse.grad).all()
    assert torch.allclose(loss, loss_of(name)(coarse.detach().float(), labels, weights.float()))


@every_loss
def test_loss_of_a_batch_shared_by_two_processes_is_unchanged(name):
    """Each process adds the sums of the other, as an all-reduce does."""
    logits, labels, weights = batch(8, tiles=4)
    labels[0] = 0  # so that the halves differ in what they count
    logits.requires_grad_()
    whole = loss_of(name, class_weights="1,3,2")(logits, labels, weights)
    slope = torch.autograd.grad(whole, logits)[0]
    halves = [(logits[part].detach().requires_grad_(), labels[part], weights[part]) for part in ([0, 1], [2, 3])]
    sums = []

    def remember(vector):
        sums.append(vector.detach())
        return vector

    for half in halves:
        loss_of(name, all_reduce=remember, class_weights="1,3,2")(*half)
    assert len(sums) == 2  # once for a batch
    for half, other, part in zip(halves, reversed(sums), ([0, 1], [2, 3]), strict=True):
        loss = loss_of(name, all_reduce=lambda vector, other=other: vector + other, class_weights="1,3,2")(*half)
        loss.backward()
        assert torch.allclose(loss, whole)
        assert torch.allclose(half[0].grad, slope[part])


# -- agreement with other implementations


@pytest.mark.parametrize("shares", ["none", "1,2.5,0.1"])
def test_cross_entropy_equals_that_of_torch(shares):
    logits, labels, _ = batch(9)
    numbers = torch.tensor(class_weights(shares, [1, 1, 1]), dtype=torch.float64)
    expected = F.cross_entropy(logits, labels.long() - 1, weight=numbers, ignore_index=-1)
    assert torch.allclose(loss_of("cross-entropy", class_weights=shares)(logits, labels), expected)


def test_dice_tversky_and_lovasz_equal_segmentation_models_pytorch():
    peers = pytest.importorskip("segmentation_models_pytorch").losses
    logits, labels, _ = batch(10)
    target = labels.long() - 1
    dice = peers.DiceLoss("multiclass", smooth=0.5, ignore_index=-1)(logits, target)
    assert torch.allclose(loss_of("dice")(logits, labels), dice)
    tversky = peers.TverskyLoss("multiclass", smooth=0.5, ignore_index=-1, alpha=0.2, beta=0.8)(logits, target)
    assert torch.allclose(loss_of("tversky", tversky_alpha=0.2)(logits, labels), tversky)
    logits = logits.float()  # all that its Lovász takes
    lovasz = peers.LovaszLoss("multiclass", per_image=True, ignore_index=-1)(logits, target)
    assert torch.allclose(loss_of("lovasz")(logits, labels), lovasz)


def test_default_loss_is_the_sum_of_cross_entropy_and_dice():
    logits, labels, weights = batch(11)
    both = loss_of("cross-entropy")(logits, labels, weights) + loss_of("dice")(logits, labels, weights)
    assert torch.allclose(loss_of(TrainConfig().loss)(logits, labels, weights), both)


def test_focal_loss_with_gamma_0_is_cross_entropy():
    logits, labels, weights = batch(12)
    entropy = loss_of("cross-entropy")(logits, labels, weights)
    assert torch.allclose(loss_of("focal", focal_gamma=0.0)(logits, labels, weights), entropy)
    nearly = certain(labels, 3, 3.0)
    ratio = loss_of("focal", focal_gamma=2.0)(nearly, labels) / loss_of("cross-entropy")(nearly, labels)
    assert ratio == pytest.approx((1 - 1 / (1 + 2 * np.exp(-3.0))) ** 2, rel=1e-4)


def test_tversky_with_a_small_alpha_costs_a_miss_more_than_a_false_hit():
    labels = torch.full((1, 10, 10), 1, dtype=torch.uint8)
    labels[:, :, 5:] = 2
    too_little, too_much = labels.clone(), labels.clone()
    too_little[:, :, 5:7], too_much[:, :, 3:5] = 1, 2
    loss = loss_of("tversky", 2, tversky_alpha=0.1, class_weights="0,1")
    assert loss(certain(too_little, 2), labels) > 2 * loss(certain(too_much, 2), labels)


# -- class weights


def test_balanced_weights_give_each_class_the_same_total():
    pixels = [900, 90, 10]
    weights = class_weights("balanced", pixels)
    assert [weight * count for weight, count in zip(weights, pixels, strict=True)] == pytest.approx([1000 / 3] * 3)


def test_balanced_weight_of_a_class_without_pixels_is_one():
    assert class_weights("balanced", [500, 0]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3", ": 3 for 2 classes. Give 2 numbers"),
        ("1", ": 1 for 2 classes"),
        ("1,x", '"x" is not a number of 0 or more. Give none, balanced, or a number for each class'),
        ("1,-2", '"-2" is not a number'),
        ("1,nan", '"nan" is not a number'),
        ("1,inf", '"inf" is not a number'),
        ("", '"" is not a number'),
        ("0,0", "all are 0. Give at least one class a weight above 0"),
    ],
)
def test_malformed_class_weights_are_refused(text, expected):
    with pytest.raises(ConfigError) as error:
        build_loss(TrainConfig(class_weights=text), [10, 10])
    assert expected in str(error.value)
    assert str(error.value).startswith(f'class_weights is "{text}"')


@pytest.mark.parametrize("text", ["1,2.5", " 1 , 2.5 ", "1.0,2.50"])
def test_class_weights_may_have_spaces_and_decimals(text):
    assert class_weights(text, [10, 10]) == (1.0, 2.5)


@every_loss
def test_validation_loss_over_tiles_is_the_loss_of_them_as_one_batch(name):
    logits, labels, _ = batch(tiles=4, dtype=torch.float32)
    loss = ValidationLoss(TrainConfig(loss=name, class_weights="1,2,3"), [1, 1, 1])
    assert loss.value is None
    for tile, truth in zip(logits, labels, strict=True):
        loss.add(tile.softmax(0), truth.numpy())
    assert loss.value == pytest.approx(float(loss_of(name, class_weights="1,2,3")(logits, labels)), rel=1e-5)


def test_validation_loss_is_finite_where_a_probability_is_rounded_to_0():
    loss = ValidationLoss(TrainConfig(loss="cross-entropy"), [1, 1])
    loss.add(torch.tensor([1.0, 0.0]).view(2, 1, 1), np.array([[2]], np.uint8))
    assert 20 < loss.value < 40
