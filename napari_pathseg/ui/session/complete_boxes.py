"""Complete boxes on the slide in view: what is unlabelled in them counts as Background.

They have a layer of their own, there once a slide has one; the project keeps them.  While it is
the active one, the keys of undo are theirs: what was done to the boxes of a slide can be taken
back until the project is closed, and what a model had found where a box came is back then, too.
No Qt here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region, on_grid
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.layers.shapes_overlay import ShapesOverlay
from napari_pathseg.ui.session.complete_box_steps import (
    Boxes,
    BoxStep,
    BoxSteps,
    Found,
    clearing,
    giving_back,
    no_steps,
)

if TYPE_CHECKING:
    from napari_pathseg.ui.session.session import Session

_SMALLEST = 6.0  # pixels of the screen; a click without a pull draws less
_LEFT = 1  # the mouse button


class CompleteBoxes(ShapesOverlay):
    """The boxes of a session's slide; what was `drawn` is the project's after :meth:`keep`."""

    role, mode = "complete boxes", "add_rectangle"
    edge = "#3fa866"  # of what a person is done with

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._done, self._undone = no_steps(), no_steps()
        self._pulls = False  # whether the mouse is down on the layer

    def keep(self) -> None:
        """Let the project have the boxes as they are on screen; what a model found in new ones goes."""
        layer, entry = self.layer, self._session.slide
        if layer is None or entry is None or self._session.read_only:
            return
        shown = [_box(np.asarray(corners), entry) for corners in layer.data]
        boxes = tuple(dict.fromkeys(box for box in shown if box in entry.boxes or self._is_meant(box)))
        if boxes != entry.boxes:
            self._do(boxes)
        self.show()

    def at(self, position: tuple[float, ...]) -> list[Region]:
        """Return the boxes that lie under a level-0 position, ``(row, column)``."""
        row, column = position[-2:]
        boxes = () if self._session.slide is None else self._session.slide.boxes
        rows = [box for box in boxes if box.top - 0.5 <= row < box.bottom - 0.5]
        return [box for box in rows if box.left - 0.5 <= column < box.right - 0.5]

    def remove(self, position: tuple[float, ...]) -> None:
        """Delete the boxes that lie under a position."""
        entry, gone = self._session.require_slide(), self.at(position)
        self._session.access.require_writable()
        if gone:
            self._do(tuple(box for box in entry.boxes if box not in gone))
            self.show()

    def undo(self) -> None:
        """Take back what was done last to the boxes of the slide in view."""
        self._turn(self._done, self._undone)

    def redo(self) -> None:
        """Do to the boxes again what was taken back last."""
        self._turn(self._undone, self._done)

    def show(self) -> None:
        """Show the boxes of the slide in view."""
        entry = self._session.slide
        if entry is None:
            self._done, self._undone = no_steps(), no_steps()
            return
        corners = [_corners(box) for box in entry.boxes]
        if self.layer is not None and _same(corners, self.layer.data):
            self._place(self.layer, entry)
        else:
            self._put(entry, [(points, "rectangle") for points in corners])
        self.changed.emit()

    # -- steps

    def _do(self, boxes: Boxes) -> None:
        """Change the boxes in a step that can be taken back."""
        slide = self._session.require_slide().id
        self._done[slide].append(self._change(boxes))
        self._undone[slide].clear()

    def _turn(self, steps: BoxSteps, others: BoxSteps) -> None:
        """Take the last of some steps back; what takes that back in turn is the last of the others."""
        self._session.access.require_writable()
        entry = self._session.require_slide()
        here = steps[entry.id]
        if self._pulls or not here:
            return
        step = here[-1]
        if step.after != entry.boxes:  # somebody else has changed them since
            here.clear()
            return
        others[entry.id].append(self._change(step.before))
        here.pop()
        complete_in, locked = self._session.require_slide().complete_in, self._session.editor.locked
        self._session.editor.run(giving_back(step.found, complete_in, locked))
        self.show()

    def _change(self, boxes: Boxes) -> BoxStep:
        """Let the project have other boxes; what a model found in new ones goes."""
        entry, found = self._session.require_slide(), Found()
        self._session.layers.entry = self._session.require_project().update_slide(entry.id, boxes=boxes)
        for box in boxes:
            if box not in entry.boxes:
                here = on_grid(box, entry.downsample).clip(entry.mask_shape)
                self._session.editor.run(clearing(here, found, self._session.editor.locked))
        self._session.project_changed.emit()
        return BoxStep(entry.boxes, boxes, found)

    # -- inside

    def _make(self, entry: SlideRecord) -> Shapes:
        layer = super()._make(entry)
        layer.mouse_drag_callbacks.append(self._pull)
        for key, deed in (("Control-Z", self.undo), ("Control-Shift-Z", self.redo)):  # `keys` has them for the mask
            layer.bind_key(key, self._key_pressed(deed), overwrite=True)
        return layer

    def _key_pressed(self, deed: Callable[[], None]) -> Callable[[Shapes], None]:
        def press(_: Shapes) -> None:
            try:
                deed()
            except ProjectError as error:
                self._session.message.emit(str(error), "", "warning")

        return press

    def _pull(self, layer: Shapes, event: Any) -> Iterator[None]:
        """Take note of whether a box is in the hand; it cannot be taken from under it."""
        if event.button != _LEFT:  # the menu of the right one takes the release
            return
        self._pulls = True
        yield
        while event.type == "mouse_move":
            yield
        self._pulls = False

    def _is_meant(self, box: Region) -> bool:
        return not box.empty and min(box.height, box.width) * self._screen_pixels >= _SMALLEST


def _box(corners: npt.NDArray[Any], entry: SlideRecord) -> Region:
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
