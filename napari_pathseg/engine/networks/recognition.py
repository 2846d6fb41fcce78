"""Recognise whose weights a file holds: by what it says of itself, by its name, or by the shapes of its tensors.

An encoder counts as recognised only if the tensors fit it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import timm
import torch
from segmentation_models_pytorch.encoders import get_encoder_names
from torch import Tensor

from napari_pathseg.config import LINEAR
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.encoders import LITE0
from napari_pathseg.engine.networks.linear_head import LinearHead
from napari_pathseg.engine.networks.weights import check_encoder, normalize_names, read_outline, some_names
from napari_pathseg.errors import BundleError

_SAID = ("encoder", "architecture")  # keys in a file's header, and in the config.json that timm writes beside it
_PATCHES = "patch_embed.proj.weight"  # only vision transformers have it
_VIT_SIZES = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
_VIT_FORMS = ("patch{}_224", "patch{}_384", "patch{}_dinov2", "patch{}_reg4_dinov2", "patch{}_clip_224")
_COMMON = (
    LITE0,
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *(f"efficientnet-b{size}" for size in range(8)),
    *(f"efficientnet_b{size}" for size in range(5)),
    *("convnext_tiny", "convnext_small", "convnext_base", "densenet121", "mobilenetv3_large_100"),
)
_MOST_NAMES = 6  # of encoders in a text that are tried
_MOST_JSON = 1 << 20  # bytes


def recognized_encoder(path: Path, hint: str = "") -> str:
    """Return the name of the encoder whose weights a file holds; that of the `hint` is tried first.

    Raises
    ------
    BundleError
        If the file cannot be read, or no encoder is recognised; the message says what to do.
    """
    tensors, said = read_outline(path)
    problem = ""
    for name in _named(path, said, hint):
        problem = _misfit(name, tensors, path)
        if not problem:
            return name
    for name in _likely(normalize_names(tensors)):
        if not _misfit(name, tensors, path):
            return name
    raise BundleError(
        problem
        or f"{path} does not say whose weights it holds, and no common encoder has such tensors "
        f"({some_names(list(tensors))}). Rename it after its encoder, such as vit_small_patch16_224{path.suffix}."
    )


def _named(path: Path, said: dict[str, str], hint: str) -> Iterator[str]:
    """Yield the encoders that a hint, a file's header, the description beside it, its name and its folder's name."""
    texts = [hint, *(said.get(key, "") for key in _SAID), *_described_beside(path), path.stem, path.parent.name]
    known, found = sorted({*get_encoder_names(), *timm.list_models()}, key=len, reverse=True), list[str]()
    for text in texts:
        inside = [name for name in known if name in text]
        found += [name for name in inside if re.search(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])", text)][
            :_MOST_NAMES
        ]
    yield from dict.fromkeys(found)


def _described_beside(path: Path) -> list[str]:
    """Return what timm's config.json in the folder of a file says, if there is one."""
    beside = path.with_name("config.json")
    try:
        if not beside.is_file() or beside.stat().st_size > _MOST_JSON:
            return []
        said = json.loads(beside.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return [str(said[key]) for key in _SAID if isinstance(said, dict) and isinstance(said.get(key), str)]


def _likely(tensors: dict[str, Tensor]) -> Iterator[str]:
    """Yield common encoders that may have tensors of these shapes."""
    if _PATCHES not in tensors:
        yield from _COMMON
        return
    shape = tensors[_PATCHES].shape
    size = _VIT_SIZES.get(shape[0], "") if len(shape) == 4 else ""
    yield from (f"vit_{size}_{form.format(shape[-1])}" for form in _VIT_FORMS if size)


def _misfit(name: str, tensors: dict[str, Tensor], path: Path) -> str:
    """Return why tensors are not those of an encoder; empty if they are."""
    try:
        check_encoder(_network_with(name), tensors, f"The weights in {path} are not those of {name}")
    except BundleError as error:
        return str(error)
    return ""


def _network_with(encoder: str) -> LinearHead:
    """Return a network with an encoder, of which only the shapes count."""
    spec = NetworkSpec(LINEAR, encoder, 2)
    try:
        with torch.device("meta"):  # shapes alone, without memory
            return LinearHead(spec)
    except BundleError:  # some, such as those of SegFormer, compute with values while they are built
        return LinearHead(spec)
