"""A network computes as many pixels at once as it computes the fastest, if its answer is right then."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from napari_pathseg.engine.device import Device
from napari_pathseg.engine.runtime import pass_size
from napari_pathseg.engine.runtime.choice import ReadyNetwork, Way

SMALL, LARGE, HALO = 64, 128, 16
CPU = Device(torch.device("cpu"), bfloat16=False)


class Timed(nn.Module):
    """A convolution that takes a time of its own for a number of pixels, and may fail or be wrong for many."""

    multiple = 16
    surroundings = None

    def __init__(self, seconds, large_answer=None):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 2, 3, padding=1)
        self.seconds, self.large_answer, self.passes = seconds, large_answer, []

    def forward(self, pixels):
        area = pixels.shape[-1] * pixels.shape[-2]
        self.passes.append(area)
        end = time.process_time() + self.seconds(area / SMALL**2)
        while time.process_time() < end:
            pass
        logits = self.layer(pixels.float())
        return self.large_answer(logits) if self.large_answer and area > 3 * SMALL**2 else logits


def out_of_memory(_):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")


@pytest.fixture(autouse=True)
def sides(monkeypatch, tmp_path):
    monkeypatch.setattr(pass_size, "SIDES", (SMALL, LARGE))
    monkeypatch.setattr(pass_size, "_LIMIT_S", 60.0)  # a busy machine takes long for little
    monkeypatch.setattr(pass_size, "cache_folder", lambda: tmp_path)


def side(network, largest=LARGE, halo=HALO):
    return pass_size.fastest_side(network, ReadyNetwork(network, CPU, Way("torch", "fp32")), halo, largest)


def test_larger_pass_is_chosen_where_it_takes_less_for_a_pixel():
    assert side(Timed(lambda area: 0.01 * area**0.5)) == LARGE


def test_smaller_pass_is_chosen_where_a_pixel_of_a_large_one_takes_longer():
    assert side(Timed(lambda area: 0.002 * area**3)) == SMALL


@pytest.mark.parametrize("answer", [out_of_memory, lambda logits: logits.flip(1), lambda logits: logits * np.nan])
def test_smaller_pass_is_chosen_where_the_larger_one_fails(answer):
    assert side(Timed(lambda area: 0.01 * area**0.5, answer)) == SMALL


def test_slow_network_is_not_tried_for_long(monkeypatch):
    monkeypatch.setattr(pass_size, "_LIMIT_S", 2.0)
    network = Timed(lambda area: 1.0 * area)  # a larger pass alone would take longer than that
    assert side(network) == SMALL
    assert len(network.passes) == 2


def test_choice_is_kept():
    network = Timed(lambda area: 0.01 * area**0.5)
    found = side(network)
    tried = len(network.passes)
    assert side(network) == found
    assert len(network.passes) == tried
    side(network, halo=2 * HALO)
    assert len(network.passes) > tried


def test_nothing_is_tried_where_a_larger_pass_does_not_fit_the_memory():
    network = Timed(lambda area: 0.01 * area**0.5)
    assert side(network, largest=LARGE - 1) == SMALL
    assert network.passes == []
