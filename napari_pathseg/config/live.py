"""The settings of the live model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_pathseg.errors import ConfigError
from napari_pathseg.settings import Settings, setting

PROJECT = "project"
_FORMER_DEFAULTS = ("tf_efficientnet_lite0", "imagenet")  # of the encoder and of its weights, once a setting of its own


@dataclass(frozen=True, kw_only=True)
class LiveConfig(Settings):
    """Settings of the live model, which follows each stroke."""

    encoder: str = setting(
        PROJECT,
        "project: the encoder of the training settings. Or a file with the weights of another (.safetensors, .pth), "
        "such as a vision transformer, which is recognised (or named: NAME=FILE): a heavier one tells more apart and "
        "takes longer. Or the name of an encoder, for its ImageNet weights.",
    )
    stain_norm: str = setting(
        "none", "Stain normalization.", choices=("none", "macenko", "reinhard"), label="Stain normalization"
    )
    memory_gb: float = setting(
        1.0,
        "Memory for features; a square millimetre at 1 um per pixel takes 16 MB. Raise it if large slides lag.",
        unit="GB",
        minimum=0.1,
        maximum=256,
        label="Memory",
    )
    disk_gb: float = setting(
        5.0, "Space for features; 0 keeps none.", unit="GB", minimum=0, maximum=10_000, label="Disk space"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.encoder:
            raise ConfigError(f"encoder is empty; it must be {PROJECT}, a file of weights or the name of an encoder.")

    @classmethod
    def renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values` under present names; an encoder and its weights were two settings once.

        >>> LiveConfig.renamed({"encoder": "resnet18", "weights": "a.safetensors"})
        {'encoder': 'resnet18=a.safetensors'}
        """
        found = super().renamed(values)
        if "weights" in found:
            usual_encoder, usual_weights = _FORMER_DEFAULTS
            weights, encoder = found.pop("weights"), found.get("encoder", usual_encoder)
            name = "" if encoder == usual_encoder else encoder
            if weights in (usual_weights, "none"):
                found["encoder"] = name or PROJECT
            else:
                found["encoder"] = f"{name}={weights}" if name else weights
        return found
