"""How many pixels a network computes at once: a larger pass has less margin, a smaller one fits the caches better.

A trial of at most 2 s finds the faster one; it is kept for the layers of the network and the machine.
"""

import time
from functools import partial
from hashlib import sha256
from typing import Annotated, TypedDict

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from napari_pathseg.engine.device import is_out_of_memory
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.runtime.choice import ReadyNetwork, machine_name
from napari_pathseg.engine.runtime.trial import agree, seconds_of
from napari_pathseg.errors import ProjectError
from napari_pathseg.samples import draw_field
from napari_pathseg.storage.atomic import load_json, save_json
from napari_pathseg.storage.cache_folder import cache_folder, sweep
from napari_pathseg.storage.json_schema import SchemaError, conform

SIDES = (1024, 2048)  # pixels that are kept of a pass, along a side
_LIMIT_S = 2.0
_PERIOD = 512  # pixels after which the tissue of a trial repeats
_KEPT = 256


class _Kept(TypedDict):
    side: Annotated[int, Meta(ge=1)]


def fastest_side(network: Network, ready: ReadyNetwork, halo: int, largest: int) -> int:
    """Return how many pixels along a side to keep of a pass, so that the most of them are computed in a second.

    Parameters
    ----------
    network, ready
        The network, and how it computes.
    halo
        Pixels around them that are computed, too.
    largest
        Pixels along a side that fit the memory.
    """
    if largest < SIDES[-1]:
        return SIDES[0]
    name = sha256(f"{network} {ready.way} {halo} {machine_name()}".encode()).hexdigest()[:32]
    path = cache_folder() / "passes" / f"{name}.json"
    try:
        kept = conform(load_json(path), _Kept)["side"]
        if kept in SIDES:
            return kept
    except (ProjectError, SchemaError):  # none yet, or damaged
        pass
    side = _tried(network, ready, halo)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, _KEPT)
        save_json(path, {"side": side})
    except (OSError, ProjectError):  # the next program tries again
        pass
    return side


@torch.inference_mode()
def _tried(network: Network, ready: ReadyNetwork, halo: int) -> int:
    """Return the faster side, the smaller one if a trial takes too long; a slow network is tried at half the size."""
    small, large = SIDES
    faster, end = small, time.perf_counter() + _LIMIT_S
    larger = ((large + 2 * halo) / (small + 2 * halo)) ** 2
    for scale in (2, 1):
        one = partial(_answer, ready, _inputs(network, small // scale, halo // scale))
        expected = one()  # the first run of a size prepares it
        seconds = seconds_of(one)
        if time.perf_counter() + 2 * larger * seconds > end:
            break
        other = partial(_answer, ready, _inputs(network, large // scale, halo // scale))
        try:
            found = other()
            taken = seconds_of(other)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return small
        edge = slice(halo // scale, halo // scale + small // scale)
        if not agree(found[..., edge, edge], expected[..., edge, edge]):  # the tissue repeats
            return small
        faster = large if taken * small**2 < seconds * large**2 else small
    return faster


def _answer(ready: ReadyNetwork, inputs: list[Tensor]) -> Tensor:
    with ready.device.autocast():
        logits = ready.network(*(ready.device.send(each) for each in inputs))
    return logits.cpu()  # waits until it is computed


def _inputs(network: Network, side: int, halo: int) -> list[Tensor]:
    """Return repeating tissue of a side with its margin, and its context if the network wants one."""
    pixels, _ = draw_field((_PERIOD, _PERIOD), np.random.default_rng(0))
    count = -(-(side + 2 * halo) // network.multiple) * network.multiple
    places = np.arange(count) % _PERIOD
    tile = torch.from_numpy(np.ascontiguousarray(pixels[places][:, places].transpose(2, 0, 1)[None]))
    return [tile] if network.surroundings is None else [tile, tile]
