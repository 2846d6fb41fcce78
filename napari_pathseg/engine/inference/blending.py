"""Gaussian blending: the mean prediction over overlapping windows, each weighted by its distance from their centres."""

import torch
from torch import Tensor, nn

from napari_pathseg.engine.inference.tta import TestTimeAugmentation

_WINDOW, STEP = 512, 256  # pixels: side of a window, and from one to the next
_SIGMA = 1 / 8  # of the weights, as a fraction of a window; as in nnU-Net and MONAI


class GaussianBlending(nn.Module):
    """A network averaged over windows that overlap by half.

    The windows lie on one grid of the slide if boxes begin at multiples of `multiple`.  With a margin of `STEP` each
    pixel inside it lies in four windows, whichever box it is predicted with.

    Parameters
    ----------
    network
        The network, in eval mode.  One with context cannot be blended.
    """

    multiple = STEP
    surroundings = None

    def __init__(self, network: TestTimeAugmentation) -> None:
        super().__init__()
        self._network = network
        offsets = (torch.arange(_WINDOW) - (_WINDOW - 1) / 2) / (_SIGMA * _WINDOW)
        falloff = torch.exp(-offsets.square() / 2)
        self.register_buffer("_weights", falloff[:, None] * falloff)

    def forward(self, pixels: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logarithm of the mean probabilities, in place of the logits of :meth:`Network.forward`.

        Rows and columns must be multiples of `STEP`, of at least 512.
        """
        rows, columns = pixels.shape[-2:]
        weights = self.get_buffer("_weights")
        total: Tensor | None = None
        weight = weights.new_zeros(rows, columns)
        for top in range(0, rows - STEP, STEP):
            for left in range(0, columns - STEP, STEP):
                window = (..., slice(top, top + _WINDOW), slice(left, left + _WINDOW))
                probabilities = self._network(pixels[window], None).float().softmax(dim=1)
                if total is None:
                    total = probabilities.new_zeros(len(pixels), probabilities.shape[1], rows, columns)
                total[window] += weights * probabilities
                weight[window[1:]] += weights
        assert total is not None
        return total.div_(weight).log()
