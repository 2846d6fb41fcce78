"""Read a bioimage.io package of others whose weights are those of a network that we know.

Format 0.5.  Only plain values of its description are read; it is neither validated nor resolved, as a
validator would load what it refers to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_pathseg.classes import HIGHEST_NUMBER, palette_color
from napari_pathseg.engine.bundle import Bundle, NetworkSpec
from napari_pathseg.engine.bundle_io import save_weights
from napari_pathseg.engine.exchange.model_card import IMPORTED
from napari_pathseg.engine.exchange.stranger_files import MAX_WEIGHTS, StrangerFiles
from napari_pathseg.engine.networks.convert import read_torch_file
from napari_pathseg.errors import BundleError
from napari_pathseg.storage.atomic import save_json
from napari_pathseg.storage.json_schema import SchemaError, conform

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
_ARCHITECTURES = {  # by the class of segmentation-models-pytorch
    "Unet": "unet",
    "UnetPlusPlus": "unetplusplus",
    "FPN": "fpn",
    "DeepLabV3Plus": "deeplabv3plus",
    "Segformer": "segformer",
}
_USUAL_ENCODER = "resnet34"  # of that library
_WRAPPERS = ("module.", "model.")  # before the names of tensors


class _Step(TypedDict):
    id: str
    kwargs: NotRequired[dict[str, Any]]


class _Callable(TypedDict):
    callable: str
    kwargs: NotRequired[dict[str, Any]]


class _StateDict(TypedDict):
    source: str
    architecture: _Callable


class _Weights(TypedDict):
    pytorch_state_dict: NotRequired[_StateDict]


class _Axis(TypedDict):
    type: str
    unit: NotRequired[str | None]
    scale: NotRequired[float]
    channel_names: NotRequired[list[str]]


class _Tensor(TypedDict):
    axes: list[_Axis]
    preprocessing: NotRequired[list[_Step]]


class _Described(TypedDict):
    """The parts of a description that are read."""

    name: NotRequired[str]
    weights: _Weights
    inputs: Annotated[list[_Tensor], Meta(min_length=1, max_length=1)]
    outputs: Annotated[list[_Tensor], Meta(min_length=1, max_length=1)]


def read_foreign(content: Any, files: StrangerFiles, folder: Path) -> None:
    """Write the weights and metadata of a described model into a folder, as a bundle.

    Parameters
    ----------
    content
        The values of the description.
    files
        The package.
    folder
        Where ``weights.safetensors`` and ``bundle.json`` go.

    Raises
    ------
    BundleError
        If the description is not one of a model, its network is unknown here, or its input is not plain RGB.
    """
    try:
        described = conform(content, _Described)
    except SchemaError as error:
        raise BundleError(
            f"The description of the model cannot be used: {error}. Only models of format 0.5 with one input and one "
            "output are taken in."
        ) from error
    entry = described["weights"].get("pytorch_state_dict")
    if entry is None:
        raise BundleError(
            "It has no weights of the kind pytorch_state_dict, and others cannot be trained. Ask its authors for these."
        )
    names = _class_names(described["outputs"][0])
    spec = _network_spec(entry["architecture"], len(names))
    mean, std = _normalisation(described["inputs"][0].get("preprocessing", []))
    tensors = _with_our_names(_tensors(entry["source"], files, folder))
    tensors["mean"], tensors["std"] = (torch.tensor(values).float().view(1, -1, 1, 1) for values in (mean, std))
    save_weights(folder, tensors)
    bundle = Bundle(
        id="",
        parent=None,
        run="",
        network=spec,
        classes=[{"name": name, "color": palette_color(number)} for number, name in enumerate(names, 1)],
        mpp=_pixel_size(described["inputs"][0]["axes"]),
        config={},
        scores={},
        mean_dice=0.0,
        train=[],
        val=[],
        steps=0,
        seconds=0.0,
        finished=True,
        origin={IMPORTED: {"model": described.get("name", "unnamed")}},
    )
    save_json(folder / "bundle.json", asdict(bundle) | {"network": spec.to_json()})


def _class_names(output: _Tensor) -> list[str]:
    names = next((axis.get("channel_names", []) for axis in output["axes"] if axis["type"] == "channel"), [])
    if not 2 <= len(names) <= HIGHEST_NUMBER:
        raise BundleError(
            f"Its output has {len(names)} named channels; a model needs one for each class, Background first."
        )
    return names


def _network_spec(architecture: _Callable, classes: int) -> NetworkSpec:
    name, options = architecture["callable"].rpartition(".")[2], architecture.get("kwargs", {})
    if name not in _ARCHITECTURES:
        raise BundleError(
            f'Its network "{name:.60}" is unknown here. Known: {", ".join(_ARCHITECTURES)}, of '
            "segmentation-models-pytorch."
        )
    if options.get("in_channels", 3) != 3:
        raise BundleError(f"Its network takes {options['in_channels']!r:.20} channels; ours takes red, green and blue.")
    return NetworkSpec(_ARCHITECTURES[name], str(options.get("encoder_name", _USUAL_ENCODER)), classes)


def _tensors(source: str, files: StrangerFiles, folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a file of weights: safetensors, or a torch file, whose program is not run."""
    suffix = PurePosixPath(source).suffix
    copied = folder / f"source{suffix if suffix in ('.safetensors', '.pth', '.pt') else '.pth'}"
    files.copy(source, copied, MAX_WEIGHTS)
    try:
        return load_file(copied) if suffix == ".safetensors" else read_torch_file(copied)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{source} is damaged ({str(error).splitlines()[0]}). Download or copy it again.") from error
    finally:
        copied.unlink(missing_ok=True)


def _with_our_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return {f"net.{name}": tensor for name, tensor in tensors.items()}


def _pixel_size(axes: Sequence[_Axis]) -> float | None:
    sizes = {axis.get("scale", 1.0) for axis in axes if axis["type"] == "space" and axis.get("unit") == "micrometer"}
    return sizes.pop() if len(sizes) == 1 else None


def _normalisation(steps: Sequence[_Step]) -> tuple[list[float], list[float]]:
    """Return mean and deviation of each channel that steps of preprocessing, which must be linear, amount to."""
    gain, offset = np.ones(3), np.zeros(3)
    for step in steps:
        name, options = step["id"], step.get("kwargs", {})
        if name == "ensure_dtype":
            continue
        if name == "scale_linear":
            factor, added = _channels(options.get("gain", 1.0)), _channels(options.get("offset", 0.0))
        elif name == "fixed_zero_mean_unit_variance":
            mean, std = _channels(options.get("mean")), _channels(options.get("std"))
            factor, added = 1 / std, -mean / std
        else:
            raise BundleError(
                f'It prepares its input by "{name:.60}", which our networks cannot. Known: ensure_dtype, scale_linear, '
                "fixed_zero_mean_unit_variance."
            )
        gain, offset = factor * gain, factor * offset + added
    with np.errstate(all="ignore"):
        mean, std = -offset / gain, 1 / gain
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        raise BundleError("The numbers by which it prepares its input are not finite, or zero.")
    return mean.tolist(), std.tolist()


def _channels(values: Any) -> npt.NDArray[np.float64]:
    """Return a number, or one for each channel, as three numbers."""
    try:
        return np.broadcast_to(np.asarray(values, np.float64).reshape(-1), 3).copy()
    except (TypeError, ValueError) as error:
        raise BundleError(f"It prepares its input by {values!r:.40}; one number or three are needed.") from error
