"""Choice of the runtime and the precision of a network that predicts.

On a CPU, OpenVINO takes 0.6 of torch's time where it is installed.  A trial of at most 2 s compares what there is with
float32 of torch, in time and in the answer; its result is kept for the network and the machine.
The memory layout is not tried: on a CPU, torch takes 0.46 of the time with channels last.
"""

import logging
import platform
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from typing import Annotated, Literal, NamedTuple, Protocol, TypedDict

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn

from napari_pathseg.engine.device import Device, best_device, choose_device, torch_ways
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.networks.division import Division
from napari_pathseg.engine.runtime.openvino_module import (
    OpenVinoModule,
    module_key,
    openvino_is_installed,
    openvino_knows_bfloat16,
)
from napari_pathseg.engine.runtime.trial import agree, try_ways
from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.samples import draw_field
from napari_pathseg.storage.atomic import load_json, save_json
from napari_pathseg.storage.cache_folder import cache_folder, sweep
from napari_pathseg.storage.json_schema import SchemaError, conform
from napari_pathseg.storage.machine import give_back_memory

_logger = logging.getLogger(__name__)
_SIDES = (256, 512)  # of the tile of a trial: the largest on which float32 takes up to `_TILE_S`
_TILE_S = 0.2
_LIMIT_S = 1.0  # of the timed runs
_WORTH_CONVERTING_S = 20.0  # of torch's time; a conversion takes 3 to 6 s once
_KEPT_CHOICES, _KEPT_NETWORKS = 256, 2
_FAILED = (RuntimeError, TypeError, ValueError)  # of a conversion


class Way(NamedTuple):
    """A runtime, torch or openvino, and the precision, fp32 or bf16, in which it computes."""

    runtime: str
    precision: str

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


