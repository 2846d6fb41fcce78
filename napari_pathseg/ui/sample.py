"""Sample slides: what they were drawn from, and one as layers for File > Open Sample."""

import numpy as np
import numpy.typing as npt

from napari_pathseg.samples.slides import draw_sample_slide
from napari_pathseg.ui.reader import LayerData, contours_layer, slide_layer
from napari_pathseg.ui.sample_files import sample_folder

_OUTLINED = "slide_01"


def sample_truth(slide: str) -> npt.NDArray[np.uint8]:
    """Return the classes that a sample slide was drawn from, at level 0."""
    return draw_sample_slide(int(slide[-2:]))[1]


def outlined_tumour() -> list[LayerData]:
    """Return a sample slide and the outlines of its tumour."""
    folder = sample_folder(count=1)
    image = slide_layer(folder / f"{_OUTLINED}.tif")
    return [image, contours_layer(folder / f"{_OUTLINED}.svg", image[1]["metadata"]["mpp"])]
