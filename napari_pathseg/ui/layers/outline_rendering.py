"""Draws the mask as outlines instead of filled areas: a line of constant width on screen, nearly opaque.

The line is at least one pixel of the level shown, so it widens where such a pixel is larger on screen.
"""

from psygnal import Signal
from qtpy.QtCore import QObject
from superqt.utils import qthrottled

from napari_pathseg.ui.layers.mask_layer import MaskLayer
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer
from napari_pathseg.ui.layers.slide_layers import SlideLayers, screen_pixels

_WIDTH = 3  # screen pixels
_MAX_WIDTH = 8  # pixels of the level shown; the cost grows with the square
_OPACITY = 0.95
_LEVEL_DELAY_MS = 100  # by then napari has switched to the level that the zoom requires


class OutlineRendering(QObject):
    """Switches the mask layer between outlines and areas, and restores the opacity of the areas.

    Call :meth:`attach` whenever another slide comes into view.

    Signals: `changed` (from outlines to areas, or back).
    """

    changed = Signal()

    def __init__(self, layers: SlideLayers, parent: QObject) -> None:
        super().__init__(parent)
        self._layers = layers
        self._layer: MaskLayer | PlainMaskLayer | None = None
        self._opacity: float | None = None  # of the areas, while outlines are shown
        self._update_later = qthrottled(self._update_width, timeout=_LEVEL_DELAY_MS, leading=False, parent=self)
        layers.viewer.scene.camera.events.zoom.connect(self._update_later.throttle)
        self.attach()

    @property
    def enabled(self) -> bool:
        """True if outlines are shown, even if napari's own control switched them on."""
        layer = self._layers.mask
        return layer is not None and layer.contour > 0

    def set_enabled(self, enabled: bool) -> None:
        """Show outlines, or areas."""
        layer = self._layers.mask
        if layer is None or enabled == self.enabled:
            return
        if enabled:
            self._opacity, layer.opacity = layer.opacity, _OPACITY
        layer.set_contour_width(self._width if enabled else 0)

    def attach(self) -> None:
        """Follow the current mask layer."""
        layer = self._layers.mask
        if layer is not self._layer:
            self._layer, self._opacity = layer, None
            if layer is not None:
                layer.events.contour.connect(self._on_contour_changed)
        self._update_later.throttle()

    @property
    def _width(self) -> int:
        """The width of the line in pixels of the level shown."""
        layer = self._layers.mask
        assert layer is not None
        shown_pixel = screen_pixels(self._layers) * (1 << int(layer.data_level))
        return min(_MAX_WIDTH, max(1, round(_WIDTH / shown_pixel)))

    def _update_width(self) -> None:
        if self._opacity is not None and self._layers.mask is not None:
            self._layers.mask.set_contour_width(self._width)

    def _on_contour_changed(self) -> None:
        """Restore the areas' opacity; napari has its own control for the contour width."""
        layer = self._layers.mask
        if layer is not None and layer.contour == 0 and self._opacity is not None:
            opacity, self._opacity = self._opacity, None
            layer.opacity = opacity
        self.changed.emit()
