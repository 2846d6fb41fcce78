"""How far from a pixel a network looks.

Pixels that are not a number spread through every layer to all that depends on them, whatever the weights: what stays a
number behind the edge of such pixels shows how far the network looks.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_NARROW = 64  # pixels across the strip that is tried
_EDGE = 64  # pixels at each end of it that are not a number


class Input(NamedTuple):
    """An input of a network, or of a part of it: its channels, and the pixels between its features."""

    channels: int
    stride: int = 1


@torch.inference_mode()
def margin_of(
    network: Callable[..., Tensor | tuple[Tensor, ...]], inputs: Sequence[Input], farthest: int, like: Tensor
) -> int | None:
    """Return how many pixels around a box a network in eval mode must see, so that its answer in the box is exact.

    Parameters
    ----------
    network
        The network, or a part of it.
    inputs
        What it takes.
    farthest
        Pixels up to which is looked; a multiple of 64.
    like
        A parameter of the network, which shows its device.

    Returns
    -------
    margin : int or None
        For boxes that begin and end at multiples of the network's; None if it is more than `farthest`, or if each
        pixel depends on all others, as where a network averages over the whole picture.
    """
    margins = []
    length = 2 * (_EDGE + farthest) + _NARROW
    for axis in (-2, -1):
        strips = [_strip(each, axis, length, like) for each in inputs]
        outputs = network(*strips)
        for output in (outputs,) if isinstance(outputs, Tensor) else outputs:
            flat = output.isnan().movedim(axis, 0).flatten(1).any(dim=1)
            clean = (~flat).nonzero()
            if not len(clean):
                return None
            stride = length // len(flat)
            first, end = int(clean[0]) * stride, (int(clean[-1]) + 1) * stride
            margins += [first - _EDGE, length - _EDGE - end]
    margin = max(0, *margins)
    return margin if margin <= farthest else None


def _strip(each: Input, axis: int, length: int, like: Tensor) -> Tensor:
    """Return zeros between two edges that are not a number, shape (1, channels, rows, columns)."""
    cells, edge = length // each.stride, _EDGE // each.stride
    shape = [1, each.channels, _NARROW // each.stride, _NARROW // each.stride]
    shape[axis] = cells
    strip = torch.zeros(shape, dtype=torch.float32, device=like.device)
    strip.narrow(axis, 0, edge).fill_(torch.nan)
    strip.narrow(axis, cells - edge, edge).fill_(torch.nan)
    return strip
