"""Write label images: flat PNG, BMP and TIFF files, and OME-TIFF pyramids that QuPath, OMERO and napari open lazily."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_pathseg.contours.formats.label_images.reader import MARK, PILLOW_FORMATS, TIFF_SUFFIXES
from napari_pathseg.errors import AnnotationError
from napari_pathseg.geometry import MAX_COARSEST_SIDE, TILE_SIDE
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.atomic import replace_file


def write_label_image(
    path: Path,
    mask: UInt8Array,
    mpp: float | None = None,
    *,
    mark_as_classes: bool = True,
    palette: Sequence[tuple[int, int, int]] | None = None,
) -> None:
    """Write a mask as PNG, BMP or deflated TIFF.

    Parameters
    ----------
    path
        The file; its suffix decides the format.
    mask
        Class indices, shape (rows, columns), or RGB, shape (rows, columns, 3).
    mpp
        Micrometres per mask pixel; only TIFF stores it.
    mark_as_classes
        Store (in PNG and TIFF) that the numbers are class indices of a project.
    palette
        Red, green and blue of each class index, as which programs show it; None for greys.

    Raises
    ------
    AnnotationError
        If the suffix is another one.
    ProjectError
        If the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in (*TIFF_SUFFIXES, *PILLOW_FORMATS):
        raise AnnotationError(f"{path.name}: masks are written as .png, .tif, .tiff or .bmp. Rename it.")
    with replace_file(path) as partial:
        if suffix in PILLOW_FORMATS:
            about = PngInfo()
            about.add_text(*MARK)
            options = {"pnginfo": about} if mark_as_classes and suffix == ".png" else {}
            image = Image.fromarray(mask)
            if palette is not None:
                image.putpalette([value for color in palette for value in color])
            image.save(partial, format=PILLOW_FORMATS[suffix], **options)
            return
        stored: dict[str, Any] = {"photometric": "minisblack" if mask.ndim == 2 else "rgb"}
        if palette is not None:
            colors = np.zeros((3, 256), np.uint16)
            colors[:, : len(palette)] = np.transpose(palette) * 257  # of 16 bits
            stored = {"photometric": "palette", "colormap": colors}
        if mpp is not None:
            stored |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
        tile = (TILE_SIDE, TILE_SIDE) if min(mask.shape[:2]) > TILE_SIDE else None
        tifffile.imwrite(
            partial,
            mask,
            compression="adobe_deflate",
            tile=tile,
            metadata=None,
            description=": ".join(MARK) if mark_as_classes else None,
            **stored,
        )


def write_label_pyramid(path: Path, labels: UInt8Array, mpp: float | None, names: Sequence[str] = ()) -> None:
    """Write class indices as a tiled, deflated OME-TIFF pyramid; each level keeps every second pixel of the last.

    Parameters
    ----------
    path
        Ends with ``.ome.tif``.
    labels
        Class indices, shape (rows, columns).
    mpp
        Micrometres per pixel; None if unknown.
    names
        Names of the classes from 1; stored as the description.

    Raises
    ------
    ProjectError
        If the file cannot be written.
    """
    levels = [labels]
    while max(levels[-1].shape) > MAX_COARSEST_SIDE:
        levels.append(levels[-1][::2, ::2])
    metadata: dict[str, Any] = {"axes": "YX", "Name": path.name.removesuffix(".ome.tif")}
    metadata |= {"Description": ", ".join(f"{index} {name}" for index, name in enumerate(names, 1))}
    if mpp is not None:
        metadata |= dict.fromkeys(("PhysicalSizeX", "PhysicalSizeY"), mpp)
        metadata |= dict.fromkeys(("PhysicalSizeXUnit", "PhysicalSizeYUnit"), "µm")
    options: dict[str, Any] = {"compression": "adobe_deflate", "photometric": "minisblack"}
    if min(levels[-1].shape) > TILE_SIDE // 2:
        options |= {"tile": (TILE_SIDE, TILE_SIDE)}
    with replace_file(path) as partial, tifffile.TiffWriter(partial, bigtiff=labels.nbytes > 1 << 31, ome=True) as file:
        for number, level in enumerate(levels):
            more: dict[str, Any] = {} if mpp is None else {"resolution": (1e4 / mpp / 2**number,) * 2}
            more |= {"subifds": len(levels) - 1, "metadata": metadata} if number == 0 else {"subfiletype": 1}
            file.write(level, **options, **more, resolutionunit="CENTIMETER")
