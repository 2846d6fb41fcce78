"""Images and curves of a run: validation samples as a PNG, and the log for TensorBoard.

TensorBoard is an optional package; `check_tensorboard` looks for it before a run starts.
"""

import importlib.util
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation.validation import Validator
from napari_pathseg.engine.events import Validated
from napari_pathseg.engine.inference.predict_region import most_likely_classes, predict_region
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.atomic import replace_file

_logger = logging.getLogger(__name__)
_LOG_INTERVAL = 10  # steps between two points of the training curves
_TRACED_SIDE = 64  # pixels of the tile on which the network is traced
_MAX_KERNELS = 16  # filters shown, and inputs of each
_KERNEL_SIDE = 12  # approximate side of a kernel in the image, in pixels
_TRACE_ERRORS = (RuntimeError, TypeError, ValueError)
_SAMPLES, _SIDE, _GAP = 4, 192, 4  # patches, pixels along each, pixels between them
_OPACITY = 0.45  # of a class over the image


def check_tensorboard(config: TrainConfig) -> None:
    """Check that the package tensorboard is installed, if the settings need it.

    Raises
    ------
    ConfigError
        If `config` turns TensorBoard on and the package is missing.
    """
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "tensorboard is on, but the package tensorboard is not installed. "
            'Install it with: pip install "napari-pathseg[tensorboard]", or turn the setting off.'
        )


