"""A trial of several ways to compute the same thing: how long each takes, of those whose answer is right."""

import math
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_RUNS = 4  # timed, of each way; no further one starts after the time limit
_STRETCH = 4.0  # times as long as alone that a run may take beside other programs; longer, and it waits for itself
_MAX_DIFFERENCE = 0.05  # mean difference of the logits, as a fraction of their range
_DECIDED = 0.2  # by which a class is likelier than all others, where its label must not change
_MIN_EQUAL = 0.995  # of the labels that are decided


def try_ways(ways: Mapping[str, Callable[[], Tensor]], limit_s: float) -> dict[str, float]:
    """Return the seconds that each way takes whose logits agree with those of the first.

    Parameters
    ----------
    ways
        Functions that return logits, shape (n, classes, rows, columns), by name.  One that raises RuntimeError is left
        out; the first is always right.
    limit_s
        Time after which no further run starts; each way runs at least twice.
    """
    reference, *_ = ways
    end = time.perf_counter() + limit_s
    expected = ways[reference]().float()
    seconds = {reference: math.inf}
    for name, way in ways.items():
        if name != reference and _is_right(way, expected):
            seconds[name] = math.inf
    for _ in range(_RUNS):
        for name in seconds:
            seconds[name] = min(seconds[name], seconds_of(ways[name]))
        if time.perf_counter() > end:
            break
    return seconds


def agree(logits: Tensor, expected: Tensor) -> bool:
    """Return whether logits are those expected but for rounding: their values, and the labels that are decided."""
    logits, expected = logits.detach().float(), expected.detach().float()
    if logits.shape != expected.shape:
        return False
    spread = float(expected.max() - expected.min()) or 1.0
    two = expected.softmax(dim=1).topk(min(2, expected.shape[1]), dim=1).values
    decided = two[:, 0] - two[:, 1:].sum(dim=1) > _DECIDED
    equal = (logits.argmax(dim=1) == expected.argmax(dim=1))[decided].float()
    close = float((logits - expected).abs().mean()) / spread < _MAX_DIFFERENCE  # never true of NaN
    return close and (not len(equal) or float(equal.mean()) >= _MIN_EQUAL)


def _is_right(way: Callable[[], Tensor], expected: Tensor) -> bool:
    try:
        return agree(way(), expected)
    except RuntimeError:  # torch and OpenVINO raise it for what they cannot compute
        return False


def seconds_of(way: Callable[[], Tensor]) -> float:
    """Return how long a way takes once, mostly without the time for which other programs had the processor."""
    start, work = time.perf_counter(), time.process_time()
    way()
    passed, computed = time.perf_counter() - start, time.process_time() - work
    return max(computed / torch.get_num_threads(), passed / _STRETCH)