class SegmentationNetwork(Protocol):
    """What predicts: a `Network`, or one that another runtime computes."""

    multiple: int
    surroundings: nn.Conv2d | None

    def __call__(self, pixels: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logits; see `Network.forward`."""


@dataclass(frozen=True)
class ReadyNetwork:
    """A network as it predicts: called in the block of `device.autocast`."""

    network: SegmentationNetwork
    device: Device
    way: Way
    note: str = ""


class OpenVinoNetwork:
    """A network that OpenVINO computes."""

    def __init__(self, network: Network, precision: str) -> None:
        self.multiple, self.surroundings = network.multiple, network.surroundings
        self._compute = OpenVinoModule(network, _inputs(network, 2 * self.multiple), precision)

    def __call__(self, pixels: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the logits; see `Network.forward`."""
        (logits,) = self._compute(pixels) if context is None else self._compute(pixels, context)
        return logits

    def release_memory(self) -> None:
        """Give back what the last call needed."""
        self._compute.release_memory()


class _CompiledStages:
    """The stages of a network that OpenVINO computes, of which only the last that was computed keeps memory."""

    def __init__(self, shallow: OpenVinoModule, deep: OpenVinoModule, fine: OpenVinoModule, dtype: torch.dtype) -> None:
        self._shallow, self._deep, self._fine, self._dtype = shallow, deep, fine, dtype
        self._last = fine

    def shallow(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the shallow features; the next call of a stage may overwrite them."""
        return tuple(self._compute(self._shallow, pixels))

    def deep(self, seam: Tensor) -> tuple[Tensor, ...]:
        """Return the coarse features."""
        return tuple(output.to(self._dtype, copy=True) for output in self._compute(self._deep, seam))

    def fine(self, *features: Tensor) -> Tensor:
        """Return the logits; the next call of a stage may overwrite them."""
        (logits,) = self._compute(self._fine, *features)
        return logits

    def _compute(self, stage: OpenVinoModule, *inputs: Tensor) -> list[Tensor]:
        if stage is not self._last:
            self._last.release_memory()
            give_back_memory()
            self._last = stage
        return stage(*inputs, lent=True)


@torch.inference_mode()
def compile_stages(network: Network, division: Division, precision: str) -> Division | None:
    """Return the stages of a network as OpenVINO computes them; None if it cannot, or its answer is wrong."""
    key = module_key(network)
    if (key, precision) not in _STAGES:
        (tile,) = _inputs(network, 3 * network.multiple)
        features = division.shallow(tile)
        coarse = division.deep(features[-1])
        expected = division.fine(*coarse, *features[:-1])
        inputs = {"shallow": [tile], "deep": [features[-1]], "fine": [*coarse, *features[:-1]]}
        try:
            modules = {
                name: OpenVinoModule(getattr(division, name), examples, precision, f"{key}-{name}")
                for name, examples in inputs.items()
            }
        except _FAILED as error:
            _logger.info("OpenVINO cannot compute the stages of this network: %s", error)
            return None
        stages = _CompiledStages(**modules, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
        compiled = division._replace(shallow=stages.shallow, deep=stages.deep, fine=stages.fine)
        *finer, seam = (level.clone() for level in compiled.shallow(tile))
        if not agree(compiled.fine(*compiled.deep(seam), *finer), expected):
            return None
        _STAGES[key, precision] = compiled
        while len(_STAGES) > _KEPT_NETWORKS:
            _STAGES.popitem(last=False)
    return _STAGES[key, precision]


class _Kept(TypedDict):
    runtime: Literal["torch", "openvino"]
    precision: Literal["fp32", "bf16"]
    torch_precision: Literal["fp32", "bf16"]
    torch_seconds: Annotated[float, Meta(ge=0)]  # for a million pixels
    tried: bool  # whether OpenVINO took part


_COMPILED: "OrderedDict[tuple[str, str], OpenVinoNetwork]" = OrderedDict()  # a view must not wait for a compilation
_STAGES: "OrderedDict[tuple[str, str], Division]" = OrderedDict()
_CHOSEN: dict[str, _Kept] = {}


def choose_runtime(
    network: Network, runtime: str = "auto", precision: str = "auto", megapixels: float = 1.0, key: str = ""
) -> ReadyNetwork:
    """Return `network`, in eval mode, as it predicts the fastest.

    Parameters
    ----------
    network
        Moved to the device.
    runtime
        torch, openvino, or auto to choose.
    precision
        fp32, bf16, or auto to choose.
    megapixels
        How much is to be predicted: OpenVINO must convert a network first, which is not worth it for little.
    key
        What `module_key` says of the network, if it is known.

    Raises
    ------
    ConfigError
        If OpenVINO is wanted and not installed.
    """
    if runtime == "openvino" and not openvino_is_installed():
        raise ConfigError(
            'runtime is openvino, which is not installed. Install it with pip install "napari-pathseg[fast]", or '
            "choose another runtime."
        )
    device = torch.device("cpu") if runtime == "openvino" else best_device()
    if device.type != "cpu":
        chosen = choose_device(network, _inputs(network, _SIDES[-1])[0].to(device), precision, device=device)
        return ReadyNetwork(network, chosen, Way("torch", "bf16" if chosen.bfloat16 else "fp32"))
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        return _Choice(network, runtime, precision, key or module_key(network)).make(megapixels)


class _Choice:
    """The choice for one network on the CPU."""

    def __init__(self, network: Network, runtime: str, precision: str, key: str) -> None:
        self._network, self._runtime, self._precision, self._key = network, runtime, precision, key
        self._path = cache_folder() / "runtimes" / f"{_machine_key(self._key, precision)}.json"

    def make(self, megapixels: float) -> ReadyNetwork:
        kept = self._load() or self._try_torch()
        torch_way = Way("torch", kept["torch_precision"])
        worth_it = megapixels * kept["torch_seconds"] > _WORTH_CONVERTING_S
        if self._runtime == "auto" and not kept["tried"] and worth_it and openvino_is_installed():
            kept = self._try_openvino(kept)
        if self._runtime == "torch" or (self._runtime == "auto" and kept["runtime"] == "torch"):
            return self._with_torch(torch_way)
        found = self._openvino(kept["precision"] if kept["runtime"] == "openvino" else self._openvino_precision())
        if found is None:
            return self._with_torch(torch_way, "OpenVINO does not compute this network as torch does, so torch does.")
        return found

    def _with_torch(self, way: Way, note: str = "") -> ReadyNetwork:
        device = Device(torch.device("cpu"), bfloat16=way.precision == "bf16")
        return ReadyNetwork(self._network, device, way, note)

    def _openvino(self, precision: str) -> ReadyNetwork | None:
        """Return the network as OpenVINO computes it; None if it cannot, or its answer is wrong."""
        key = self._key, precision
        if key not in _COMPILED:
            try:
                compiled = OpenVinoNetwork(self._network, precision)
                if not self._is_right(compiled):
                    return None
            except _FAILED as error:
                _logger.info("OpenVINO cannot compute this network: %s", error)
                return None
            compiled.release_memory()  # its stages may compute instead
            _COMPILED[key] = compiled
            while len(_COMPILED) > _KEPT_NETWORKS:
                _COMPILED.popitem(last=False)
        _COMPILED.move_to_end(key)
        return ReadyNetwork(_COMPILED[key], Device(torch.device("cpu"), False), Way("openvino", precision))

    def _is_right(self, compiled: OpenVinoNetwork) -> bool:
        """Return whether the answers are torch's, for tiles of two sizes."""
        multiple = self._network.multiple
        oblong = [each[..., : 3 * multiple, :multiple] for each in _inputs(self._network, 3 * multiple)]
        return all(agree(compiled(*each), self._network(*each)) for each in (self._inputs, oblong))

    def _try_torch(self) -> _Kept:
        ways = torch_ways(self._network, Device(torch.device("cpu"), False), self._inputs)
        if self._precision != "auto":
            ways = {self._precision: ways[self._precision]}
        seconds = try_ways(ways, _LIMIT_S)
        best = min(seconds, key=seconds.__getitem__)
        return self._keep(Way("torch", best), best, seconds[best] / self._megapixels, tried=False)

    def _try_openvino(self, kept: _Kept) -> _Kept:
        """Return the better of torch's precision that was chosen and of OpenVINO."""
        precision, way = kept["torch_precision"], Way("torch", kept["torch_precision"])
        ready = self._openvino(self._openvino_precision()) or self._openvino("fp32")
        if ready is not None:
            ways = torch_ways(self._network, Device(torch.device("cpu"), False), self._inputs)
            compared: dict[str, Callable[[], Tensor]] = {
                "torch": ways[precision],
                "openvino": partial(ready.network, *self._inputs),
            }
            seconds = try_ways(compared, _LIMIT_S)
            if seconds.get("openvino", np.inf) < seconds["torch"]:
                way = ready.way
        return self._keep(way, precision, kept["torch_seconds"], tried=True)

    def _openvino_precision(self) -> str:
        if self._precision != "auto":
            return self._precision
        return "bf16" if openvino_knows_bfloat16() else "fp32"

    @cached_property
    def _inputs(self) -> list[Tensor]:
        """The tile on which ways are compared; that of a slow network is small, so that the trial ends soon."""
        small = _SIDES[0]
        inputs = _inputs(self._network, small)
        ways = {"fp32": torch_ways(self._network, Device(torch.device("cpu"), False), inputs)["fp32"]}
        seconds = try_ways(ways, 0.0)["fp32"]
        side = max(side for side in _SIDES if side == small or seconds * (side / small) ** 2 <= _TILE_S)
        return _inputs(self._network, side)

    @property
    def _megapixels(self) -> float:
        return self._inputs[0].shape[-1] * self._inputs[0].shape[-2] / 1e6

    def _load(self) -> _Kept | None:
        """Return what an earlier trial found, in this process or another."""
        name = str(self._path)
        if name not in _CHOSEN:
            try:
                _CHOSEN[name] = conform(load_json(self._path), _Kept)
            except (ProjectError, SchemaError):  # none yet, or damaged
                return None
        return _CHOSEN[name]

    def _keep(self, way: Way, torch_precision: str, torch_seconds: float, tried: bool) -> _Kept:
        found = {**way._asdict(), "torch_precision": torch_precision, "torch_seconds": torch_seconds, "tried": tried}
        kept = _CHOSEN[str(self._path)] = conform(found, _Kept)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            sweep(self._path.parent, _KEPT_CHOICES)
            save_json(self._path, kept)
        except (OSError, ProjectError):  # the next program tries again
            pass
        return kept


def _machine_key(key: str, precision: str) -> str:
    """Return a name for a network, a precision that was asked for, and this machine."""
    return sha256(f"{key} {precision} {machine_name()}".encode()).hexdigest()[:32]


def machine_name() -> str:
    """Return what tells this machine from others, as far as the speed of a network depends on it."""
    return str((platform.node(), platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()))


def _inputs(network: Network, side: int) -> list[Tensor]:
    """Return a tile of synthetic tissue, and its context if the network wants one."""
    pixels, _ = draw_field((side, side), np.random.default_rng(0))
    tile = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
    return [tile] if network.surroundings is None else [tile, tile]
