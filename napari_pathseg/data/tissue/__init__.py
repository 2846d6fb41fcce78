"""Where on a slide tissue lies: found at low resolution, editable, kept with the project."""

from napari_pathseg.data.tissue.find import TissueConfig, find_tissue
from napari_pathseg.data.tissue.mask import TissueMask
from napari_pathseg.data.tissue.store import forget_tissue, load_tissue, save_tissue, tissue_path

__all__ = [
    "TissueConfig",
    "TissueMask",
    "find_tissue",
    "forget_tissue",
    "load_tissue",
    "save_tissue",
    "tissue_path",
]
