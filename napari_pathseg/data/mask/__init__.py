"""The mask of a slide: which class each pixel has, and who said so.

`Mask` is the one way in: it reads, edits, undoes and saves.  Behind it lie the pyramids on
disk (`store`) and the journal of what is not yet in them (`journal`).
"""

from napari_pathseg.data.mask.counts import Counts, Provenance
from napari_pathseg.data.mask.mask import Mask, learnt_labels, open_mask, read_counts

__all__ = ["Counts", "Mask", "Provenance", "learnt_labels", "open_mask", "read_counts"]
