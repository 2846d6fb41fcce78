"""How much of what each network computes is kept, and whether the number of tiles at once is the fastest one.

``useful``          by network: multiplications that the pixels of a slide of 4096 need, of all with their margins
``choice_vs_best``  speed of the number of tiles at once that the trial chooses, relative to the best of a search, of
                    networks that are not divided; the processor's time, so that other programs matter less

    python benchmarks/tiles.py [--short]
"""

import argparse
import contextlib
import dataclasses
import json
import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the product; torch reads both when it is imported
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.predictor_choice import choose_predictor
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.inference.slide_prediction import TilePredictor, blocks_of
from napari_pathseg.engine.networks import Network, build_network
from napari_pathseg.engine.runtime.choice import ReadyNetwork, Way, choose_runtime
from napari_pathseg.engine.runtime.pass_size import SIDES
from napari_pathseg.geometry import Region, layout

_TILE, _SIDE = 1024, 4096  # pixels
_ENCODER = "tf_efficientnet_lite0"
_NETWORKS = ("unet", "unetplusplus", "segformer", "features+linear", "fcn8s", "unet-classic", "deeplabv3plus", "fpn")
_WHOLE = ("deeplabv3plus", "fpn")  # are not divided


class _Pixels:
    """A slide of noise that repeats."""

    factor = 1.0
    _noise = np.random.default_rng(0).integers(0, 255, (512, 512, 3)).astype(np.uint8)

    def on_working_grid(self, region: Region) -> Region:
        """Return the region."""
        return region

    def pixels(self, region: Region) -> np.ndarray:
        """Return pixels."""
        return self._noise[np.arange(region.height) % 512][:, np.arange(region.width) % 512]


class _NoDevice(Device):
    """Computes shapes alone."""

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return a context manager that does nothing."""
        return contextlib.nullcontext()


def network_of(name: str) -> Network:
    """Return a network with random weights, in eval mode."""
    torch.manual_seed(0)
    return build_network(NetworkSpec(name, _ENCODER, 2)).eval()


def compute(predictor: TilePredictor, side: int) -> float:
    """Predict a slide of a side; return the processor's seconds."""
    slide, whole = _Pixels(), Region(0, 0, side, side)
    seconds = 0.0
    for block in blocks_of(list(layout(whole, _TILE)), predictor.block(slide.factor)):
        read = predictor.read_tiles(slide, block.tiles, block.whole)
        start = time.process_time()
        for _ in predictor.compute_tiles(read):
            pass
        seconds += time.process_time() - start
    return seconds


@torch.inference_mode()
def useful_share(name: str, together: int) -> float:
    """Return how many multiplications the pixels need, of those that are made; counted without computing them."""
    network = network_of(name)
    ready = ReadyNetwork(network, Device(torch.device("cpu"), True), Way("torch", "bf16"))
    predictor = choose_predictor(network, ready, PredictConfig())
    network.to("meta")
    predictor = dataclasses.replace(predictor, device=_NoDevice(torch.device("meta"), False))
    if isinstance(predictor, RegionPredictor):
        predictor = dataclasses.replace(predictor, together=together)
    with FlopCounterMode(display=False) as bare:
        network(torch.zeros(1, 3, _TILE, _TILE, device="meta"))
    with FlopCounterMode(display=False) as ours:
        compute(predictor, _SIDE)
    return bare.get_total_flops() * (_SIDE / _TILE) ** 2 / ours.get_total_flops()


def choice_vs_best(name: str, rounds: int) -> tuple[float, int]:
    """Return the speed of what a trial chooses for an undivided network, relative to the best, and what it chooses."""
    network = network_of(name)
    chosen = choose_predictor(network, choose_runtime(network, "torch"), PredictConfig(), largest=SIDES[-1])
    ways = {together: dataclasses.replace(chosen, together=together) for together in (0, *SIDES[1:])}
    seconds = dict.fromkeys(ways, np.inf)
    for _ in range(1 + rounds):
        for together, predictor in ways.items():
            seconds[together] = min(seconds[together], compute(predictor, SIDES[-1]))
    return min(seconds.values()) / seconds[chosen.together], chosen.together


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="one undivided network, once")
    short = parser.parse_args().short
    ratios, together = {}, dict.fromkeys(_NETWORKS, 0)
    for name in _WHOLE[:1] if short else _WHOLE:
        ratios[name], together[name] = choice_vs_best(name, 1 if short else 3)
        print(f"{name:<16} {together[name] or _TILE} pixels at once: {ratios[name]:.3f} of the best", flush=True)
    useful = {name: round(useful_share(name, together[name]), 3) for name in _NETWORKS}
    for name, share in useful.items():
        print(f"{name:<16} useful {share:.3f}")
    print(json.dumps({"useful": useful, "choice_vs_best": round(min(ratios.values()), 3)}))


if __name__ == "__main__":
    main()
