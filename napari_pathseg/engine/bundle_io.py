"""Reading and writing the files of a bundle: each is replaced atomically, and reading runs no code."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_pathseg.engine.bundle import Bundle, load_bundle
from napari_pathseg.engine.networks import Network, build_network
from napari_pathseg.errors import BundleError
from napari_pathseg.storage.atomic import replace_file, save_json


def save_bundle(
    folder: Path, bundle: Bundle, weights: dict[str, Tensor] | None, curves: Sequence[dict[str, Any]] = ()
) -> None:
    """Write a bundle, replacing each file atomically; with `weights` None the stored weights stay."""
    folder.mkdir(parents=True, exist_ok=True)
    if weights is not None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        with replace_file(folder / "weights.safetensors") as partial:
            save_file(tensors, partial)
    if curves:
        with replace_file(folder / "curves.csv") as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(curves[0]))
            writer.writeheader()
            writer.writerows(curves)
    save_json(folder / "bundle.json", asdict(bundle))


def load_network(folder: Path) -> Network:
    """Build the network of a bundle and load its weights.

    Raises
    ------
    BundleError
        If the weights are missing, damaged, or belong to another network.
    """
    network = build_network(load_bundle(folder).network)
    path = folder / "weights.safetensors"
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"{path} does not hold the weights of this network ({str(error).splitlines()[0]}). Train again, or "
            "restore it from a copy."
        ) from error
    return network
