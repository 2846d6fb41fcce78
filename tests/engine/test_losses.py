import torch

from napari_pathseg.engine.losses import cross_entropy_and_dice


def logits_for(labels, certainty=20.0):
    return torch.nn.functional.one_hot(labels.long().clamp(min=1) - 1, 2).movedim(-1, 1) * certainty


def test_a_perfect_answer_costs_next_to_nothing():
    labels = torch.tensor([[[1, 2], [2, 1]]], dtype=torch.uint8)
    assert cross_entropy_and_dice(logits_for(labels), labels) < 1e-3


def test_unlabelled_pixels_teach_nothing():
    labels = torch.tensor([[[1, 2], [0, 0]]], dtype=torch.uint8)
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    cross_entropy_and_dice(logits, labels).backward()
    assert (logits.grad[0, :, 1] == 0).all()
    assert (logits.grad[0, :, 0] != 0).all()


def test_what_lies_under_unlabelled_pixels_does_not_matter():
    labels = torch.tensor([[[1, 2], [0, 2]]], dtype=torch.uint8)
    logits = torch.randn(1, 2, 2, 2)
    other = logits.clone()
    other[0, :, 1, 0] += torch.tensor([100.0, -100.0])
    assert torch.equal(cross_entropy_and_dice(logits, labels), cross_entropy_and_dice(other, labels))


def test_a_batch_without_labels_gives_zero_and_no_nan():
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = cross_entropy_and_dice(logits, torch.zeros(1, 4, 4, dtype=torch.uint8))
    loss.backward()
    assert loss == 0
    assert torch.isfinite(logits.grad).all()
