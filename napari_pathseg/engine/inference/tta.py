"""Test-time augmentation: the mean prediction over flips and rotations of a tile."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from napari_pathseg.engine.runtime.choice import SegmentationNetwork

# (flip rows, flip columns, transpose): the eight symmetries of a square, the cheap ones first.
_SYMMETRIES = [(False, False, False), (True, True, False), (True, False, False), (False, True, False)]
_SYMMETRIES += [(rows, columns, True) for rows, columns, _ in _SYMMETRIES]


class TestTimeAugmentation(nn.Module):
    """A network averaged over 2, 4 or all 8 symmetries of a square; with 1 it is the network itself.

    A network is trained on tiles in all orientations, and its predictions for them differ at random
    near edges.  Their mean is more reliable but takes that many times as long.

    Parameters
    ----------
    network
        The network, in eval mode.
    count
        The number of symmetries, 1 to 8.
    """

    def __init__(self, network: SegmentationNetwork, count: int) -> None:
        super().__init__()
        self._network, self._symmetries = network, _SYMMETRIES[:count]
        self.multiple, self.surroundings, self.count = network.multiple, network.surroundings, count

    def forward(self, pixels: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logarithm of the mean probabilities, in place of the logits of :meth:`Network.forward`."""
        if len(self._symmetries) == 1:
            logits: Tensor = self._network(pixels, context)
            return logits
        total: Tensor | float = 0.0
        for answer in self.answers(pixels, context):
            total = total + answer
        return torch.as_tensor(total).div(len(self._symmetries)).log()

    def answers(self, pixels: Tensor, context: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the class probabilities of each symmetry, turned back, whose mean is the prediction."""
        for symmetry in self._symmetries:
            transformed = None if context is None else _transform(context, *symmetry)
            logits = self._network(_transform(pixels, *symmetry), transformed)
            yield _invert(logits.float().softmax(dim=1), *symmetry)


def _transform(tiles: Tensor, rows: bool, columns: bool, transpose: bool) -> Tensor:
    axes = [axis for axis, flip in ((-2, rows), (-1, columns)) if flip]
    flipped = tiles.flip(axes) if axes else tiles
    return flipped.transpose(-2, -1) if transpose else flipped


def _invert(tiles: Tensor, rows: bool, columns: bool, transpose: bool) -> Tensor:
    return _transform(tiles.transpose(-2, -1) if transpose else tiles, rows, columns, False)
