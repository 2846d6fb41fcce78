import numpy as np
import pytest

from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint

TUMOUR = 2


@pytest.fixture
def ring(opened):
    """A dock whose slide shows a tumour with a hole of 100 pixels."""
    labels = np.zeros(opened.session.mask.shape, np.uint8)
    labels[50:150, 50:150] = TUMOUR
    labels[90:100, 90:100] = 0
    opened.session.refresh_mask(paint(opened.session.mask, Region(0, 0, *labels.shape), labels))
    return opened
