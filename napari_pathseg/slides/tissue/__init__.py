"""Where tissue lies on a slide: found at low resolution, as a mask that can be edited.

It may import `slides` and `storage`.  Begin with `detect.py`.
"""

from napari_pathseg.slides.tissue.detect import TissueConfig, find_tissue
from napari_pathseg.slides.tissue.mask import TissueMask

__all__ = ["TissueConfig", "TissueMask", "find_tissue"]
