"""The mask as a plain labels layer: the fallback for versions of napari with unknown internals.

It uses napari's public API alone: one array in memory, as fine as a graphics card can hold.
Unreviewed model pixels look like all others, and every change redraws the whole layer.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_pathseg.classes import ClassTable
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.edits import paint
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked
from napari_pathseg.masks.shapes import Shape
from napari_pathseg.ui.layers.class_labels import ClassLabels
from napari_pathseg.ui.layers.mask_data import bounding_region, relative_index

LARGEST_SIDE = 16_384  # of one texture on a graphics card


class MaskArray:
    """A mask as an array that napari can read and paint, `downsample` times coarser than the mask.

    Attributes
    ----------
    locked
        Classes whose pixels are not changed.
    differs
        Set once the mask differs from what napari painted and shows; reset by the layer when it redraws.
    """

    ndim = 2
    dtype = np.dtype(np.uint8)
    locked: Locked = NONE_LOCKED
    differs = False

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.level = next(n for n, shape in enumerate(mask.shapes) if max(shape) <= LARGEST_SIDE)
        self.downsample = 2**self.level
        self.shape = mask.shapes[self.level]
        self.labels: UInt8Array = mask.preview(Region(0, 0, *self.shape), self.level)[0]

    @property
    def size(self) -> int:
        """The number of pixels."""
        return int(self.labels.size)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.labels, dtype=dtype) if copy else np.asarray(self.labels, dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        return np.array(self.labels[key])  # a copy: napari changes what it reads before it writes it

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write painted pixels with human provenance."""
        region = bounding_region(key, self.shape)
        before = self.labels[region.slices]
        after = before.copy()
        after[relative_index(key, region)] = value
        step = self.downsample
        fine = region.finer(step).clip(self.mask.shape)
        try:
            spread = (slice(0, fine.height), slice(0, fine.width))
            wanted = after.repeat(step, axis=0).repeat(step, axis=1)[spread]
            changed = (before != after).repeat(step, axis=0).repeat(step, axis=1)[spread].astype(bool)
            paint(self.mask, fine, np.where(changed, wanted, self.mask.read(fine)[0]), changed, self.locked)
        finally:
            self.load(fine)  # locked classes may have kept their pixels
            self.differs |= not np.array_equal(self.labels[region.slices], after)

    def load(self, region: Region) -> None:
        """Reload a region of the mask."""
        box = region.coarser(self.downsample).clip(self.shape)
        self.labels[box.slices] = self.mask.preview(box, self.level)[0]


class PlainMaskLayer(ClassLabels):
    """The counterpart of `mask_layer.MaskLayer` on a single array."""

    pending_changed = Signal()
    limit: Callable[[Shape, int], Shape | None] | None = None  # not used: napari paints here
    _open_blocks = 0  # nested blocks that form one undo step
    _painting = _notified = False  # whether napari is painting, and whether it has emitted its event

    def __init__(self, mask: Mask, classes: ClassTable, **settings: Any) -> None:
        super().__init__(MaskArray(mask), **settings)
        self.events.paint.connect(self._on_paint)
        self.set_classes(classes)

    @property
    def mask(self) -> Mask:
        """The mask of the layer."""
        mask: Mask = self.data.mask
        return mask

    @property
    def visible_region(self) -> Region:
        """The region of the mask on screen: all of it, because napari's public API does not expose it."""
        return Region(0, 0, *self.mask.shape)

    def set_mask(self, mask: Mask) -> None:
        """Show another mask."""
        self.data = MaskArray(mask)
        self.data.locked = self.locked_classes

    # -- painting

    @contextlib.contextmanager
    def block_history(self) -> Iterator[None]:
        """Combine everything painted within the block into one undo step."""
        self._open_blocks += 1
        try:
            with super().block_history():
                yield
        finally:
            self._open_blocks -= 1
            self._end_step()

    def stroke(self, shape: Shape, label: int, only: int | None = None) -> None:
        """Paint a shape; with `only`, replace only pixels of that label."""
        region = shape.box.clip(self.mask.shape)
        found, (labels, _) = shape.flags(region), self.mask.read(region)
        if found is None:
            return
        flags: BoolArray = found if only is None else found & (labels == only)
        self.show(paint(self.mask, region, np.where(flags, np.uint8(label), labels), flags, self.locked_classes))
        self._end_step()

    def preview_stroke(self, shape: Shape, label: int) -> None:
        """Show nothing before it is painted, because every redraw here is a full one."""

    def drop_preview(self, region: Region) -> None:
        """Do nothing; see `preview_stroke`."""

    def paint(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        """Paint with the brush at one point."""
        with self._let_napari_paint():
            super().paint(coord, new_label, refresh)

    def fill(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        """Flood-fill the area of one label around a point."""
        with self._let_napari_paint():
            super().fill(coord, new_label, refresh)

    def paint_polygon(self, points: Any, new_label: int) -> None:
        """Fill a polygon."""
        with self._let_napari_paint():
            super().paint_polygon(points, new_label)

    def data_setitem(self, indices: Any, value: Any, refresh: bool = True) -> None:
        """Set single pixels."""
        with self._let_napari_paint():
            super().data_setitem(indices, value, refresh)

    def undo(self) -> None:
        """Undo the last step, also an import or a prediction."""
        self.show(self.mask.undo())

    def redo(self) -> None:
        """Redo the last undone step."""
        self.show(self.mask.redo())

    def apply_pending(self) -> None:
        """Apply all pending operations at once, because every redraw here is a full one."""
        while self.mask.has_pending:
            self.process_pending(1.0)
        self.events.paint(value=[])

    def show(self, region: Region) -> None:
        """Redraw a region of the mask that changed."""
        if not region.empty:
            self.data.load(region)
            self.refresh()

    def process_pending(self, budget_s: float) -> bool:
        """Apply pending operations for at most `budget_s` seconds and show the result; return whether any are left."""
        try:
            self.mask.process_pending(budget_s)
        finally:
            self.refresh_changed()
        return self.mask.has_pending

    def refresh_changed(self) -> None:
        """Draw what was applied since the last call."""
        self.show(self.mask.pop_changed())

    # -- undo steps

    @contextlib.contextmanager
    def _let_napari_paint(self) -> Iterator[None]:
        """Let napari paint.  It emits its event before it paints, so the undo step ends with the block."""
        outer, self._painting, self._notified = self._painting, True, False
        try:
            yield
        finally:
            self._painting = outer
            if self._notified and not outer:
                self._end_step()

    def _on_paint(self, *_: Any) -> None:
        """End the undo step after napari's event, or after the painting that the event announces."""
        self._notified = True
        if not self._painting:
            self._end_step()

    def _end_step(self) -> None:
        if self._open_blocks:
            return
        self.mask.end_undo_group()
        if self.data.differs:
            self.data.differs = False
            self.refresh()
