"""Estimate the time and memory that a training needs on this computer, before it starts and without torch.

Rough figures, right within a factor of two on a CPU: the needs of each network were measured
once (`networks.kinds`), the speed of this computer is measured here.  GPUs are ignored; with one
a step is faster, and its own memory is what counts.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import psutil

from napari_pathseg.config import LIVE, SCORED_HALO, USUAL_BATCH, PredictConfig, TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.dataset.tiles import MAX_CACHED_PIXELS
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS, RelativeCost, StepCost
from napari_pathseg.projects.checks.trainability import train_val_split
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import fitting_tile, longest_sides
from napari_pathseg.storage.machine import free_memory, usable_cores

_BYTES_A_KEPT_PIXEL = 4  # RGB and the label
_BYTES_A_WEIGHT = 20  # weight, gradient, two moments, running mean, each in fp32
_LIBRARIES_GB = 0.9  # torch and the networks' libraries, before anything is built
_BF16 = 0.6  # of the activations, in bfloat16
_CONTEXT = 2.0  # times the work and the activations: context is encoded as a second view
_BACKWARD = 3.0  # work of a training step, relative to a prediction
_EFFICIENCY = 0.95  # speed that a step reaches, relative to the probe
_PROBE_SECONDS, _PROBE_SIDE = 0.05, 64  # small enough to run on one core only
_VALIDATIONS, _VALIDATION_MPX = 20, 0.33  # in a training; pixels of a tile of 512 with its halo
_FIT_SECONDS = 3.0  # of a linear classifier, with the choice of its penalty
_WITH_HALO = 1.25**2  # of a tile of 512
_PREDICTED = 0.25  # activations of a prediction, relative to those of a training: 0.13 to 0.35, by network
_USABLE = 0.6  # of the memory that the libraries leave, by one tile; others are read and written meanwhile
_SMALLEST_TILE, _TILE_STEP = 256, 32
_TILE_MPX = 0.512**2  # without its halo


@dataclass(frozen=True)
class DatasetSize:
    """Mask pixels of each training slide and each validation slide, and the longer side of the training slides."""

    train: Sequence[int]
    val: Sequence[int]
    sides: Sequence[int] = ()


@dataclass(frozen=True)
class HardwareProfile:
    """Speed of a computer, in 10^12 multiplications and additions per second, and its free memory."""

    tflops: float
    free_gb: float


@dataclass(frozen=True)
class Estimate:
    """Time and memory of a training; `text` sums them up in a line, with a warning if memory is short."""

    minutes: float
    memory_gb: float
    steps: int
    seconds_per_step: float
    text: str


def _unet_cost(weights_m: float, tflop: float, activations_gb: float, features_gb: float) -> StepCost:
    return StepCost(
        weights_m=weights_m,
        tflop=tflop,
        activations_gb=activations_gb,
        features_gb=features_gb,
        workspace_gb=0.0,
    )


# Peak memory of a step in fp32, batch 2 and 4 of 256 pixels, torch 2.14 with two threads.
_UNETS = {  # by encoder
    "tf_efficientnet_lite0": _unet_cost(5.2, 0.088, 3.2, 0.028),
    "resnet18": _unet_cost(14.3, 0.165, 1.9, 0.094),
    "resnet34": _unet_cost(24.4, 0.239, 1.9, 0.094),
    "resnet50": _unet_cost(32.5, 0.325, 3.6, 0.184),
}
_DEFAULT_ENCODER = "resnet50"  # used for all encoders that were not measured


def estimate(source: Project | DatasetSize, config: TrainConfig, hardware: HardwareProfile | None = None) -> Estimate:
    """Estimate the time and memory of a training.

    Parameters
    ----------
    source
        A project with training data, or the size of its data.
    config
        The settings of the training.
    hardware
        The computer that trains; None for this one.

    Raises
    ------
    NothingToLearnError
        If the project lacks training data.
    """
    dataset = dataset_size(source) if isinstance(source, Project) else source
    config = config.with_network_of_preset.replace(tile=fitting_tile(dataset.sides, config.tile))
    hardware = hardware or local_hardware()
    cost = _step_cost(config)
    seconds = _seconds(cost.tflop, _BACKWARD * config.accumulate * _batch_mpx(config), hardware)
    minutes = config.longest_minutes
    if config.preset == LIVE:  # each training pixel once, at most
        read = _seconds(cost.tflop, _WITH_HALO * sum(dataset.train) / 1e6, hardware)
        scored = min(config.validation_tiles * _VALIDATION_MPX, _WITH_HALO * sum(dataset.val) / 1e6)
        minutes = (min(60 * minutes, read) + _seconds(cost.tflop, scored, hardware) + _FIT_SECONDS) / 60
    steps = config.steps or max(1, int(60 * minutes / seconds))
    held_out = sum(dataset.val) / 1e6
    if config.steps:
        validated = min(config.validation_tiles * _VALIDATION_MPX, held_out)
        minutes = (steps * seconds + _VALIDATIONS * _seconds(cost.tflop, validated, hardware)) / 60
    tiles = held_out / _TILE_MPX
    if tiles > config.validation_tiles:  # the model is scored on all of them, after the training
        minutes += _seconds(cost.tflop, tiles * _VALIDATION_MPX, hardware) / 60
    parts = _memory(cost, config, dataset)
    memory = sum(parts.values())
    text = f"about {_duration(minutes)}, {memory:.1f} GB"
    if config.preset == "thorough" and not (config.minutes or config.steps):
        text = text.replace("about", "up to")
    if memory > hardware.free_gb:
        text += f", but only {hardware.free_gb:.1f} GB are free on this computer. {_remedy(parts, config)}"
    else:
        text += " on this computer"
    return Estimate(minutes, memory, steps, seconds, text)


def fitting_prediction_tile(spec: NetworkSpec, config: PredictConfig, memory: float) -> int:
    """Return the side of the tiles of a prediction: that of `config`, or a smaller one that fits so many bytes.

    It depends on the limit of the memory, not on what is free now: a run that goes on must have the same tiles.
    """
    training = TrainConfig(architecture=spec.architecture, encoder=spec.encoder, context=spec.context)
    bytes_a_pixel = _PREDICTED * _step_cost(training).activations_gb * 1e3
    area = _USABLE * max(0.0, memory - 1e9 * _LIBRARIES_GB) / bytes_a_pixel
    side = int(area**0.5) - 2 * (SCORED_HALO if config.halo_pixels is None else config.halo_pixels)
    return min(config.tile, max(_SMALLEST_TILE, side // _TILE_STEP * _TILE_STEP))


def dataset_size(project: Project) -> DatasetSize:
    """Return the size of a project's training data; it changes with its slides only.

    Raises
    ------
    NothingToLearnError
        If the project lacks training data.
    """
    train, val = train_val_split(project, {name: project.counts(name) for name in project.slides})
    held_out = val or train  # without validation slides, parts of the training slides
    return DatasetSize(_sizes(train), _sizes(held_out), longest_sides(project.mpp, train))


def local_hardware() -> HardwareProfile:
    """Return the speed of this computer and its free memory."""
    return HardwareProfile(_tflops(), free_memory() / 1e9)


@cache
def _tflops() -> float:
    """Measure how fast one core multiplies small matrices, times the number of cores."""
    one = np.random.default_rng(0).random((_PROBE_SIDE, _PROBE_SIDE), np.float32)
    answer, best = one @ one, np.inf
    end = time.perf_counter() + _PROBE_SECONDS
    while (start := time.perf_counter()) < end:
        np.matmul(one, one, out=answer)
        best = min(best, time.perf_counter() - start)
    cores = min(psutil.cpu_count(logical=False) or usable_cores(), usable_cores())
    return float(2 * _PROBE_SIDE**3 / best / 1e12 * cores)


def _step_cost(config: TrainConfig) -> StepCost:
    """Return the cost of the network that `config` describes, in its precision and with its context."""
    cost = NETWORK_KINDS[config.architecture].cost
    if isinstance(cost, RelativeCost):
        unet = _UNETS.get(config.encoder, _UNETS[_DEFAULT_ENCODER])
        cost = replace(unet, tflop=unet.tflop * cost.work, activations_gb=unet.activations_gb * cost.activations)
    views = _CONTEXT if config.context else 1.0
    precision = _BF16 if config.precision == "bf16" else 1.0
    return replace(cost, tflop=cost.tflop * views, activations_gb=cost.activations_gb * views * precision)


def _memory(cost: StepCost, config: TrainConfig, dataset: DatasetSize) -> dict[str, float]:
    """Return the gigabytes of memory by use."""
    step = cost.activations_gb * _batch_mpx(config)
    features = 0.0
    if config.weights != "none" and (config.preset == "quick" or config.decoder_seconds > 0):
        features = cost.features_gb * config.cached_tiles * config.tile**2 / 1e6
    return {
        "libraries": _LIBRARIES_GB,
        "weights": cost.weights_m * _BYTES_A_WEIGHT / 1e3 + cost.workspace_gb,
        "tiles": step,
        "features": max(0.0, features - step / 2),  # cached while the decoder is trained, with half the activations
        "slides": sum(_cached_pixels(sizes) * _BYTES_A_KEPT_PIXEL / 1e9 for sizes in (dataset.train, dataset.val)),
    }


def _remedy(parts: dict[str, float], config: TrainConfig) -> str:
    largest = max(("tiles", "weights", "features", "slides"), key=lambda name: parts[name])
    if largest == "tiles":
        if config.batch != 1:
            return f"Lower batch ({config.batch or USUAL_BATCH})."
        return f"Lower tile ({config.tile})."
    if largest == "features":
        return f"Lower cached_tiles ({config.cached_tiles})."
    if largest == "weights":
        return f"Choose another architecture than {config.architecture}."
    return "Close other programs; the slides' pixels are kept in memory."


def _batch_mpx(config: TrainConfig) -> float:
    return (config.batch or USUAL_BATCH) * config.tile**2 / 1e6


def _seconds(tflop: float, mpx: float, hardware: HardwareProfile) -> float:
    return tflop * mpx / (hardware.tflops * _EFFICIENCY)


def _sizes(records: Sequence[SlideRecord]) -> list[int]:
    return [record.mask_shape[0] * record.mask_shape[1] for record in records]


def _cached_pixels(sizes: Sequence[int]) -> int:
    """Return the number of cached pixels: those of the first slides that fit together."""
    totals = np.cumsum(sizes, dtype=np.int64)
    return int(totals[totals <= MAX_CACHED_PIXELS].max(initial=0))


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, round(60 * minutes))} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
