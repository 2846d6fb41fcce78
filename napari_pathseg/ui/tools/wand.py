"""The wand tool: drag over tissue to paint similar tissue around the cursor."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import EMPTY_REGION
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.interactive import Wand, WandConfig
from napari_pathseg.ui.tools.context import LEFT_BUTTON, InteractiveTool, ToolContext
from napari_pathseg.ui.tools.preferences import SENSITIVITY
from napari_pathseg.ui.tools.viewport import ViewSnapshot

_SEED_SPACING = 0.7  # of the reach, between two seeds on a fast drag
_MIN_SEEDS, _MAX_SEEDS = 4, 30  # per move of the mouse
_MAX_PIXELS = 60_000  # examined per move of the mouse, so that painting keeps up with it
_MIN_SMOOTHING, _MAX_SMOOTHING = 0.5, 16.0  # snapshot pixels


@dataclass(eq=False)
class _Drag:
    """One drag: the wand, its snapshot, and what it has painted so far."""

    snapshot: ViewSnapshot
    wand: Wand
    painted: BoolArray
    reach: int
    label: int
    last: Points


class WandTool(InteractiveTool):
    """Grows a region of similar stain and texture from the cursor."""

    def __init__(self, context: ToolContext) -> None:
        super().__init__(context)
        self._snapshot: ViewSnapshot | None = None
        self._config: WandConfig | None = None
        self._wand: Wand | None = None

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Paint what looks like the tissue under the cursor until the button is released: one undo step."""
        snapshot = self.context.snapshot()
        if event.button != LEFT_BUTTON or snapshot is None:
            return
        here = snapshot.transform.from_mask(self.context.position(event))
        reach = max(1, round(self.context.radius(snapshot.transform)))
        wand = self._wand_on(snapshot)
        drag = _Drag(snapshot, wand, np.zeros_like(wand.grown), reach, self.context.label(event), here)
        with layer.block_history():
            self._grow(drag, here)
            yield
            while event.type == "mouse_move":
                self._grow(drag, snapshot.transform.from_mask(self.context.position(event)))
                yield

    def on_wheel(self, notches: int) -> None:
        """Make the wand more or less selective."""
        self.context.preferences.change(SENSITIVITY, notches)

    def on_view_changed(self) -> None:
        """Compute the image features before the first click."""
        snapshot = self.context.snapshot()
        if snapshot is not None:
            self._wand_on(snapshot)

    def deactivate(self) -> None:
        """Release the snapshot."""
        self._snapshot = self._wand = None

    def _grow(self, drag: _Drag, here: Points) -> None:
        """Grow from seeds along the cursor's path, and paint what is new."""
        path = here - drag.last
        limit = min(_MAX_SEEDS, max(_MIN_SEEDS, _MAX_PIXELS // (2 * drag.reach + 1) ** 2))
        seeds = min(limit, max(1, round(float(np.hypot(*path)) / (_SEED_SPACING * drag.reach))))
        changed = EMPTY_REGION
        for fraction in np.arange(1, seeds + 1) / seeds:
            row, column = drag.last + fraction * path
            changed = changed.unite(drag.wand.grow(row, column, drag.reach)[0])
        drag.last = here
        if changed.empty:
            return
        new = drag.wand.grown[changed.slices] & ~drag.painted[changed.slices]
        drag.painted[changed.slices] |= new
        self.context.paint(drag.snapshot.transform.bitmap(changed, new), drag.label)

    def _wand_on(self, snapshot: ViewSnapshot) -> Wand:
        """Return a wand on a snapshot with nothing selected; its image features are reused if they still hold."""
        # The smoothing is given in screen pixels; the snapshot may have fewer.
        smoothing = min(_MAX_SMOOTHING, max(_MIN_SMOOTHING, WandConfig().smoothing / snapshot.transform.screen))
        config = WandConfig(sensitivity=self.context.preferences.value(SENSITIVITY), smoothing=smoothing)
        if self._wand is None or self._snapshot is not snapshot or self._config != config:
            self._wand, self._snapshot, self._config = Wand(snapshot.pixels, config), snapshot, config
        self._wand.begin()
        return self._wand
