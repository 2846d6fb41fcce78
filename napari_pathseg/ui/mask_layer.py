"""The mask as an ordinary napari labels layer: what is painted goes through to the disk.

napari reads and writes the layer's data as an array; this array hands every write to
`data.mask`, so brush, eraser, fill, polygon and undo all end there.  The model's pixels
that nobody reviewed are shown lighter; that alone leans on napari's private API, and falls
back to plain colours where it changed.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_pathseg.data.classes import ClassTable
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import Mask, Provenance
from napari_pathseg.data.mask.edits import paint

_UNREVIEWED = 128  # added to a class on screen where only a model found it
_LIGHTER = 0.45  # opacity of unreviewed pixels relative to a person's


class MaskArray:
    """A mask as an array that napari can read and paint."""

    ndim = 2
    dtype = np.dtype(np.uint8)

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.shape = mask.shape
        self.labels, self.provenance = mask.read(Region(0, 0, *mask.shape))

    @property
    def size(self) -> int:
        """The number of pixels."""
        return self.labels.size

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.labels, dtype=dtype) if copy else np.asarray(self.labels, dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        return self.labels[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take what was painted as a person's."""
        region = _region_of(key, self.shape)
        painted = self.labels[region.slices].copy()
        painted[_within(key, region)] = value
        try:
            paint(self.mask, region, painted)
        finally:
            self.load(region)  # the mask decides what became of the strokes

    def load(self, region: Region) -> None:
        """Read a box anew from the mask."""
        self.labels[region.slices], self.provenance[region.slices] = self.mask.read(region)


def _region_of(key: Any, shape: tuple[int, int]) -> Region:
    """Return the smallest box around an index of slices, whole numbers or arrays of them."""
    if not isinstance(key, tuple):
        key = (key, slice(None))
    starts, sizes = [], []
    for part, length in zip(key, shape, strict=True):
        if isinstance(part, slice):
            start, stop, _ = part.indices(length)
        else:
            numbers = np.atleast_1d(np.asarray(part))
            start, stop = int(numbers.min()), int(numbers.max()) + 1
        starts.append(start)
        sizes.append(stop - start)
    return Region(*starts, *sizes)


def _within(key: Any, region: Region) -> Any:
    """Return an index of the whole mask as one of `region`."""
    if not isinstance(key, tuple):
        key = (key, slice(None))
    origin = (region.top, region.left)
    return tuple(
        slice(None) if isinstance(part, slice) else np.asarray(part) - first
        for part, first in zip(key, origin, strict=True)
    )


class MaskLabels(Labels):  # type: ignore[misc]
    """A labels layer on a mask; `undo` and `redo` are the mask's, so they know imports and predictions too."""

    def __init__(self, mask: Mask, classes: ClassTable, **settings: Any) -> None:
        super().__init__(MaskArray(mask), multiscale=False, **settings)
        self.events.paint.connect(self._end_stroke)
        self.show_classes(classes)

    @property
    def _type_string(self) -> str:
        return "labels"

    @property
    def mask(self) -> Mask:
        """The mask that is shown."""
        mask: Mask = self.data.mask
        return mask

    def show_mask(self, mask: Mask) -> None:
        """Show another mask."""
        self.data = MaskArray(mask)
        self._reset_history()

    def show_classes(self, classes: ClassTable) -> None:
        """Take names and colours from the project."""
        colors: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}
        for spec in classes:
            red, green, blue = (part / 255 for part in spec.rgb)
            colors[spec.index] = (red, green, blue, 1)
            colors[spec.index + _UNREVIEWED] = (red, green, blue, _LIGHTER)
        self.colormap = DirectLabelColormap(color_dict=colors)
        self.features = {
            "index": [0, *(spec.index for spec in classes)],
            "class": ["unlabelled", *classes.names],
        }

    def undo(self) -> None:
        """Take the last step back, whoever made it."""
        self._step(self.mask.undo())

    def redo(self) -> None:
        """Do the step again that was taken back last."""
        self._step(self.mask.redo())

    def _step(self, changed: Region) -> None:
        self.show(changed)
        self.events.paint(value=[])  # who counts pixels counts them anew

    def show(self, region: Region) -> None:
        """Bring a box of the mask that was changed elsewhere to the screen."""
        if region.empty:
            return
        self.data.load(region)
        self._draw_box(region)
        self._partial_labels_refresh()

    def _draw_box(self, region: Region) -> None:
        box = region.slices
        if self._slice.image.view.shape != self.data.shape:
            self.refresh()
            return
        self._slice.image.raw[box] = self.data.labels[box]
        if self.contour == 0:
            self._slice.image.view[box] = self._raw_to_displayed(self._slice.image.raw, box)
        self._accumulate_updated_slice(box)

    def _refresh_caches_from_region(self, region_data: Any, slice_key: Any, mask: Any, new_label: int) -> None:
        self._draw_box(_region_of(slice_key, self.data.shape))
        if not getattr(self, "_block_history", False):
            self.mask.close_step()  # a fill or a polygon, no stroke of many stamps

    def _raw_to_displayed(self, raw: Any, data_slice: Any = None) -> Any:
        displayed = super()._raw_to_displayed(raw, data_slice)
        provenance = self.data.provenance
        if np.shape(raw) != provenance.shape or displayed.dtype != np.uint8:
            return displayed
        part = provenance if data_slice is None else provenance[data_slice]
        unreviewed = (part == Provenance.MODEL) & (displayed > 0)
        return displayed + unreviewed.astype(np.uint8) * np.uint8(_UNREVIEWED)

    def _end_stroke(self) -> None:
        self.mask.close_step()
