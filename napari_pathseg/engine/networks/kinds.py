"""The table of networks: one row contains everything that the package knows about a network.

To add a network, write its module, a row here and its name in `config.NETWORK_NAMES`.  A row
that lacks a field fails at import.  Only the builders import torch, when called.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pathseg.engine.bundle import NetworkSpec

if TYPE_CHECKING:
    from napari_pathseg.engine.networks.network import Network


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Time and memory of a training step in fp32.

    Attributes
    ----------
    weights_m
        Number of weights, in millions.
    tflop
        Operations of a prediction, in 10^12 multiplications and additions per million pixels.
    activations_gb
        Memory of a step's activations per million pixels.
    features_gb
        Memory of cached encoder features per million pixels.
    workspace_gb
        Memory of a step that does not depend on the size of the tiles.
    """

    weights_m: float
    tflop: float
    activations_gb: float
    features_gb: float
    workspace_gb: float


@dataclass(frozen=True, kw_only=True)
class RelativeCost:
    """Operations and activations as multiples of those of a U-Net with the same encoder."""

    work: float
    activations: float


@dataclass(frozen=True, kw_only=True)
class OwnEncoder:
    """A fixed encoder; `imagenet` names the encoder with fitting ImageNet weights, if there are any."""

    imagenet: str | None


@dataclass(frozen=True, kw_only=True)
class NetworkKind:
    """A network that can be trained.

    Attributes
    ----------
    name
        Its name in ``--architecture`` and in bundles.
    build
        Builds the network with random weights.
    own_encoder
        The fixed encoder; None if the network accepts any `NetworkSpec.encoder`.
    grey
        Whether it can use a single channel, the mean of red, green and blue.
    cost
        Input of `engine.cost_model`.
    summary, weights
        Its line in the README: a description, and the initial weights of its encoder.
    """

    name: str
    build: "Callable[[NetworkSpec], Network]"
    own_encoder: OwnEncoder | None
    grey: bool
    cost: StepCost | RelativeCost
    summary: str
    weights: str

    def imagenet_encoder(self, chosen: str) -> str | None:
        """Return the encoder whose ImageNet weights fit the network, given the chosen encoder, or None."""
        return chosen if self.own_encoder is None else self.own_encoder.imagenet

    @property
    def has_imagenet_weights(self) -> bool:
        """True if its encoder can start from ImageNet weights."""
        return self.own_encoder is None or self.own_encoder.imagenet is not None


def _smp(model: str) -> "Callable[[NetworkSpec], Network]":
    """Return the builder of a segmentation-models-pytorch class."""

    def build(spec: NetworkSpec) -> "Network":
        from napari_pathseg.engine.networks.smp import SmpNetwork

        return SmpNetwork(spec, model)

    return build


def _unet(spec: NetworkSpec) -> "Network":
    from napari_pathseg.engine.networks.encoders import find_encoder
    from napari_pathseg.engine.networks.vit import ViTUNet

    return ViTUNet(spec) if find_encoder(spec.encoder).is_vit else _smp("Unet")(spec)


def _unet_classic(spec: NetworkSpec) -> "Network":
    from napari_pathseg.engine.networks.unet_classic import UNetClassic

    return UNetClassic(spec)


def _fcn8s(spec: NetworkSpec) -> "Network":
    from napari_pathseg.engine.networks.fcn8s import FCN8s

    return FCN8s(spec)


def _linear_head(spec: NetworkSpec) -> "Network":
    from napari_pathseg.engine.networks.linear_head import LinearHead

    return LinearHead(spec)


_SMP_SUMMARY = "from segmentation-models-pytorch, with any `--encoder` that it or timm knows"
_SMP_WEIGHTS = (
    "EfficientNet-lite0's ImageNet weights are installed with the package; others are downloaded, or "
    "`--weights FILE.safetensors`"
)

# Relative costs were measured with EfficientNet-lite0.  Step costs: peak memory of a step in
# fp32, batch 2 and 4 of 256 pixels, torch 2.14 with two threads.
_ROWS = (
    NetworkKind(
        name="unet",
        build=_unet,
        own_encoder=None,
        grey=False,
        cost=RelativeCost(work=1.0, activations=1.0),
        summary=_SMP_SUMMARY,
        weights=_SMP_WEIGHTS,
    ),
    NetworkKind(
        name="unetplusplus",
        build=_smp("UnetPlusPlus"),
        own_encoder=None,
        grey=False,
        cost=RelativeCost(work=1.4, activations=1.1),
        summary=_SMP_SUMMARY,
        weights=_SMP_WEIGHTS,
    ),
    NetworkKind(
        name="fpn",
        build=_smp("FPN"),
        own_encoder=None,
        grey=False,
        cost=RelativeCost(work=0.85, activations=0.75),
        summary=_SMP_SUMMARY,
        weights=_SMP_WEIGHTS,
    ),
    NetworkKind(
        name="deeplabv3plus",
        build=_smp("DeepLabV3Plus"),
        own_encoder=None,
        grey=False,
        cost=RelativeCost(work=0.5, activations=0.95),
        summary=_SMP_SUMMARY,
        weights=_SMP_WEIGHTS,
    ),
    NetworkKind(
        name="segformer",
        build=_smp("Segformer"),
        own_encoder=None,
        grey=False,
        cost=RelativeCost(work=0.67, activations=0.9),
        summary=_SMP_SUMMARY,
        weights=_SMP_WEIGHTS,
    ),
    NetworkKind(
        name="unet-classic",
        build=_unet_classic,
        own_encoder=OwnEncoder(imagenet=None),
        grey=True,
        cost=StepCost(weights_m=31.0, tflop=1.67, activations_gb=5.6, features_gb=0.50, workspace_gb=0.0),
        summary="the U-Net of 2015: 31 million weights, dropout, He initialisation",
        weights="random",
    ),
    NetworkKind(
        name="fcn8s",
        build=_fcn8s,
        own_encoder=OwnEncoder(imagenet="vgg16"),
        grey=False,
        cost=StepCost(weights_m=134.3, tflop=0.845, activations_gb=1.6, features_gb=0.026, workspace_gb=0.8),
        summary="FCN-8s on VGG16, with skip layers, Xavier initialisation, L2 on the decoder",
        weights="VGG16's, downloaded or from a file; with its classifier also fc6 and fc7",
    ),
    NetworkKind(
        name="features+linear",
        build=_linear_head,
        own_encoder=None,
        grey=False,
        cost=RelativeCost(work=1.0, activations=0.6),
        summary="a linear classifier on the features of any `--encoder`; `--preset live` fits it in seconds",
        weights=_SMP_WEIGHTS,
    ),
)
NETWORK_KINDS = {kind.name: kind for kind in _ROWS}
