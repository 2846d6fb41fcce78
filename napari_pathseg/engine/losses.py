"""What training makes small: cross-entropy and Dice over the labelled pixels alone."""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy_and_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Return cross-entropy plus soft Dice loss.

    Parameters
    ----------
    logits
        Shape (tiles, classes, rows, columns); channel ``k`` is class ``k + 1``.
    labels
        Class indices, shape (tiles, rows, columns); 0, unlabelled, counts nowhere.

    Notes
    -----
    Dice is summed over the batch, by class, over classes that occur in it; see Milletari et
    al., V-Net, 2016.
    """
    logits = logits.float()
    known = labels > 0
    targets = labels.long() - 1
    entropy = F.cross_entropy(logits, targets, ignore_index=-1, reduction="sum") / known.sum().clamp(min=1)
    weights = known.unsqueeze(1)
    probabilities = logits.softmax(dim=1) * weights
    truth = F.one_hot(targets.clamp(min=0), logits.shape[1]).movedim(-1, 1) * weights
    sums = (0, 2, 3)
    shared, true = (probabilities * truth).sum(sums), truth.sum(sums)
    dice = (2 * shared + 1) / (probabilities.sum(sums) + true + 1)
    occurs = true > 0
    missing = 1 - (dice * occurs).sum() / occurs.sum().clamp(min=1)
    return entropy + torch.where(occurs.any(), missing, torch.zeros_like(missing))
