"""A network asked about each tile in several positions, and the mean of its answers."""

import torch
from torch import Tensor, nn

from napari_pathseg.engine.networks.network import Network

# Flips of rows, of columns, exchange of both: what is done to a tile, the cheap ones first.
_POSITIONS = [(False, False, False), (True, True, False), (True, False, False), (False, True, False)]
_POSITIONS += [(rows, columns, True) for rows, columns, _ in _POSITIONS]


class TestTimeAugmentation(nn.Module):
    """A network that looks at a tile in 2, 4 or all 8 positions of a square; 1 is the network itself.

    A network has learnt tiles in all positions, and what it says of them differs by chance at
    edges: the mean is surer, for as many times the time.

    Parameters
    ----------
    network
        In its eval mode.
    positions
        How many.
    """

    def __init__(self, network: Network, positions: int) -> None:
        super().__init__()
        self._network, self._positions = network, positions
        self.multiple, self.surroundings = network.multiple, network.surroundings

    def forward(self, pixels: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logarithm of the mean probabilities, as :meth:`Network.forward` does logits."""
        if self._positions == 1:
            logits: Tensor = self._network(pixels, context)
            return logits
        total: Tensor | float = 0.0
        for position in _POSITIONS[: self._positions]:
            turned = None if context is None else _turn(context, *position)
            logits = self._network(_turn(pixels, *position), turned)
            total = total + _turn_back(logits.float().softmax(dim=1), *position)
        return torch.as_tensor(total).div(self._positions).log()


def _turn(tiles: Tensor, rows: bool, columns: bool, exchanged: bool) -> Tensor:
    axes = [axis for axis, wanted in ((-2, rows), (-1, columns)) if wanted]
    flipped = tiles.flip(axes) if axes else tiles
    return flipped.transpose(-2, -1) if exchanged else flipped


def _turn_back(tiles: Tensor, rows: bool, columns: bool, exchanged: bool) -> Tensor:
    return _turn(tiles.transpose(-2, -1) if exchanged else tiles, rows, columns, False)
