"""FCN-8s over VGG16, Long et al., Fully convolutional networks, 2015.

Convolutions are padded so that the output has the size of the image; the authors pad the image by
100 pixels and crop.  All transposed convolutions are trained; they start as bilinear interpolation,
or from Xavier's random weights.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks.division import SEAM, Division
from napari_pathseg.engine.networks.network import Network

_VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0: pooling
_AFTER_POOL3, _AFTER_POOL4 = 17, 24
_FC_CHANNELS = 4096
_PARTS = ("weight", "bias")
# The layers of VGG16 that become fc6 and fc7, as torchvision, timm and Caffe call them; each takes the features
# channel by channel, as Keras does not.
_CLASSIFIERS = (("classifier.0", "classifier.3"), ("pre_logits.fc1", "pre_logits.fc2"), ("fc6", "fc7"))
_NOISE_SIDE = 128  # pixels


class FCN8s(Network):
    """FCN-8s: 134 million weights, most of them in the 7 × 7 convolution over the deepest features.

    The scale of VGG16's features differs by a factor of a hundred between levels, and by more
    between sources of weights: on stained tissue, features from Keras's weights have standard
    deviations of 794, 112 and 8 in pools 3, 4 and 5, and their Xavier-initialised scores one of a
    thousand.  The authors multiply pools 3 and 4 by 0.0001 and 0.01 (FCN-8s "at once"); here the
    gains are measured, so that they suit any weights.
    """

    encoder_share = 0.2
    gains: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        classes = spec.classes
        self.features = _vgg16_features()
        self.fc6: nn.Conv2d = skip_init(nn.Conv2d, 512, _FC_CHANNELS, 7, padding=3)  # type: ignore[no-untyped-call]
        self.fc7: nn.Conv2d = skip_init(nn.Conv2d, _FC_CHANNELS, _FC_CHANNELS, 1)  # type: ignore[no-untyped-call]
        self.dropout = nn.Dropout(0.5)
        self.score_fc7 = nn.Conv2d(_FC_CHANNELS, classes, 1)
        self.score_pool4 = nn.Conv2d(512, classes, 1)
        self.score_pool3 = nn.Conv2d(256, classes, 1)
        for layer in (self.fc6, self.fc7, self.score_fc7, self.score_pool4, self.score_pool3):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        self.up_fc7 = _bilinear(classes, 4, 2)
        self.up_pool4 = _bilinear(classes, 4, 2)
        self.up_pool3 = _bilinear(classes, 16, 8)
        self.fuse_pool4, self.fuse_pool3 = _Sum(), _Sum()
        self.register_buffer("gains", torch.ones(3))
        self._has_classifier = False
        self._add_context(spec, 512)

    @property
    def encoder(self) -> nn.Module:
        """VGG16's convolutions."""
        return self.features

    def _encode(self, pixels: Tensor) -> list[Tensor]:
        return self._after_pool3(self.features[:_AFTER_POOL3](pixels))

    def _after_pool3(self, pool3: Tensor) -> list[Tensor]:
        pool4 = self.features[_AFTER_POOL3:_AFTER_POOL4](pool3)
        return [pool3, pool4, self.features[_AFTER_POOL4:](pool4)]

    def _decode(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = self.up_pool3(self._scores(features))
        return logits

    def _scores(self, features: list[Tensor]) -> Tensor:
        """Return the logits at the stride of pool3."""
        pool3, pool4, pool5 = (level * gain for level, gain in zip(features, self.gains, strict=True))
        fc6 = self.dropout(self.fc6(pool5).relu())
        fc7 = self.dropout(self.fc7(fc6).relu())
        coarse = self.fuse_pool4(self.up_fc7(self.score_fc7(fc7)), self.score_pool4(pool4))
        fine: Tensor = self.fuse_pool3(self.up_pool4(coarse), self.score_pool3(pool3))
        return fine

    def divide(self) -> Division | None:
        """Return the network in three stages: up to pool3, the rest, the last upsampling; None with context."""
        if self.surroundings is not None:
            return None
        return Division(_Shallow(self), _Deep(self), _Fine(self), (SEAM,))

    @torch.no_grad()
    def load_classifier(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Initialise fc6 and fc7 from VGG16's two large linear layers, which are convolutions over 7 × 7 features.

        Without them both keep their random weights, and `weights_note` says so.
        """
        wanted = [self.get_parameter(f"{layer}.{part}") for layer in ("fc6", "fc7") for part in _PARTS]
        for names in _CLASSIFIERS:
            given = [tensors.get(f"{name}.{part}") for name in names for part in _PARTS]
            pairs = zip(given, wanted, strict=True)
            fitting = [tensor for tensor, parameter in pairs if tensor is not None and _fits(tensor, parameter)]
            if len(fitting) == len(wanted):
                for parameter, tensor in zip(wanted, fitting, strict=True):
                    parameter.copy_(tensor.reshape(parameter.shape))
                self._has_classifier = True
                return
        first, second = _CLASSIFIERS[0]
        self.weights_note = (
            f"{source} has no weights for fc6 and fc7 of fcn8s ({first} and {second} of torchvision's vgg16): these "
            "two layers start from random ones."
        )

    def randomize_upsampling(self) -> None:
        """Give the transposed convolutions Xavier's random weights instead of bilinear interpolation."""
        for layer in (self.up_fc7, self.up_pool4, self.up_pool3):
            nn.init.xavier_uniform_(layer.weight)

    @torch.no_grad()
    def adapt_to_weights(self) -> None:
        """Set the gains so that features of noise have a standard deviation of one."""
        noise = torch.rand(1, 3, _NOISE_SIDE // 4, _NOISE_SIDE // 4, generator=torch.Generator().manual_seed(0))
        pixels = 255 * nn.functional.interpolate(noise, size=_NOISE_SIDE, mode="bicubic").clamp(0, 1)
        self.gains.copy_(torch.stack([1 / level.std().clamp(min=1e-6) for level in self.encode(pixels)[:3]]))
        if self._has_classifier:
            self.gains[2] = 1  # fc6 was trained on the features as they are

    def decayed_parameters(self) -> list[nn.Parameter]:
        """Return the parameters with weight decay: the decoder's weights; VGG16's stay near their pretrained values."""
        return [parameter for parameter in self.decoder_parameters() if parameter.ndim > 1]


class _Stage(nn.Module):
    """A part of the network."""

    def __init__(self, network: FCN8s) -> None:
        super().__init__()
        self.network = network


class _Shallow(_Stage):
    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        pool3: Tensor = self.network.features[:_AFTER_POOL3](self.network._scale(pixels))
        return (pool3,)


class _Deep(_Stage):
    def forward(self, pool3: Tensor) -> tuple[Tensor]:
        return (self.network._scores(self.network._after_pool3(pool3)),)


class _Fine(_Stage):
    def forward(self, scores: Tensor) -> Tensor:
        return self.network._known_outputs(self.network.up_pool3(scores))


class _Sum(nn.Module):
    """The sum of two feature maps, as a layer whose output can be shown."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the sum."""
        return one + other


def _fits(tensor: Tensor, parameter: Tensor) -> bool:
    """Return whether a tensor has the outputs and the size of a parameter, as a linear layer or a convolution."""
    return len(tensor) == len(parameter) and tensor.numel() == parameter.numel()


def _vgg16_features() -> nn.Sequential:
    """Return VGG16's 13 convolutions, numbered as in torchvision."""
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in _VGG16:
        if outputs == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers)


def _bilinear(classes: int, side: int, stride: int) -> nn.ConvTranspose2d:
    """Return a transposed convolution without bias that interpolates each class separately."""
    layer = nn.ConvTranspose2d(classes, classes, side, stride, padding=(side - stride) // 2, bias=False)
    ramp = 1 - (torch.arange(side) - (side - 1) / 2).abs() / stride
    with torch.no_grad():
        layer.weight.zero_()
        for index in range(classes):
            layer.weight[index, index] = ramp[:, None] * ramp[None, :]
    return layer
