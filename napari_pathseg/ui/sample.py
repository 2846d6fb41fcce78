"""Sample slides: their location, and one as layers for File > Open Sample."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.samples.slides import draw_sample_slide, write_sample_slides
from napari_pathseg.storage.cache_folder import cache_folder
from napari_pathseg.ui.reader import LayerData, contours_layer, slide_layer

SLIDE_COUNT = 6
_OUTLINED = "slide_01"


def sample_folder(cache: Path | None = None, count: int = SLIDE_COUNT) -> Path:
    """Return the folder with the first `count` sample slides and their contours.

    A checkout has them; elsewhere they are drawn once, 3 seconds each, into `cache`.
    """
    shipped = Path(__file__).parents[2] / "sample_data"
    folder = shipped if shipped.is_dir() else (cache or cache_folder()) / "sample_slides"
    missing = [number for number, path in enumerate(sample_slides(folder)[:count], 1) if not path.is_file()]
    if missing:
        write_sample_slides(folder, numbers=missing)
    return folder


def sample_slides(folder: Path) -> list[Path]:
    """Return the paths of the sample slides in `folder`, in order."""
    return [folder / f"slide_{number:02d}.tif" for number in range(1, SLIDE_COUNT + 1)]


def sample_truth(slide: str) -> npt.NDArray[np.uint8]:
    """Return the classes that a sample slide was drawn from, at level 0."""
    return draw_sample_slide(int(slide[-2:]))[1]


def outlined_tumour() -> list[LayerData]:
    """Return a sample slide and the outlines of its tumour."""
    folder = sample_folder(count=1)
    image = slide_layer(folder / f"{_OUTLINED}.tif")
    return [image, contours_layer(folder / f"{_OUTLINED}.svg", image[1]["metadata"]["mpp"])]
