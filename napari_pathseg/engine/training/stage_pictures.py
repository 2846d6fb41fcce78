"""Pictures of a network's stages: the kernels of their first convolutions, and the outputs of the decoder.

A stage is what a network computes at one resolution, in the encoder or in the decoder.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_pathseg.engine.networks import Network
from napari_pathseg.geometry.arrays import UInt8Array

_MAX_KERNELS = 16  # filters shown, and inputs of each
_KERNEL_SIDE = 12  # approximate side of a kernel in the picture, in pixels
_CHANNELS, _COLUMNS = 16, 4  # channels shown of an output, and how many side by side
_CHANNEL_SIDE = 96  # least side of a channel in the picture, in pixels


def stage_kernels(network: Network, tiles: tuple[Tensor, ...]) -> dict[str, nn.Module]:
    """Return the first convolution of each stage, and the last one of the network, by name.

    Order is that of the forward pass; convolutions with kernels of one pixel are left out.
    """
    encoder, names = set(network.encoder.modules()), _names(network)
    first: dict[tuple[bool, int], nn.Module] = {}
    last: nn.Module | None = None
    for module, rows in _trace(network, tiles):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and max(module.kernel_size) > 1:
            first.setdefault((module in encoder, rows), module)
            last = module
    chosen = [*first.values(), *([] if last is None else [last])]
    return {names[module]: module for module in chosen}


def decoder_stages(network: Network, tiles: tuple[Tensor, ...]) -> dict[str, nn.Module]:
    """Return the last layer of each stage of the decoder, by name, coarse to fine as in the forward pass.

    Where the decoder only passes features on, by dropout for instance, there is no stage.
    """
    encoder, names = set(network.encoder.modules()), _names(network)
    called = [(module, rows) for module, rows in _trace(network, tiles) if module not in encoder]
    computed = {rows for module, rows in called if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)}
    last = {rows: module for module, rows in called if rows in computed}
    return {names[module]: module for module in last.values()}


@torch.no_grad()
def stage_outputs(network: Network, stages: dict[str, nn.Module], tiles: tuple[Tensor, ...]) -> dict[str, UInt8Array]:
    """Return a picture of each stage's output for the first of some tiles; see `channel_grid`."""
    names = {module: name for name, module in stages.items()}
    pictures: dict[str, UInt8Array] = {}

    def draw(module: nn.Module, output: Tensor) -> None:
        pictures[names[module]] = channel_grid(output[0])  # at once: a later layer may change it in place

    with _hooked(stages.values(), draw):
        network(*tiles)
    return pictures


def channel_grid(features: Tensor) -> UInt8Array:
    """Return the first 16 channels of features, shape (channels, rows, columns), as one grey picture.

    Four lie side by side, each from black, its least value, to white, its largest; a constant one is black.
    """
    values = features[:_CHANNELS].detach().float().cpu()
    low, high = values.amin(dim=(1, 2), keepdim=True), values.amax(dim=(1, 2), keepdim=True)
    grey = ((values - low) / (high - low).clamp(min=1e-12) * 255).to(torch.uint8).numpy()
    scale = max(1, -(-_CHANNEL_SIDE // max(grey.shape[1:])))
    squares = np.pad(grey.repeat(scale, axis=1).repeat(scale, axis=2), ((0, 0), (0, 1), (0, 1)))
    columns = min(_COLUMNS, len(squares))
    filled = np.concatenate([squares, np.zeros((-len(squares) % columns, *squares.shape[1:]), np.uint8)])
    number, rows, width = filled.shape
    grid: UInt8Array = (
        filled.reshape(number // columns, columns, rows, width)
        .transpose(0, 2, 1, 3)
        .reshape(number // columns * rows, columns * width)
    )
    return grid


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


@torch.no_grad()
def _trace(network: Network, tiles: tuple[Tensor, ...]) -> list[tuple[nn.Module, int]]:
    """Return the layers that a forward pass calls and that give planes, in order, with the rows of their outputs."""
    called: list[tuple[nn.Module, int]] = []
    leaves = [module for module in network.modules() if not any(module.children())]

    def note(module: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            called.append((module, output.shape[-2]))

    with _hooked(leaves, note):
        network(*tiles)
    return called


@contextmanager
def _hooked(modules: Iterable[nn.Module], on_output: Callable[[nn.Module, Any], None]) -> Iterator[None]:
    """Call `on_output` with each module and its output in forward passes inside the block."""
    hooks = [module.register_forward_hook(lambda called, _, output: on_output(called, output)) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _names(network: Network) -> dict[nn.Module, str]:
    return {module: name for name, module in network.named_modules()}
