"""Complete boxes on the slide in view: what is unlabelled in them counts as Background.

They have a layer of their own, there once a slide has one; the project keeps them.  No Qt here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.geometry import Region, on_grid
from napari_pathseg.data.mask.edits import reject
from napari_pathseg.data.slide_entry import SlideEntry
from napari_pathseg.ui.thin_shapes import ThinShapes

_SMALLEST = 6.0  # pixels of the screen; a click without a pull draws less


class CompleteBoxes(ThinShapes):
    """The boxes of a session's slide; what was `drawn` is the project's after :meth:`keep`."""

    role, mode = "complete boxes", "add_rectangle"
    edge = "#3fa866"  # of what a person is done with

    def keep(self) -> None:
        """Let the project have the boxes as they are on screen; what a model found in new ones goes."""
        layer, entry = self.layer, self._session.slide
        if layer is None or entry is None or self._session.read_only:
            return
        shown = [_box(np.asarray(corners), entry) for corners in layer.data]
        boxes = tuple(dict.fromkeys(box for box in shown if box in entry.boxes or self._is_meant(box)))
        if boxes != entry.boxes:
            self._session.layers.entry = self._session.opened.change(entry.id, boxes=boxes)
            for box in set(boxes) - set(entry.boxes):
                self._clear(box, entry)
            self._session.project_changed.emit()
        self.show()

    def at(self, position: tuple[float, ...]) -> list[Region]:
        """Return the boxes that lie under a level-0 position, ``(row, column)``."""
        row, column = position[-2:]
        boxes = () if self._session.slide is None else self._session.slide.boxes
        rows = [box for box in boxes if box.top - 0.5 <= row < box.bottom - 0.5]
        return [box for box in rows if box.left - 0.5 <= column < box.right - 0.5]

    def remove(self, position: tuple[float, ...]) -> None:
        """Delete the boxes that lie under a position."""
        entry, gone = self._session.in_view, self.at(position)
        self._session.access.require()
        if gone:
            kept = tuple(box for box in entry.boxes if box not in gone)
            self._session.layers.entry = self._session.opened.change(entry.id, boxes=kept)
            self._session.project_changed.emit()
            self.show()

    def show(self) -> None:
        """Show the boxes of the slide in view."""
        entry = self._session.slide
        if entry is None:
            return
        corners = [_corners(box) for box in entry.boxes]
        if self.layer is not None and _same(corners, self.layer.data):
            self._place(self.layer, entry)
        else:
            self._put(entry, [(points, "rectangle") for points in corners])
        self.changed.emit()

    def _clear(self, box: Region, entry: SlideEntry) -> None:
        """Take what a model found out of a box: a person has spoken there."""
        if self._session.mask is not None:
            here = on_grid(box, entry.downsample).clip(entry.mask_shape)
            self._session.mask_edited(reject(self._session.mask, here))

    def _is_meant(self, box: Region) -> bool:
        return not box.empty and min(box.height, box.width) * self._screen_pixels >= _SMALLEST


def _box(corners: npt.NDArray[Any], entry: SlideEntry) -> Region:
    """Return the level-0 pixels whose centres lie between the corners of a drawn rectangle."""
    (top, left), (bottom, right) = corners[:, -2:].min(axis=0), corners[:, -2:].max(axis=0)
    first, last = np.ceil([top, left]).astype(int), np.floor([bottom, right]).astype(int) + 1
    return Region(int(first[0]), int(first[1]), *(int(size) for size in last - first)).clip(entry.shape)


def _corners(box: Region) -> npt.NDArray[np.float64]:
    """Return the corners of a box as it is drawn, around its pixels."""
    top, left, bottom, right = box.top - 0.5, box.left - 0.5, box.bottom - 0.5, box.right - 0.5
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])


def _same(corners: list[npt.NDArray[np.float64]], shown: list[Any]) -> bool:
    return len(corners) == len(shown) and all(
        np.array_equal(one, np.asarray(other)[:, -2:]) for one, other in zip(corners, shown, strict=True)
    )
