"""Where a network computes, and in which precision: Lightning Fabric's choice, tried before it is trusted.

bfloat16 halves the time of a step on many processors, but some convolutions of torch are
slower or wrong with it, so it is tried on the network itself before it is used.
"""

import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

_LARGEST_DIFFERENCE = 0.05  # of the range of the fp32 answer
_TRIALS, _LONGEST_TRIAL = 4, 1.0  # times each is tried, and seconds after which no further trial begins


@dataclass(frozen=True)
class Device:
    """A torch device with the precision found to be right and fast on it."""

    fabric: Fabric
    bfloat16: bool

    @property
    def torch_device(self) -> torch.device:
        """The device of torch."""
        return self.fabric.device

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in the chosen precision inside the block."""
        return torch.autocast(self.torch_device.type, torch.bfloat16, enabled=self.bfloat16)

    def send(self, tensor: Tensor) -> Tensor:
        """Bring a tensor to the device."""
        return tensor.to(self.torch_device, non_blocking=True)


def choose_device(
    network: nn.Module, sample: Tensor, precision: str = "auto", *, timed: bool = True, fabric: Fabric | None = None
) -> Device:
    """Move `network` to the best device and find out whether bfloat16 serves it.

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
    fabric
        The processes that compute together; one alone if left out.
    """
    fabric = fabric or Fabric(accelerator="auto", devices=1)
    kind = fabric.device.type
    network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if precision != "auto":
        return Device(fabric, precision == "bf16")
    if kind == "mps":
        return Device(fabric, bfloat16=False)
    if kind == "cuda":
        return Device(fabric, bfloat16=torch.cuda.is_bf16_supported())
    if not timed:
        return Device(fabric, bfloat16=torch.cpu._is_avx512_bf16_supported())
    return Device(fabric, bfloat16=_bfloat16_serves(network, sample))


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
