"""Download ImageNet weights from the Hugging Face hub, as safetensors only.

Without a network, the hub's own client retries for half a minute, so the connection is checked
first.  Downloaded files are cached and need no network.
"""

import ssl
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import timm
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import encoders
from torch import Tensor

from napari_pathseg.engine.networks.encoders import find_encoder
from napari_pathseg.errors import BundleError

_TIMEOUT_S = 8.0
_FILE = "model.safetensors"


def fetch_imagenet(encoder: str) -> dict[str, Tensor]:
    """Return the published ImageNet weights of an encoder, under its library's tensor names.

    Raises
    ------
    BundleError
        If none are published as safetensors, or the hub cannot be reached.
    """
    repository, revision = _published(encoder)
    try:
        return load_file(_fetch(repository, revision))
    except (OSError, HfHubHTTPError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(
            f"The ImageNet weights of {encoder} could not be downloaded ({reason}). Set weights to a file, or to none."
        ) from error


def _published(name: str) -> tuple[str, str | None]:
    """Return the repository and revision of an encoder's weights."""
    encoder = find_encoder(name)
    if encoder.of_timm:
        config = timm.get_pretrained_cfg(encoder.name)
        repository = None if config is None or config.hf_hub_filename else config.hf_hub_id
        revision = None
    else:
        published = encoders[encoder.name]["pretrained_settings"]
        chosen = published.get("imagenet") or next(iter(published.values()))
        repository, revision = chosen["repo_id"], chosen["revision"]
    if not repository:
        raise BundleError(
            f"No ImageNet weights of {name} are published as safetensors. Set weights to a file, or to none."
        )
    return repository, revision


def _fetch(repository: str, revision: str | None) -> Path:
    try:
        return Path(hf_hub_download(repository, _FILE, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        _check_connection()
        return Path(hf_hub_download(repository, _FILE, revision=revision, etag_timeout=_TIMEOUT_S))


def _check_connection() -> None:
    """Raise OSError if the hub cannot be reached within 8 seconds."""
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=_TIMEOUT_S).close()
    except HTTPError:
        return  # the hub answered
    except URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return  # the hub answered; its client may have the certificates
        raise OSError(f"{constants.ENDPOINT}: {error.reason}") from error
