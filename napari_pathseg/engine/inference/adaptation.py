"""Adaptation of a network to a slide's scanner: its batch norms get the statistics of the slide's own tissue.

A batch norm subtracts the mean and divides by the deviation of what the network was trained on.  On a slide of another
stain or scanner these are others; measured there, they undo much of the difference [1]_.  Of few tiles they are
uncertain, so they are mixed with those that were trained.  No weight is changed.

References
----------
.. [1] Schneider et al., Improving robustness against common corruptions by covariate shift adaptation, NeurIPS 2020.
"""

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.dataset.spread_tiles import spread_tiles
from napari_pathseg.engine.dataset.tiles import grow
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.region_predictor import as_tensor
from napari_pathseg.engine.networks import Network
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project

_TILES, _SIDE, _BATCH = 32, 256, 8  # that are measured, and at once; working pixels along a side
_TRAINED_TILES = 2.0  # the weight of the trained statistics, as that of so many tiles
_KEPT = 16  # slides whose statistics stay in memory


class _Statistics(NamedTuple):
    means: list[Tensor]
    variances: list[Tensor]


class ScannerAdapter:
    """Gives the batch norms of a network the statistics of one slide after another.

    Parameters
    ----------
    network
        In eval mode.  Whatever shares its modules is adapted with it.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._norms = [
            part for part in network.modules() if isinstance(part, nn.BatchNorm2d) and part.track_running_stats
        ]
        self._trained = self._present()
        self._slides: OrderedDict[tuple[object, ...], _Statistics] = OrderedDict()

    @property
    def has_batch_norm(self) -> bool:
        """Whether there is anything to adapt."""
        return bool(self._norms)

    def adapt_to(self, project: Project, slide: SlidePatchSource, device: Device) -> None:
        """Adapt the network, on its `device`, to a slide; the same slide gives the same statistics each time.

        Raises
        ------
        UnsupportedSlideError
            If the pixels of the slide cannot be decoded.
        """
        record = slide.record
        key = record.fingerprint, record.page, slide.factor * record.downsample, slide.stain_norm, device
        if self._norms and key not in self._slides:
            self._slides[key] = self._measure(project, slide, device)
            while len(self._slides) > _KEPT:
                self._slides.popitem(last=False)
        self._use(self._slides.get(key, self._trained))

    def restore(self) -> None:
        """Give the network the statistics that were trained."""
        self._use(self._trained)

    @torch.no_grad()
    def _measure(self, project: Project, slide: SlidePatchSource, device: Device) -> _Statistics:
        multiple = self._network.multiple
        boxes = [grow(box, 0, multiple) for box in spread_tiles(project, slide, _TILES, _SIDE)]
        batches = _batches_of_one_shape(boxes)
        total = _Statistics(*([torch.zeros_like(each) for each in of_all] for of_all in self._present()))
        tiles = 0.0
        for batch in batches:
            found, weight = (
                self._of_batch(slide, device, batch),
                sum(box.height * box.width for box in batch) / _SIDE**2,
            )
            tiles += weight
            for sums, values in zip(total, found, strict=True):
                for each, value in zip(sums, values, strict=True):
                    each += weight * value
        share = 1 / (tiles + _TRAINED_TILES)
        return _Statistics(
            *(
                [share * (each + _TRAINED_TILES * before.to(each)) for each, before in zip(sums, trained, strict=True)]
                for sums, trained in zip(total, self._trained, strict=True)
            )
        )

    def _of_batch(self, slide: SlidePatchSource, device: Device, boxes: list[Region]) -> _Statistics:
        """Return the statistics of the inputs of the batch norms, each normalised by its own as in training."""
        for norm in self._norms:
            norm.train()
            norm.momentum = None  # so that one batch gives its own statistics
            norm.get_buffer("num_batches_tracked").zero_()
        try:
            pixels = torch.cat([as_tensor(slide.pixels(box)[None]) for box in boxes])
            with device.autocast():
                self._network(device.send(pixels))
            return self._present()
        finally:
            for norm in self._norms:
                norm.eval()

    @property
    def _buffers(self) -> _Statistics:
        """The present ones: moving a network to a device may replace them."""
        return _Statistics(
            *([norm.get_buffer(name) for norm in self._norms] for name in ("running_mean", "running_var"))
        )

    def _present(self) -> _Statistics:
        return _Statistics(*([each.clone() for each in of_all] for of_all in self._buffers))

    @torch.no_grad()
    def _use(self, statistics: _Statistics) -> None:
        for buffers, values in zip(self._buffers, statistics, strict=True):
            for buffer, value in zip(buffers, values, strict=True):
                buffer.copy_(value)


def _batches_of_one_shape(boxes: list[Region]) -> list[list[Region]]:
    """Return boxes in batches of one shape, each spread over the slide."""
    shapes: dict[tuple[int, int], list[Region]] = {}
    for box in boxes:
        shapes.setdefault((box.height, box.width), []).append(box)
    batches = []
    for same in shapes.values():
        count = -(-len(same) // _BATCH)
        batches += [same[first::count] for first in range(count)]
    return batches
