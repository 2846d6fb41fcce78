"""Write images and curves of a run: validation samples as a PNG, and a TensorBoard log.

TensorBoard is an optional package; `check_tensorboard` looks for it before a run starts.
"""

import importlib.util
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.dataset.tiles import grow
from napari_pathseg.engine.evaluation.validation import ScoredTile, Validator
from napari_pathseg.engine.events import Validated
from napari_pathseg.engine.inference.region_predictor import RegionPredictor, as_tensor
from napari_pathseg.engine.training.stage_pictures import decoder_stages, kernel_grid, stage_kernels, stage_outputs
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.atomic import replace_file

_logger = logging.getLogger(__name__)
_LOG_INTERVAL = 10  # steps between points of the training curves
_TRACED_SIDE = 64  # side in pixels of the tile used to trace the network
_TRACE_ERRORS = (RuntimeError, TypeError, ValueError)
_SAMPLES, _SIDE, _GAP = 4, 192, 4  # number of patches, their side and the gap between them in pixels
_OPACITY = 0.45  # of a class colour over the image


def check_tensorboard(config: TrainConfig) -> None:
    """Check that the package tensorboard is installed if the settings need it.

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
    """Writes the TensorBoard files of a run; a resumed run continues in the same folder.

    Parameters
    ----------
    folder
        The folder for the files.
    state
        The network in training; its step is the x axis of all curves.
    resumed
        Whether the run continues from a checkpoint; points after the checkpoint are then hidden.
    """

    def __init__(self, folder: Path, state: TrainState, *, resumed: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        is_new = not folder.exists()
        self._state = state
        self._last_step = -1
        self._writer: Any = SummaryWriter(folder, purge_step=state.step + 1 if resumed else 0)
        sample = state.device.send(torch.zeros(1, 3, _TRACED_SIDE, _TRACED_SIDE, dtype=torch.uint8))
        tiles = (sample,) if state.network.surroundings is None else (sample, sample)
        self._kernels, self._decoder = stage_kernels(state.ema_model, tiles), decoder_stages(state.ema_model, tiles)
        if is_new:
            self._write_graph(tiles)

    def log_step(self, learning_rate: float | None) -> None:
        """Add a point to each training curve, every tenth step."""
        step, loss = self._state.step, self._state.loss
        if loss is None or learning_rate is None or step % _LOG_INTERVAL != 1 or step == self._last_step:
            return
        self._last_step = step
        values = {"loss": loss, "rate": learning_rate, "dice": self._state.training_dice}
        values["accuracy"] = self._state.training_accuracy
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"training/{name}", value, step)

    def log_validation(self, event: Validated, samples: UInt8Array, tiles: tuple[Tensor, ...]) -> None:
        """Add the scores of a validation, the image of validation samples, kernels, and decoder outputs for a tile."""
        values = {"mean_dice": event.mean_dice, "accuracy": event.accuracy, "loss": event.validation_loss}
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"held-out/{name}", value, event.step)
        for name, dice in event.dice.items():
            if dice is not None:
                self._writer.add_scalar(f"held-out/dice/{name}", dice, event.step)
        for name, layer in self._kernels.items():
            self._writer.add_image(f"kernels/{name}", kernel_grid(layer), event.step, dataformats="HW")
        with self._state.device.autocast():
            pictures = stage_outputs(self._state.ema_model, self._decoder, tiles)
        for name, picture in pictures.items():
            self._writer.add_image(f"decoder/{name}", picture, event.step, dataformats="HW")
        self._writer.add_image("held-out/examples", samples, event.step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the files."""
        self._writer.close()

    @torch.no_grad()
    def _write_graph(self, tiles: tuple[Tensor, ...]) -> None:
        """Write the graph of the network.  The network has run on the same tiles, so only tracing can fail here."""
        with warnings.catch_warnings():  # about constants, which do not matter for drawing a graph
            warnings.simplefilter("ignore")
            try:
                # Trace here, because add_graph compares two traces, and those of some encoders number
                # their constants differently.
                traced = torch.jit.trace(self._state.ema_model, tiles, check_trace=False)  # type: ignore[no-untyped-call]
                self._writer.add_graph(traced, tiles)
            except _TRACE_ERRORS as error:
                _logger.warning("TensorBoard shows no graph of this network: %s", error)


