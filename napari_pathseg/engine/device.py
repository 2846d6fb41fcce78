"""Choice of the device and the precision with which a network computes.

bfloat16 halves the time of a step on many processors, but some convolutions of torch are slower
or wrong with it.  On a CPU it is therefore tried on the network itself before it is used.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from napari_pathseg.engine.runtime.trial import try_ways

_TIME_LIMIT_S = 1.0  # of a trial

_TRIED: dict[tuple[str, tuple[int, ...]], bool] = {}  # by layers and pixels; a trial takes a second, on a busy CPU many


@dataclass(frozen=True)
class Device:
    """A torch device and the precision to use on it."""

    torch_device: torch.device
    bfloat16: bool

    def autocast(self) -> AbstractContextManager[None]:
        """Return a context manager that computes in the chosen precision."""
        return torch.autocast(self.torch_device.type, torch.bfloat16, enabled=self.bfloat16)

    def send(self, tensor: Tensor) -> Tensor:
        """Copy a tensor to the device."""
        return tensor.to(self.torch_device, non_blocking=True)


def choose_device(
    network: nn.Module,
    sample: Tensor,
    precision: str = "auto",
    *,
    timed: bool = True,
    device: torch.device | None = None,
) -> Device:
    """Move `network` to a device and choose its precision.

    Parameters
    ----------
    network
        Converted in place to the channels-last layout.
    sample
        Pixels of the size that the network will process.
    precision
        "fp32", "bf16", or "auto" to choose.
    timed
        Whether the choice on a CPU may depend on measured times.  If not, bfloat16 is used where the
        processor has instructions for it, so that the choice is reproducible.
    device
        Defaults to a GPU if there is one, else the CPU.
    """
    device = device or best_device()
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
    return Device(device, bfloat16=_known_or_tried(network, sample))


def _known_or_tried(network: nn.Module, sample: Tensor) -> bool:
    """Return what `_bfloat16_is_better` has found for such a network and such pixels in this process, or finds now."""
    key = str(network), tuple(sample.shape)
    if key not in _TRIED:
        _TRIED[key] = _bfloat16_is_better(network, sample)
    return _TRIED[key]


def best_device() -> torch.device:
    """Return a GPU if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@torch.inference_mode()
def _bfloat16_is_better(network: nn.Module, sample: Tensor) -> bool:
    """Return whether bfloat16 gives nearly the same output for `sample` in less time."""
    training = network.training
    network.eval()
    seconds = try_ways(torch_ways(network, Device(sample.device, bfloat16=False), [sample]), _TIME_LIMIT_S)
    network.train(training)
    return seconds.get("bf16", math.inf) < seconds["fp32"]


def torch_ways(
    network: Callable[..., Tensor], device: Device, inputs: Sequence[Tensor]
) -> dict[str, Callable[[], Tensor]]:
    """Return functions that compute a network's output with torch, by precision."""

    def compute(halved: bool) -> Tensor:
        with replace(device, bfloat16=halved).autocast():
            logits = network(*inputs)
        if device.torch_device.type != "cpu":
            logits = logits.cpu()  # waits until it is computed
        return logits

    return {"fp32": partial(compute, False), "bf16": partial(compute, True)}


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that memory ran out; on a CPU, only torch's message says so."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in text
