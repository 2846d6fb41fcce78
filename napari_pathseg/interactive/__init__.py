"""Interactive segmentation: magic wand, live-wire, superpixels.  Arrays in, arrays out.

It imports numpy, scipy and scikit-image, and of napari_pathseg only what every package may use.  Begin with `wand.py`.
"""

from napari_pathseg.interactive.live_wire import LiveWire
from napari_pathseg.interactive.wand import Wand, WandConfig

__all__ = ["LiveWire", "Wand", "WandConfig"]
