"""What TensorBoard shows of a run: curves, the graph, kernels and example patches.

TensorBoard is a package that not everyone has; it is asked for before a run starts.
"""

import importlib.util
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Validated
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry.arrays import UInt8Array

_logger = logging.getLogger(__name__)
_EVERY = 10  # steps between two points of the training's curves
_SAMPLE = 64  # pixels of the tile on which the network is traced
_MOST = 16  # filters and inputs whose kernels are shown
_KERNEL = 12  # pixels of a shown kernel, about
_UNTRACEABLE = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)


def check_tensorboard(config: TrainConfig) -> None:
    """Refuse to write for TensorBoard where it is not installed.

    Raises
    ------
    ConfigError
        If `config` wants it and the package is missing.
    """
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "tensorboard is on, but the package tensorboard is not installed. "
            'Install it with: pip install "napari-pathseg[tensorboard]", or leave the setting off.'
        )


class TensorBoardLogger:
    """Writes a run's files for TensorBoard; a resumed run goes on in the same folder.

    Parameters
    ----------
    folder
        Where the files go.
    state
        What learns; its step numbers the points.
    resumed
        Whether the run goes on from a checkpoint: points after that do not count any more.
    """

    def __init__(self, folder: Path, state: TrainState, *, resumed: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        begun = folder.exists()
        self._state = state
        self._last_step = -1
        self._writer: Any = SummaryWriter(folder, purge_step=state.step + 1 if resumed else 0)
        sample = state.device.send(torch.zeros(1, 3, _SAMPLE, _SAMPLE, dtype=torch.uint8))
        tiles = (sample,) if state.network.surroundings is None else (sample, sample)
        self._layers = visualized_layers(state.ema_model, tiles)
        if not begun:
            self._write_graph(tiles)

    def log_step(self, rate: float | None) -> None:
        """Add points to the training's curves, at every tenth step."""
        step, loss = self._state.step, self._state.loss
        if loss is None or rate is None or step % _EVERY != 1 or step == self._last_step:
            return
        self._last_step = step
        values = {"loss": loss, "rate": rate, "dice": self._state.training_dice}
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"training/{name}", value, step)

    def validated(self, event: Validated, examples: UInt8Array) -> None:
        """Add the scores of a validation, the kernels, and the picture of example patches."""
        self._writer.add_scalar("held-out/mean_dice", event.mean_dice, event.step)
        for name, dice in event.dice.items():
            self._writer.add_scalar(f"held-out/dice/{name}", dice, event.step)
        for name, layer in self._layers.items():
            self._writer.add_image(f"kernels/{name}", kernel_grid(layer), event.step, dataformats="HW")
        self._writer.add_image("held-out/examples", examples, event.step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    @torch.no_grad()
    def _write_graph(self, tiles: tuple[Tensor, ...]) -> None:
        try:
            with warnings.catch_warnings():  # a network's graph is drawn, not kept: what it says of that is no matter
                warnings.simplefilter("ignore")
                # Traced here, since add_graph compares two traces, and those of some encoders
                # differ in the numbers of their constants alone.
                traced = torch.jit.trace(self._state.ema_model, tiles, check_trace=False)  # type: ignore[no-untyped-call]
                self._writer.add_graph(traced, tiles)
        except _UNTRACEABLE as error:
            _logger.warning("TensorBoard shows no graph of this network: %s", error)


@torch.no_grad()
def visualized_layers(network: Network, tiles: tuple[Tensor, ...]) -> dict[str, nn.Module]:
    """Return by name the first convolution of the encoder, and the first and the last of the decoder.

    Those with kernels of more than a pixel, in the order in which they compute.
    """
    order: dict[nn.Module, None] = {}
    names = {module: name for name, module in network.named_modules()}
    hooks = [module.register_forward_hook(lambda made, *_: order.setdefault(made)) for module in names]
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
    """Return a convolution's kernels as grey squares: a row for each filter, a column for each input.

    The first 16 of each are shown.  Middle grey is zero; black or white is the largest weight.
    """
    assert isinstance(layer.weight, Tensor)
    weights = layer.weight.detach().float().cpu()
    if isinstance(layer, nn.ConvTranspose2d):
        weights = weights.transpose(0, 1)
    kernels = weights[:_MOST, :_MOST].numpy()
    largest = float(np.abs(kernels).max()) or 1.0
    grey = (127.5 + 127.5 * kernels / largest).astype(np.uint8)
    scale = max(1, _KERNEL // max(grey.shape[2:]))
    squares = np.pad(grey.repeat(scale, axis=2).repeat(scale, axis=3), ((0, 0), (0, 0), (0, 1), (0, 1)))
    filters, inputs, rows, columns = squares.shape
    grid: UInt8Array = squares.transpose(0, 2, 1, 3).reshape(filters * rows, inputs * columns)
    return grid


def log_trial(folder: Path, name: str, settings: Mapping[str, Any], mean_dice: float) -> None:
    """Add a trial of a tuning to TensorBoard's table of hyperparameters."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:
        writer.add_hparams(dict(settings), {"mean_dice": mean_dice}, run_name=name)


def _is_spatial(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and max(module.kernel_size) > 1
