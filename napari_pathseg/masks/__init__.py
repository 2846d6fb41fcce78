"""The paintable mask of a slide: labels and their provenance, at any size, safe from crashes.

It may import `contours`, `storage` and the modules at the top; projects and the window lie above it.
Begin with `mask.py`, then `label_rules.py` for what an edit does to a pixel.
"""

from napari_pathseg.masks.label_rules import training_labels
from napari_pathseg.masks.mask import Mask
from napari_pathseg.masks.opening import open_mask, open_mask_readonly, read_counts
from napari_pathseg.masks.provenance import Counts, Provenance

__all__ = ["Counts", "Mask", "Provenance", "open_mask", "open_mask_readonly", "read_counts", "training_labels"]
