"""The wand tool: drag over tissue to paint similar tissue around the cursor, or hold still to let it grow from there.

What it selects is a preview until the button is released, which paints it as one stroke.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QTimer

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.interactive import Wand, WandConfig
from napari_pathseg.masks.shapes import BitmapShape
from napari_pathseg.ui.tools.context import LEFT_BUTTON, InteractiveTool, ToolContext
from napari_pathseg.ui.tools.preferences import SENSITIVITY
from napari_pathseg.ui.tools.viewport import ViewSnapshot

_SEED_SPACING = 0.7  # of the reach, between two seeds on a fast drag
_MIN_SEEDS, _MAX_SEEDS = 4, 30  # per move of the mouse
_MAX_PIXELS = 60_000  # examined per move of the mouse, so that painting keeps up with it
_MIN_SMOOTHING, _MAX_SMOOTHING = 0.5, 16.0  # snapshot pixels
_CLICK_RADIUS = 5.0  # screen pixels that the mouse may move while it is held still
_HOLD_MS, _STEP_MS = 400, 80  # before it grows, longer than a click, and between two steps
_RISE, _MOST = 1.12, 8.0  # of the tolerance: per step, and altogether
_GROWING = "The wand grows while you hold the button. Release paints it, Escape cancels."


@dataclass(eq=False)
class _Drag:
    """One drag: the wand, its snapshot, and what it shows so far."""

    snapshot: ViewSnapshot
    wand: Wand
    shown: BoolArray
    reach: int
    label: int
    last: Points
    pressed: Points  # where the cursor has been held since, in pixels of the screen
    tolerance: float = 1.0

    @property
    def shape(self) -> BitmapShape | None:
        """All that is shown."""
        return self.snapshot.transform.bitmap(Region(0, 0, *self.shown.shape), self.shown)


class WandTool(InteractiveTool):
    """Grows a region of similar stain and texture from the cursor."""

    keys = ("Escape",)

    def __init__(self, context: ToolContext) -> None:
        super().__init__(context)
        self._snapshot: ViewSnapshot | None = None
        self._config: WandConfig | None = None
        self._wand: Wand | None = None
        self._drag: _Drag | None = None  # while the button is down, unless it was cancelled
        self._timer = QTimer()
        self._timer.timeout.connect(self._grow_further)

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Select what looks like the tissue under the cursor until the button is released, which paints it."""
        snapshot = self.context.snapshot()
        if event.button != LEFT_BUTTON or snapshot is None:
            return
        here = snapshot.transform.from_mask(self.context.position(event))
        reach = max(1, round(self.context.radius(snapshot.transform)))
        wand, pressed = self._wand_on(snapshot), np.array(event.pos, np.float64)
        drag = _Drag(snapshot, wand, np.zeros_like(wand.grown), reach, self.context.label(event), here, pressed)
        self._drag = drag
        self._grow(drag, here)
        self._timer.start(_HOLD_MS)
        yield
        while event.type == "mouse_move":
            if self._drag is drag:
                self._follow(drag, event)
            yield
        if self._drag is drag:
            shape = drag.shape
            self._drop()
            self.context.paint(shape, drag.label)

    def on_key(self, key: str) -> None:
        """Cancel the drag."""
        self._drop()

    def on_wheel(self, notches: int) -> None:
        """Make the wand more or less selective."""
        self.context.preferences.change(SENSITIVITY, notches)

    def on_view_changed(self) -> None:
        """Compute the image features before the first click."""
        snapshot = self.context.snapshot()
        if snapshot is not None:
            self._wand_on(snapshot)

    def deactivate(self) -> None:
        """Cancel the drag, and release the snapshot."""
        self._drop()
        self._snapshot = self._wand = None

    def _drop(self) -> None:
        """End the drag, and show the mask as it is."""
        self._timer.stop()
        drag, self._drag = self._drag, None
        if drag is not None:
            self.context.drop_preview(drag.shape)

    def _follow(self, drag: _Drag, event: Any) -> None:
        """Select along the cursor's path, as picky as at first; a hand that trembles lets it grow on."""
        here, pos = drag.snapshot.transform.from_mask(self.context.position(event)), np.array(event.pos, np.float64)
        if float(np.hypot(*(pos - drag.pressed))) > _CLICK_RADIUS:
            drag.pressed, drag.tolerance = pos, 1.0
            self._timer.start(_HOLD_MS)
        if drag.tolerance == 1.0:
            self._grow(drag, here)

    def _grow_further(self) -> None:
        """Select what differs a little more from what is under the cursor."""
        drag = self._drag
        if drag is None or drag.tolerance >= _MOST:
            self._timer.stop()
            return
        if self._timer.interval() != _STEP_MS:
            self._timer.start(_STEP_MS)
            self.context.show_status(_GROWING)
        drag.tolerance *= _RISE
        row, column = drag.last
        self._show(drag, drag.wand.grow(row, column, drag.reach, drag.tolerance)[0])

    def _grow(self, drag: _Drag, here: Points) -> None:
        """Grow from seeds along the cursor's path, and show what is new."""
        path = here - drag.last
        limit = min(_MAX_SEEDS, max(_MIN_SEEDS, _MAX_PIXELS // (2 * drag.reach + 1) ** 2))
        seeds = min(limit, max(1, round(float(np.hypot(*path)) / (_SEED_SPACING * drag.reach))))
        changed = EMPTY_REGION
        for fraction in np.arange(1, seeds + 1) / seeds:
            row, column = drag.last + fraction * path
            changed = changed.unite(drag.wand.grow(row, column, drag.reach)[0])
        drag.last = here
        self._show(drag, changed)

    def _show(self, drag: _Drag, changed: Region) -> None:
        """Show what is new in a box of the snapshot."""
        if changed.empty:
            return
        new = drag.wand.grown[changed.slices] & ~drag.shown[changed.slices]
        drag.shown[changed.slices] |= new
        self.context.preview(drag.snapshot.transform.bitmap(changed, new), drag.label)

    def _wand_on(self, snapshot: ViewSnapshot) -> Wand:
        """Return a wand on a snapshot with nothing selected; its image features are reused if they still hold."""
        # The smoothing is given in screen pixels; the snapshot may have fewer.
        smoothing = min(_MAX_SMOOTHING, max(_MIN_SMOOTHING, WandConfig().smoothing / snapshot.transform.screen))
        config = WandConfig(sensitivity=self.context.preferences.value(SENSITIVITY), smoothing=smoothing)
        if self._wand is None or self._snapshot is not snapshot or self._config != config:
            self._wand, self._snapshot, self._config = Wand(snapshot.pixels, config), snapshot, config
        self._wand.begin()
        return self._wand
