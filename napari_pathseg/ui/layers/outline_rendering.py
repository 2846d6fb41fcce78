"""Borders of the mask instead of areas: a line as wide on screen at any zoom, and not paled by the mask's opacity.

A line is a pixel of the shown level wide at least, so it grows where one takes more of the screen.
"""

from psygnal import Signal
from qtpy.QtCore import QObject
from superqt.utils import qthrottled

from napari_pathseg.ui.layers.mask_layer import MaskLayer
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.brush import screen_pixels

_WIDTH = 3  # pixels on screen
_WIDEST = 8  # pixels of the level shown: the work grows with their square
_OPACITY = 0.95
_SETTLED_MS = 100  # by then napari has taken the level that the zoom asks for


class OutlineRendering(QObject):
    """Shows borders of the mask in view, and areas again as strongly as they were shown.

    Signals: `changed` (borders are shown now, or areas).
    """

    changed = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._heard: MaskLayer | PlainMaskLayer | None = None
        self._opacity: float | None = None  # of the areas, while borders are shown instead
        self._follow_soon = qthrottled(self._follow, timeout=_SETTLED_MS, leading=False, parent=self)
        session.layers.viewer.scene.camera.events.zoom.connect(self._follow_soon.throttle)
        session.slide_changed.connect(self._listen)
        self._listen()

    @property
    def on(self) -> bool:
        """Whether borders are shown, by whatever means."""
        layer = self._session.layers.mask
        return layer is not None and layer.contour > 0

    def turn(self, on: bool) -> None:
        """Show borders, or areas."""
        layer = self._session.layers.mask
        if layer is None or on == self.on:
            return
        if on:
            self._opacity, layer.opacity = layer.opacity, _OPACITY
        layer.set_contour_width(self._width if on else 0)

    @property
    def _width(self) -> int:
        """The width of the line in pixels of the level shown."""
        layer = self._session.layers.mask
        assert layer is not None
        shown_pixel = screen_pixels(self._session.layers) * (1 << int(layer.data_level))
        return min(_WIDEST, max(1, round(_WIDTH / shown_pixel)))

    def _follow(self) -> None:
        """Keep the line as wide on screen."""
        if self._opacity is not None and self._session.layers.mask is not None:
            self._session.layers.mask.set_contour_width(self._width)

    def _listen(self) -> None:
        layer = self._session.layers.mask
        if layer is not self._heard:
            self._heard, self._opacity = layer, None
            if layer is not None:
                layer.events.contour.connect(self._turned)
        self._follow_soon.throttle()

    def _turned(self) -> None:
        """Give the areas their opacity back; napari has a box of its own for the width of the line."""
        layer = self._session.layers.mask
        if layer is not None and layer.contour == 0 and self._opacity is not None:
            opacity, self._opacity = self._opacity, None
            layer.opacity = opacity
        self.changed.emit()
