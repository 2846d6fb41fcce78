"""The sample slides: six synthetic fields as TIFF files, and the outlines of their tumours as SVG.

The outlines are like those of an expert: smooth, closed, a few pixels outside the tumour.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage
from skimage import measure

from napari_pathseg.geometry.arrays import Float32Array
from napari_pathseg.samples.fields import noise
from napari_pathseg.samples.tissue import draw_field
from napari_pathseg.storage.atomic import replace_file

_SHAPE = (2048, 2048)
_MPP = 0.5
_TUMOUR = (0.40, 0.28, 0.0, 0.50, 0.0, 0.34)  # share of the tissue, slide by slide
_QUALITY = 80  # of JPEG; keeps the six slides below 8 MB
_STEP = 4  # image pixels per pixel of the grid on which outlines are traced

_log = logging.getLogger(__name__)


def draw_sample_slide(number: int, seed: int = 2017) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the image and the classes of sample slide `number`, counted from 1."""
    rng = np.random.default_rng([seed, number])
    return draw_field(_SHAPE, rng, tumour=_TUMOUR[number - 1])


def write_sample_slides(folder: Path, seed: int = 2017, numbers: Iterable[int] | None = None) -> list[Path]:
    """Write ``slide_01.tif`` to ``slide_06.tif`` and, for those with tumour, the ``.svg``; return the slides' paths.

    With `numbers` it writes only these slides.  The same seed gives the same files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    slides = []
    for number in numbers or range(1, len(_TUMOUR) + 1):
        image, classes = draw_sample_slide(number, seed)
        path = folder / f"slide_{number:02d}.tif"
        write_flat_slide(path, image, _MPP)
        outlines = expert_outlines(classes == 2, np.random.default_rng([seed, number, 1]))
        if outlines:
            with replace_file(path.with_suffix(".svg")) as partial:
                partial.write_text(svg_of(outlines, _SHAPE), encoding="utf-8")
        _log.info("%s: %d outlines", path, len(outlines))
        slides.append(path)
    return slides


def write_flat_slide(path: Path, image: npt.NDArray[np.uint8], mpp: float) -> None:
    """Write an RGB image as a tiled JPEG TIFF with its pixel size."""
    with replace_file(path) as partial:
        tifffile.imwrite(
            partial,
            image,
            photometric="rgb",
            tile=(256, 256),
            compression="jpeg",
            compressionargs={"level": _QUALITY},
            resolution=(1e4 / mpp, 1e4 / mpp),
            resolutionunit="CENTIMETER",
            software="napari-pathseg",
            metadata=None,
        )


def expert_outlines(tumour: npt.NDArray[np.bool_], rng: np.random.Generator) -> list[npt.NDArray[np.int_]]:
    """Return outlines of a mask as an expert would draw them: closed lines of integer (x, y), one per region.

    They are about 5 pixels outside the region, and at the edge of the image where the
    region leaves it.
    """
    small: Float32Array = tumour[::_STEP, ::_STEP].astype(np.float32)
    outside = ndimage.distance_transform_edt(small < 0.5) - ndimage.distance_transform_edt(small > 0.5)
    # A hand deviates by 2 or 3 pixels over a hundred.
    margin = 5 + 2.5 * noise(small.shape, 25, rng)
    level = ndimage.gaussian_filter(outside.astype(np.float32), 2) - margin / _STEP
    lines = measure.find_contours(np.pad(level, 1, constant_values=10.0), 0.0)  # type: ignore[no-untyped-call]
    last = np.array(tumour.shape) - 1
    outlines = []
    for line in lines:
        simple = measure.approximate_polygon((line - 1) * _STEP + (_STEP - 1) / 2, 1.2)  # type: ignore[no-untyped-call]
        points = np.clip(np.rint(simple), 0, last).astype(int)[:, ::-1]
        # find_contours runs one way around low values and the other way around holes.
        if _signed_area(line) > 0 and len(points) >= 4:
            outlines.append(points)
    return outlines


def _signed_area(line: npt.NDArray[np.float64]) -> float:
    """Return the area of a closed line of (row, column), negative if it runs the other way."""
    rows, columns = line[:-1].T
    return float(0.5 * (rows * np.roll(columns, -1) - columns * np.roll(rows, -1)).sum())


def svg_of(outlines: list[npt.NDArray[np.int_]], shape: tuple[int, int]) -> str:
    """Return the SVG of closed outlines in integer (x, y) on an image of `shape` (rows, columns)."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="{shape[1]}" height="{shape[0]}">',
    ]
    for outline in outlines:
        points = " ".join(f"{x},{y}" for x, y in outline)
        lines.append(f'  <polyline points="{points}" stroke="#00ff00" stroke-width="3" fill="none" />')
    return "\n".join([*lines, "</svg>", ""])