def log_trial(folder: Path, name: str, settings: Mapping[str, Any], mean_dice: float) -> None:
    """Add a trial of a hyperparameter search to TensorBoard's hyperparameter table."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:
        writer.add_hparams(dict(settings), {"mean_dice": mean_dice}, run_name=name)


class ValidationSamples:
    """Four validation patches as an image: slide, ground truth, prediction.

    The same patches are shown each time; patches with several classes are preferred.
    """

    def __init__(self, validator: Validator, classes: ClassTable) -> None:
        self._colors = np.array(classes.colors, np.float32)
        self._patches = _choose_patches(validator.sample)
        self._found: dict[int, UInt8Array] = {}  # by patch: its classes, if a validation has just found them

    def add(self, tile: ScoredTile) -> None:
        """Keep what a validation found in the patches of a tile for the next image, which then costs no prediction."""
        for number, (slide, box) in enumerate(self._patches):
            if slide is tile.slide and tile.region.intersect(box) == box:
                self._found[number] = tile.classes[box.shift(-tile.region.top, -tile.region.left).slices]

    def draw(self, predictor: RegionPredictor) -> UInt8Array:
        """Return an RGB image with one row per patch; those that no validation has found are predicted."""
        rows, found, self._found = [], self._found, {}
        for number, (slide, region) in enumerate(self._patches):
            image, truth = self._image(slide, region), slide.labels(region)
            predicted = found[number] if number in found else predictor.classes(slide, region)
            columns = [image, self._overlay(image, truth), self._overlay(image, predicted)]
            rows.append(np.concatenate([_pad(column) for column in columns], axis=1))
        return np.concatenate(rows)

    def tile(self, predictor: RegionPredictor) -> tuple[Tensor, ...]:
        """Return the first patch as the network takes it: its pixels, and its context where there is one."""
        (slide, region), network = self._patches[0], predictor.network
        box = grow(slide.on_working_grid(region), 0, network.multiple)
        views = (slide.pixels,) if network.surroundings is None else (slide.pixels, slide.context)
        return tuple(predictor.device.send(as_tensor(view(box)[None])) for view in views)

    def write(self, path: Path, predictor: RegionPredictor) -> UInt8Array:
        """Write the image as a PNG, and return it."""
        image = self.draw(predictor)
        with replace_file(path) as partial:
            Image.fromarray(image).save(partial, "PNG", compress_level=1)  # 6 takes as long as a training step
        return image

    @staticmethod
    def _image(slide: SlidePatchSource, region: Region) -> UInt8Array:
        pixels = slide.pixels(slide.on_working_grid(region))
        return np.asarray(Image.fromarray(pixels).resize((region.width, region.height), Image.Resampling.BILINEAR))

    def _overlay(self, image: UInt8Array, labels: UInt8Array) -> UInt8Array:
        opacity = np.where(labels > BACKGROUND, np.float32(_OPACITY), np.float32(0))[..., None]
        tinted: UInt8Array = (image * (1 - opacity) + self._colors[labels] * opacity).astype(np.uint8)
        return tinted


def _choose_patches(tiles: Sequence[tuple[SlidePatchSource, Region]]) -> list[tuple[SlidePatchSource, Region]]:
    """Return the patches with most pixels outside their commonest class, preferring different slides."""
    patches = [(slide, box) for slide, tile in tiles for box in layout(tile, _SIDE)]
    ranked = sorted(patches, key=lambda patch: -_minority_pixels(patch[0].labels(patch[1])))
    first = {slide.record.id: (slide, box) for slide, box in reversed(ranked)}
    leading = [patch for patch in ranked if first[patch[0].record.id] == patch]
    return [*leading, *(patch for patch in ranked if patch not in leading)][:_SAMPLES]


def _minority_pixels(labels: UInt8Array) -> int:
    """Return the number of labelled pixels outside the commonest class."""
    counts = np.sort(np.bincount(labels[labels > 0]))
    return int(counts[:-1].sum())


def _pad(image: UInt8Array) -> UInt8Array:
    canvas = np.full((_SIDE + _GAP, _SIDE + _GAP, 3), 40, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
