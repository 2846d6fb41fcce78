"""What a tool makes of a gesture on the picture that is seen: wand, live-wire, superpixels.

All work on a window of pixels at the scale of the screen, ``(row, column)`` from its first
pixel, pixel centres on whole numbers.  They answer a mouse move fast enough for the window's
own thread, but cutting superpixels is work for the worker.  Arrays only: no slides, no masks.
"""

from napari_pathseg.data.gesture.live_wire import LiveWire
from napari_pathseg.data.gesture.wand import Wand, WandConfig

__all__ = ["LiveWire", "Wand", "WandConfig"]
