"""Reading and writing the files of a bundle: each is replaced atomically, and reading runs no code."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_pathseg.engine.bundle import Bundle, NetworkSpec, load_bundle
from napari_pathseg.engine.exchange.model_card import write_card
from napari_pathseg.engine.networks import Network, build_network
from napari_pathseg.errors import BundleError
from napari_pathseg.projects.model_weights import ALL_WEIGHTS, WEIGHTS
from napari_pathseg.storage.atomic import replace_file, save_json
from napari_pathseg.storage.regular_files import open_regular

_LACKING_IN_OLD_BUNDLES = ("mean", "std")


def save_weights(folder: Path, weights: Mapping[str, Tensor], name: str = WEIGHTS) -> None:
    """Write the weights of a bundle; without its ``bundle.json`` the folder is no model yet."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with replace_file(folder / name) as partial:
        save_file(tensors, partial)


def save_bundle(folder: Path, bundle: Bundle, curves: Sequence[dict[str, Any]] = ()) -> None:
    """Write a bundle whose weights are saved already, replacing each file atomically; its card once it is finished."""
    if curves:
        with (
            replace_file(folder / "curves.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as file,  # for the names of the classes
        ):
            writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(key for row in curves for key in row)))
            writer.writeheader()
            writer.writerows(curves)
    save_json(folder / "bundle.json", asdict(bundle) | {"network": bundle.network.to_json()})
    if bundle.finished:
        write_card(folder, bundle)


def load_network(folder: Path, classes: int | None = None, weights: str = WEIGHTS) -> Network:
    """Build the network of a bundle and load its weights, from the file of that name.

    If `classes` is larger than the bundle's number of classes, the network has outputs for the further classes, too;
    their weights are random.

    The network is built without memory for its weights first, and compared with the header of their file: what a
    damaged bundle says of its network is never allocated.

    Raises
    ------
    BundleError
        If the weights are missing, damaged, not finite, or belong to another network.
    """
    spec, path = load_bundle(folder).network, folder / weights
    with _reading_weights(path):
        network = allocate_network(_shapes_in(path), spec)
        network.load_state_dict(load_file(path))
        for name, tensor in network.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise ValueError(f"{name} has values that are not finite")
    return network if classes in (None, spec.classes) else _extend(network, replace(spec, classes=classes))


def check_weights(folder: Path) -> None:
    """Raise BundleError unless a bundle's weights are those of its network; only their header is read."""
    bundle = load_bundle(folder)
    for path in [folder / WEIGHTS, *([folder / ALL_WEIGHTS] if bundle.last_pass else [])]:
        with _reading_weights(path):
            allocate_network(_shapes_in(path), bundle.network)


@contextmanager
def _reading_weights(path: Path) -> Iterator[None]:
    try:
        yield
    except BundleError:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise BundleError(
            f"{path} does not hold the weights of this network ({what}). Train again, or restore it from a copy."
        ) from error


def _shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a file, from its header alone."""
    open_regular(path).close()  # safetensors would wait for a pipe
    with safe_open(path, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def allocate_network(stored: Mapping[str, tuple[int, ...]], spec: NetworkSpec) -> Network:
    """Return the network of `spec` with memory for its weights; raise ValueError if `stored` are not their shapes."""
    try:
        with torch.device("meta"):
            network = build_network(spec)
    except (BundleError, NotImplementedError, RuntimeError):  # some, such as mit_b0, compute while they are built
        return build_network(spec)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing = wanted.keys() - stored.keys() - set(_LACKING_IN_OLD_BUNDLES)
    if missing or stored.keys() - wanted.keys():
        raise ValueError(f"it lacks {len(missing)} tensors and has {len(stored.keys() - wanted.keys())} others")
    for name in stored:
        if stored[name] != wanted[name]:
            raise ValueError(f"{name} has the shape {stored[name]}; {wanted[name]} is needed")
    computed = {name for name, _ in network.named_buffers()} - stored.keys()  # these have values from the start
    return build_network(spec) if computed else network.to_empty(device="cpu")


@torch.no_grad()
def _extend(network: Network, spec: NetworkSpec) -> Network:
    """Return a network with more classes; for those that `network` knows, it has the same weights."""
    larger = build_network(spec)
    tensors = larger.state_dict()
    for name, tensor in network.state_dict().items():
        tensors[name][tuple(slice(size) for size in tensor.shape)] = tensor
    return larger
