"""The wand in the hand: drag over tissue, and what seeds like it is painted at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import EMPTY_REGION
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.interactive import Wand, WandConfig
from napari_pathseg.ui.tools.context import InteractiveTool, ToolContext
from napari_pathseg.ui.tools.view_snapshot import ViewSnapshot

MIN_SENSITIVITY, MAX_SENSITIVITY = 0.3, 5.0  # sensitivity; beyond, it takes all or nothing
_STEP = 0.1
_SPACING = 0.7  # of the reach, between two places that the wand seeds from on a fast drag
_MIN_SEEDS, _MAX_SEEDS = 4, 30  # for one move of the mouse
_MAX_PIXELS = 60_000  # pixels for one move of the mouse, so that it is answered in time


@dataclass(eq=False)
class _Drag:
    """One drag: the wand, what it works on, and what of it was painted."""

    picture: ViewSnapshot
    wand: Wand
    painted: BoolArray
    reach: int
    label: int
    last: Points


class WandTool(InteractiveTool):
    """Grows a region of like stain and texture from the cursor."""

    def __init__(self, context: ToolContext) -> None:
        super().__init__(context)
        self._picture: ViewSnapshot | None = None
        self._config: WandConfig | None = None
        self._wand: Wand | None = None

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Take what is like the tissue under the cursor until the mouse is let go; one step of undo."""
        picture = self.context.snapshot()
        if event.button != 1 or picture is None:
            return
        here = picture.frame.from_mask(self.context.position(event))
        reach = max(1, round(self.context.radius(picture.frame)))
        wand = self._wand_on(picture)
        drag = _Drag(picture, wand, np.zeros_like(wand.grown), reach, self.context.label(event), here)
        with layer.block_history():
            self._grow(drag, here)
            yield
            while event.type == "mouse_move":
                self._grow(drag, picture.frame.from_mask(self.context.position(event)))
                yield

    def on_wheel(self, steps: int) -> None:
        """Make it pickier, or less so."""
        preferences = self.context.preferences
        preferences.sensitivity = min(MAX_SENSITIVITY, max(MIN_SENSITIVITY, preferences.sensitivity + _STEP * steps))

    def on_view_changed(self) -> None:
        """Have the picture ready before the first click."""
        picture = self.context.snapshot()
        if picture is not None:
            self._wand_on(picture)

    def deactivate(self) -> None:
        """Let go of the picture."""
        self._picture = self._wand = None

    def _grow(self, drag: _Drag, here: Points) -> None:
        """Grow on the way to where the mouse is, and paint what is new."""
        way = here - drag.last
        most = min(_MAX_SEEDS, max(_MIN_SEEDS, _MAX_PIXELS // (2 * drag.reach + 1) ** 2))
        seeds = min(most, max(1, round(float(np.hypot(*way)) / (_SPACING * drag.reach))))
        changed = EMPTY_REGION
        for share in np.arange(1, seeds + 1) / seeds:
            row, column = drag.last + share * way
            changed = changed.unite(drag.wand.grow(row, column, drag.reach)[0])
        drag.last = here
        if changed.empty:
            return
        new = drag.wand.grown[changed.slices] & ~drag.painted[changed.slices]
        drag.painted[changed.slices] |= new
        self.context.paint(drag.picture.frame.area(changed, new), drag.label)

    def _wand_on(self, picture: ViewSnapshot) -> Wand:
        """Return a wand on a picture that has taken nothing yet; what it knows of the picture is kept."""
        # What it does not see is told in pixels of the screen; of the picture they may be fewer.
        smoothing = min(16.0, max(0.5, WandConfig().smoothing / picture.frame.screen))
        config = WandConfig(sensitivity=self.context.preferences.sensitivity, smoothing=smoothing)
        if self._wand is None or self._picture is not picture or self._config != config:
            self._wand, self._picture, self._config = Wand(picture.pixels, config), picture, config
        self._wand.begin()
        return self._wand
