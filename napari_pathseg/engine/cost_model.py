"""What a training will take on this computer, told before it starts and without torch.

Rough figures, right within a factor of two on a processor: what each network needs was
measured once, how fast this computer multiplies is measured here.  A graphics card is not
looked at; with one a step takes less, and its memory is another one.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import psutil

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.tiles import MAX_CACHED_PIXELS
from napari_pathseg.projects.checks.trainability import train_val_split
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

_BYTES_A_KEPT_PIXEL = 4  # RGB and the label
_BYTES_A_WEIGHT = 20  # weight, gradient, two moments, running mean, each in fp32
_LIBRARIES_GB = 0.9  # torch and the networks' libraries, before anything is built
_BF16 = 0.6  # of the activations, where they are asked for in bfloat16
_CONTEXT = 2.0  # times the work and the activations, where a second view is encoded
_BACKWARD = 3.0  # times the work of a prediction that a training step is
_USE = 0.95  # of the probe's speed that a step reaches
_PROBE_SECONDS, _PROBE_SIDE = 0.05, 64  # so small that one core multiplies alone, whoever else is busy
_VALIDATIONS, _VALIDATION_MPX = 20, 0.33  # in a training; pixels of a tile of 512 with its halo


@dataclass(frozen=True)
class Numbers:
    """What a training learns from: mask pixels of the slides that teach and that validate."""

    train: Sequence[int]
    val: Sequence[int]


@dataclass(frozen=True)
class Machine:
    """A computer: multiplications and additions a second, in 10^12, and free memory."""

    tflops: float
    free_gb: float


@dataclass(frozen=True)
class Estimate:
    """What a training takes; `text` says so in a line, with a warning where memory is short."""

    minutes: float
    memory_gb: float
    steps: int
    seconds_per_step: float
    text: str


@dataclass(frozen=True)
class _Network:
    """Million weights; and for each million pixels work, activations of a step, kept features.

    `workspace_gb` is what a step needs however small the tiles.
    """

    weights_m: float
    tflop: float
    activations_gb: float
    features_gb: float
    workspace_gb: float = 0.0


# Peak memory of a step in fp32, batch 2 and 4 of 256 pixels, torch 2.14 with two threads.
_OWN = {
    "unet-classic": _Network(31.0, 1.67, 5.6, 0.50),
    "fcn8s": _Network(134.3, 0.845, 1.6, 0.026, workspace_gb=0.8),
}
_ENCODERS = {  # in a U-Net
    "tf_efficientnet_lite0": _Network(5.2, 0.088, 3.2, 0.028),
    "resnet18": _Network(14.3, 0.165, 1.9, 0.094),
    "resnet34": _Network(24.4, 0.239, 1.9, 0.094),
    "resnet50": _Network(32.5, 0.325, 3.6, 0.184),
}
_OTHER_ENCODER = "resnet50"  # stands for all that were not measured
_ARCHITECTURES = {  # work and activations against those of a U-Net, measured with EfficientNet-lite0
    "unet": (1.0, 1.0),
    "unetplusplus": (1.4, 1.1),
    "fpn": (0.85, 0.75),
    "deeplabv3plus": (0.5, 0.95),
    "segformer": (0.67, 0.9),
}


def estimate(source: Project | Numbers, config: TrainConfig, machine: Machine | None = None) -> Estimate:
    """Return what a training of `config` takes.

    Parameters
    ----------
    source
        A project that can be learnt from, or what is known of it.
    config
        How to train.
    machine
        Where; None for this computer.

    Raises
    ------
    NothingToLearnError
        If the project cannot be learnt from.
    """
    numbers = learning_numbers(source) if isinstance(source, Project) else source
    machine = machine or this_machine()
    network = _network(config)
    seconds = _seconds(network.tflop, _BACKWARD * config.accumulate * _batch_mpx(config), machine)
    minutes = config.longest_minutes
    steps = config.steps or max(1, int(60 * minutes / seconds))
    if config.steps:
        validated = min(config.validation_tiles * _VALIDATION_MPX, sum(numbers.val) / 1e6)
        minutes = (steps * seconds + _VALIDATIONS * _seconds(network.tflop, validated, machine)) / 60
    parts = _memory(network, config, numbers)
    memory = sum(parts.values())
    text = f"about {_duration(minutes)}, {memory:.1f} GB"
    if config.preset == "thorough" and not (config.minutes or config.steps):
        text = text.replace("about", "up to")
    if memory > machine.free_gb:
        text += f", but only {machine.free_gb:.1f} GB are free on this computer. {_remedy(parts, config)}"
    else:
        text += " on this computer"
    return Estimate(minutes, memory, steps, seconds, text)


def learning_numbers(project: Project) -> Numbers:
    """Return what an estimate needs to know of a project; it changes with its slides only.

    Raises
    ------
    NothingToLearnError
        If the project cannot be learnt from.
    """
    train, val = train_val_split(project, {name: project.counts(name) for name in project.slides})
    return Numbers(_sizes(train), _sizes(val))


def this_machine() -> Machine:
    """Return how fast this computer is and how much memory it has free now."""
    return Machine(_tflops(), psutil.virtual_memory().available / 1e9)


@cache
def _tflops() -> float:
    """Measure how fast one core multiplies small matrices, and count the cores."""
    one = np.random.default_rng(0).random((_PROBE_SIDE, _PROBE_SIDE), np.float32)
    answer, best = one @ one, np.inf
    end = time.perf_counter() + _PROBE_SECONDS
    while (start := time.perf_counter()) < end:
        np.matmul(one, one, out=answer)
        best = min(best, time.perf_counter() - start)
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return float(2 * _PROBE_SIDE**3 / best / 1e12 * cores)


def _network(config: TrainConfig) -> _Network:
    if config.architecture in _OWN:
        known = _OWN[config.architecture]
        work = activations = 1.0
    else:
        known = _ENCODERS.get(config.encoder, _ENCODERS[_OTHER_ENCODER])
        work, activations = _ARCHITECTURES[config.architecture]
    views = _CONTEXT if config.context else 1.0
    halved = _BF16 if config.precision == "bf16" else 1.0
    return _Network(
        known.weights_m,
        known.tflop * work * views,
        known.activations_gb * activations * views * halved,
        known.features_gb,
        known.workspace_gb,
    )


def _memory(network: _Network, config: TrainConfig, numbers: Numbers) -> dict[str, float]:
    """Return the gigabytes that each kind of thing takes."""
    step = network.activations_gb * _batch_mpx(config)
    features = 0.0
    if config.weights != "none" and config.decoder_seconds > 0:
        features = network.features_gb * config.cached_tiles * config.tile**2 / 1e6
    return {
        "libraries": _LIBRARIES_GB,
        "weights": network.weights_m * _BYTES_A_WEIGHT / 1e3 + network.workspace_gb,
        "tiles": step,
        "features": max(0.0, features - step / 2),  # kept while the decoder learns, in half the activations
        "slides": sum(_kept(sizes) * _BYTES_A_KEPT_PIXEL / 1e9 for sizes in (numbers.train, numbers.val)),
    }


def _remedy(parts: dict[str, float], config: TrainConfig) -> str:
    largest = max(("tiles", "weights", "features", "slides"), key=lambda name: parts[name])
    if largest == "tiles":
        if config.batch > 1:
            return f"Lower batch ({config.batch})."
        return f"Lower tile ({config.tile})."
    if largest == "features":
        return f"Lower cached_tiles ({config.cached_tiles})."
    if largest == "weights":
        return f"Choose another architecture than {config.architecture}."
    return "Close other programs; the slides' pixels are kept in memory."


def _batch_mpx(config: TrainConfig) -> float:
    return config.batch * config.tile**2 / 1e6


def _seconds(tflop: float, mpx: float, machine: Machine) -> float:
    return tflop * mpx / (machine.tflops * _USE)


def _sizes(entries: Sequence[SlideRecord]) -> list[int]:
    return [entry.mask_shape[0] * entry.mask_shape[1] for entry in entries]


def _kept(sizes: Sequence[int]) -> int:
    """Return the pixels that are kept: of the first slides, as long as all of them fit."""
    kept = np.cumsum(sizes, dtype=np.int64)
    return int(kept[kept <= MAX_CACHED_PIXELS].max(initial=0))


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, round(60 * minutes))} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
