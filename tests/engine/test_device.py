import torch
from torch import nn

from napari_pathseg.engine.device import choose_device


class Counting(nn.Module):
    """A small network that counts how often it is asked."""

    def __init__(self):
        super().__init__()
        self.layer, self.asked = nn.Conv2d(3, 5, 3), 0

    def forward(self, pixels):
        self.asked += 1
        return self.layer(pixels.float())


def test_precision_is_tried_once_for_each_kind_of_network_and_size_of_tile():
    cpu, small, large = torch.device("cpu"), torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 48, 48)
    first, second = Counting(), Counting()
    chosen = choose_device(first, small, device=cpu)
    assert first.asked > 2
    assert choose_device(second, small, device=cpu) == chosen
    assert second.asked == 0
    choose_device(second, large, device=cpu)
    assert second.asked > 2
