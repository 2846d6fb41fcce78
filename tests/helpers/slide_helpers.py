"""What tests of slides need: all pixels of a slide, and several threads that read it at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Region
from napari_pathseg.slides.slide import Slide


def whole(slide: Slide) -> npt.NDArray[np.uint8]:
    """Return all pixels of level 0."""
    return slide.read(Region(0, 0, *slide.shape))


def misread_by_threads(
    slide: Slide, boxes: Sequence[Region], image: npt.NDArray[np.uint8], threads: int = 3
) -> list[Region]:
    """Return the boxes that threads read differently from `image`; every second one reads them in reverse order."""

    def read_all(order: Sequence[Region]) -> list[Region]:
        return [box for box in order if not np.array_equal(slide.read(box), image[box.slices])]

    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(read_all, [boxes[:: -1 if number % 2 else 1] for number in range(threads)])
        return [box for wrong in found for box in wrong]
