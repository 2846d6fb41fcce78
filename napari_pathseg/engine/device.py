"""The device on which a network computes, and its precision.

bfloat16 halves the time of a step on many processors, but some convolutions of torch are
slower or wrong with it, so it is tried on the network itself before it is used.
"""

import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_LARGEST_DIFFERENCE = 0.05  # of the range of the fp32 answer
_TRIALS, _LONGEST_TRIAL = 4, 1.0  # times each is tried, and seconds after which no further trial begins


@dataclass(frozen=True)
class Device:
    """A torch device with the precision found to be accurate and fast on it."""

    torch_device: torch.device
    bfloat16: bool

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in the chosen precision inside the block."""
        return torch.autocast(self.torch_device.type, torch.bfloat16, enabled=self.bfloat16)

    def send(self, tensor: Tensor) -> Tensor:
        """Bring a tensor to the device."""
        return tensor.to(self.torch_device, non_blocking=True)


def choose_device(
    network: nn.Module,
    sample: Tensor,
    precision: str = "auto",
    *,
    timed: bool = True,
    device: torch.device | None = None,
) -> Device:
    """Move `network` to a device and choose the precision in which it computes.

    Parameters
    ----------
    network
        What will compute; it is put into the channels-last layout.
    sample
        Pixels of the size it will see.
    precision
        "fp32", "bf16", or "auto" to try.
    timed
        Whether the trial may ask the clock; without, bfloat16 is taken where the processor has
        instructions for it, so that the choice is the same each time.
    device
        A GPU if there is one, else the CPU, if left out.
    """
    device = device or _best_device()
    kind = device.type
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if precision != "auto":
        return Device(device, precision == "bf16")
    if kind == "mps":
        return Device(device, bfloat16=False)
    if kind == "cuda":
        return Device(device, bfloat16=torch.cuda.is_bf16_supported())
    if not timed:
        return Device(device, bfloat16=torch.cpu._is_avx512_bf16_supported())
    return Device(device, bfloat16=_bfloat16_serves(network, sample))


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@torch.inference_mode()
def _bfloat16_serves(network: nn.Module, sample: Tensor) -> bool:
    """Whether bfloat16 gives the same answer on `sample` in less time."""
    training = network.training
    network.eval()
    answers: dict[bool, Tensor] = {}
    fastest = {False: math.inf, True: math.inf}
    end = time.perf_counter() + _LONGEST_TRIAL
    for attempt in range(1 + _TRIALS):  # the first is to warm up
        for halved in (False, True):
            start = time.process_time()  # of all threads: what another program takes of the cores does not count
            with torch.autocast("cpu", torch.bfloat16, enabled=halved):
                answers[halved] = network(sample).float()
            if attempt:
                fastest[halved] = min(fastest[halved], time.process_time() - start)
        if attempt and time.perf_counter() > end:
            break
    network.train(training)
    spread = float(answers[False].max() - answers[False].min()) or 1.0
    difference = float((answers[False] - answers[True]).abs().mean()) / spread
    return difference < _LARGEST_DIFFERENCE and fastest[True] < fastest[False]
