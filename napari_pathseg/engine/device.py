"""Where a network computes, and in which precision.

bfloat16 halves the time of a step on many processors, but some convolutions of torch are
slower or wrong with it, so it is tried on the network itself before it is used.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LARGEST_DIFFERENCE = 0.05  # of the range of the fp32 answer


@dataclass(frozen=True)
class Device:
    """A torch device with the precision found to be right and fast on it."""

    torch_device: torch.device
    bfloat16: bool

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in the chosen precision inside the block."""
        with torch.autocast(self.torch_device.type, torch.bfloat16, enabled=self.bfloat16):
            yield

    def send(self, tensor: Tensor) -> Tensor:
        """Bring a tensor to the device."""
        return tensor.to(self.torch_device, non_blocking=True)


def choose_device(network: nn.Module, sample: Tensor) -> Device:
    """Move `network` to the best device and find out whether bfloat16 serves it.

    Parameters
    ----------
    network
        What will compute; it is put into the channels-last layout.
    sample
        Pixels of the size it will see.
    """
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    target = torch.device(kind)
    network.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if kind == "mps":
        return Device(target, bfloat16=False)
    if kind == "cuda":
        return Device(target, bfloat16=torch.cuda.is_bf16_supported())
    return Device(target, bfloat16=_bfloat16_serves(network, sample))


def _bfloat16_serves(network: nn.Module, sample: Tensor) -> bool:
    """Whether bfloat16 gives the same answer on `sample` in less time."""
    training = network.training
    network.eval()
    plain, halved = Device(torch.device("cpu"), False), Device(torch.device("cpu"), True)
    answers, seconds = [], []
    for device in (plain, halved):
        with torch.inference_mode(), device.autocast():
            network(sample)
            start = time.perf_counter()
            answers.append(network(sample).float())
            seconds.append(time.perf_counter() - start)
    network.train(training)
    spread = float(answers[0].max() - answers[0].min()) or 1.0
    difference = float((answers[0] - answers[1]).abs().mean()) / spread
    return difference < _LARGEST_DIFFERENCE and seconds[1] < seconds[0]
