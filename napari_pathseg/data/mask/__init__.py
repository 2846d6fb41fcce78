"""The mask of a slide: which class each pixel has, and who said so.

`Mask` is the one way in: it reads, edits, undoes and saves.  Behind it lie the pyramids, on
disk (`store`) and in memory (`pyramid`), what was done step by step (`history`, in a `journal`),
how both are kept in step (`kept`), and what is on its way in (`waiting`): strokes (`painting`) and
`deeds`, which are made in `edits`.  What becomes of a pixel is said in `rules`.
"""

from napari_pathseg.data.mask.counts import Counts, Provenance
from napari_pathseg.data.mask.mask import Mask
from napari_pathseg.data.mask.opening import look_at_mask, open_mask, read_counts
from napari_pathseg.data.mask.rules import learnt_labels

__all__ = ["Counts", "Mask", "Provenance", "learnt_labels", "look_at_mask", "open_mask", "read_counts"]
