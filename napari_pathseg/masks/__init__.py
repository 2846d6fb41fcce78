"""The paintable mask of a slide: labels and where each came from, at any size, safe from crashes.

It may import `contours`, `slides` and `storage`; it knows no project and no window.  Begin with `mask.py`, then
`label_rules.py` for what an edit does to a pixel.
"""

from napari_pathseg.masks.counts import Counts, Provenance
from napari_pathseg.masks.label_rules import learnt_labels
from napari_pathseg.masks.mask import Mask
from napari_pathseg.masks.opening import look_at_mask, open_mask, read_counts

__all__ = ["Counts", "Mask", "Provenance", "learnt_labels", "look_at_mask", "open_mask", "read_counts"]