class TensorBoardLogger:
    """Writes a run's files for TensorBoard; a resumed run continues in the same folder.

    Parameters
    ----------
    folder
        Where the files are written.
    state
        The network in training; its step is the abscissa of all curves.
    resumed
        Whether the run continues from a checkpoint; points after that step are then hidden.
    """

    def __init__(self, folder: Path, state: TrainState, *, resumed: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        is_new = not folder.exists()
        self._state = state
        self._last_step = -1
        self._writer: Any = SummaryWriter(folder, purge_step=state.step + 1 if resumed else 0)
        sample = state.device.send(torch.zeros(1, 3, _TRACED_SIDE, _TRACED_SIDE, dtype=torch.uint8))
        tiles = (sample,) if state.network.surroundings is None else (sample, sample)
        self._layers = visualized_layers(state.ema_model, tiles)
        if is_new:
            self._write_graph(tiles)

    def log_step(self, learning_rate: float | None) -> None:
        """Add a point to each training curve, every tenth step."""
        step, loss = self._state.step, self._state.loss
        if loss is None or learning_rate is None or step % _LOG_INTERVAL != 1 or step == self._last_step:
            return
        self._last_step = step
        values = {"loss": loss, "rate": learning_rate, "dice": self._state.training_dice}
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"training/{name}", value, step)

    def log_validation(self, event: Validated, samples: UInt8Array) -> None:
        """Add the scores of a validation, the kernels, and the image of validation samples."""
        self._writer.add_scalar("held-out/mean_dice", event.mean_dice, event.step)
        for name, dice in event.dice.items():
            self._writer.add_scalar(f"held-out/dice/{name}", dice, event.step)
        for name, layer in self._layers.items():
            self._writer.add_image(f"kernels/{name}", kernel_grid(layer), event.step, dataformats="HW")
        self._writer.add_image("held-out/examples", samples, event.step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the files."""
        self._writer.close()

    @torch.no_grad()
    def _write_graph(self, tiles: tuple[Tensor, ...]) -> None:
        """Write the graph of the network.  It has run on the same tiles before, so only tracing can fail here."""
        with warnings.catch_warnings():  # about constants in the trace, which is only drawn
            warnings.simplefilter("ignore")
            try:
                # Traced here because add_graph compares two traces, and those of some encoders differ
                # in the numbering of their constants.
                traced = torch.jit.trace(self._state.ema_model, tiles, check_trace=False)  # type: ignore[no-untyped-call]
                self._writer.add_graph(traced, tiles)
            except _TRACE_ERRORS as error:
                _logger.warning("TensorBoard shows no graph of this network: %s", error)


@torch.no_grad()
def visualized_layers(network: Network, tiles: tuple[Tensor, ...]) -> dict[str, nn.Module]:
    """Return the first convolution of the encoder and the first and last of the decoder, by name.

    Order is that of the forward pass; convolutions with kernels of one pixel are left out.
    """
    order: dict[nn.Module, None] = {}
    names = {module: name for name, module in network.named_modules()}
    hooks = [module.register_forward_hook(lambda called, *_: order.setdefault(called)) for module in names]
    try:
        network(*tiles)
    finally:
        for hook in hooks:
            hook.remove()
    encoder = set(network.encoder.modules())
    spatial = [module for module in order if _is_spatial(module)]
    inside = [module for module in spatial if module in encoder]
    outside = [module for module in spatial if module not in encoder]
    return {names[module]: module for module in (*inside[:1], *outside[:1], *outside[-1:])}


def kernel_grid(layer: nn.Module) -> UInt8Array:
    """Return an image of a convolution's kernels: a row for each filter, a column for each input.

    It shows the first 16 of each.  Middle grey is zero; the largest absolute weight is black or white.
    """
    assert isinstance(layer.weight, Tensor)
    weights = layer.weight.detach().float().cpu()
    if isinstance(layer, nn.ConvTranspose2d):
        weights = weights.transpose(0, 1)
    kernels = weights[:_MAX_KERNELS, :_MAX_KERNELS].numpy()
    largest = float(np.abs(kernels).max()) or 1.0
    grey = (127.5 + 127.5 * kernels / largest).astype(np.uint8)
    scale = max(1, _KERNEL_SIDE // max(grey.shape[2:]))
    squares = np.pad(grey.repeat(scale, axis=2).repeat(scale, axis=3), ((0, 0), (0, 0), (0, 1), (0, 1)))
    filters, inputs, rows, columns = squares.shape
    grid: UInt8Array = squares.transpose(0, 2, 1, 3).reshape(filters * rows, inputs * columns)
    return grid


def log_trial(folder: Path, name: str, settings: Mapping[str, Any], mean_dice: float) -> None:
    """Add a trial of a hyperparameter search to TensorBoard's hyperparameter table."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:
        writer.add_hparams(dict(settings), {"mean_dice": mean_dice}, run_name=name)


def _is_spatial(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and max(module.kernel_size) > 1


class ValidationSamples:
    """Four validation patches as an image: slide, ground truth, prediction.

    The patches stay the same; those that show several classes are preferred.
    """

    def __init__(self, validator: Validator, classes: ClassTable) -> None:
        self._colors = np.array([(0, 0, 0), *(spec.rgb for spec in classes)], np.float32)
        self._patches = _choose_patches(validator.tiles)

    def draw(self, network: Network, device: Device) -> UInt8Array:
        """Return an RGB image with a row for each patch."""
        rows = []
        for slide, region in self._patches:
            image = self._image(slide, region)
            predicted = most_likely_classes(predict_region(network, device, slide, region))
            columns = [image, self._overlay(image, slide.labels(region)), self._overlay(image, predicted)]
            rows.append(np.concatenate([_pad(column) for column in columns], axis=1))
        return np.concatenate(rows)

    def write(self, path: Path, network: Network, device: Device) -> UInt8Array:
        """Write the image as a PNG, and return it."""
        image = self.draw(network, device)
        with replace_file(path) as partial:
            Image.fromarray(image).save(partial, "PNG")
        return image

    @staticmethod
    def _image(slide: SlidePatchSource, region: Region) -> UInt8Array:
        pixels = slide.pixels(slide.on_working_grid(region))
        return np.asarray(Image.fromarray(pixels).resize((region.width, region.height), Image.Resampling.BILINEAR))

    def _overlay(self, image: UInt8Array, labels: UInt8Array) -> UInt8Array:
        opacity = np.where(labels > BACKGROUND, np.float32(_OPACITY), np.float32(0))[..., None]
        tinted: UInt8Array = (image * (1 - opacity) + self._colors[labels] * opacity).astype(np.uint8)
        return tinted


def _choose_patches(tiles: list[tuple[SlidePatchSource, Region]]) -> list[tuple[SlidePatchSource, Region]]:
    """Return the patches with most pixels outside their commonest class, one of each slide before a second."""
    patches = [(slide, box) for slide, tile in tiles for box in layout(tile, _SIDE)]
    ranked = sorted(patches, key=lambda patch: -_minority_pixels(patch[0].labels(patch[1])))
    first = {slide.entry.id: (slide, box) for slide, box in reversed(ranked)}
    leading = [patch for patch in ranked if first[patch[0].entry.id] == patch]
    return [*leading, *(patch for patch in ranked if patch not in leading)][:_SAMPLES]


def _minority_pixels(labels: UInt8Array) -> int:
    """Return the number of labelled pixels outside the commonest class."""
    counts = np.sort(np.bincount(labels[labels > 0]))
    return int(counts[:-1].sum())


def _pad(image: UInt8Array) -> UInt8Array:
    canvas = np.full((_SIDE + _GAP, _SIDE + _GAP, 3), 40, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
