"""Label images of whole slides as OME-TIFF pyramids, which QuPath, OMERO and napari open lazily."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_pathseg.storage.atomic import replace_file

_TILE = 512
_COARSEST = 1024  # side


def write_label_pyramid(
    path: Path, labels: npt.NDArray[np.uint8], mpp: float | None, names: Sequence[str] = ()
) -> None:
    """Write class indices as a tiled, deflated OME-TIFF with every second pixel at each further level.

    Parameters
    ----------
    path
        Ends with ``.ome.tif``.
    labels
        Class indices, shape (rows, columns).
    mpp
        Micrometres per pixel, None where unknown.
    names
        Of the classes from 1, kept as the description.

    Raises
    ------
    ProjectError
        If the file cannot be written.
    """
    levels = [labels]
    while max(levels[-1].shape) > _COARSEST:
        levels.append(levels[-1][::2, ::2])
    metadata: dict[str, Any] = {"axes": "YX", "Name": path.name.removesuffix(".ome.tif")}
    metadata |= {"Description": ", ".join(f"{index} {name}" for index, name in enumerate(names, 1))}
    if mpp is not None:
        metadata |= dict.fromkeys(("PhysicalSizeX", "PhysicalSizeY"), mpp)
        metadata |= dict.fromkeys(("PhysicalSizeXUnit", "PhysicalSizeYUnit"), "µm")
    options: dict[str, Any] = {"compression": "adobe_deflate", "photometric": "minisblack"}
    if min(levels[-1].shape) > _TILE // 2:
        options |= {"tile": (_TILE, _TILE)}
    with replace_file(path) as partial, tifffile.TiffWriter(partial, bigtiff=labels.nbytes > 1 << 31, ome=True) as file:
        for number, level in enumerate(levels):
            more: dict[str, Any] = {} if mpp is None else {"resolution": (1e4 / mpp / 2**number,) * 2}
            more |= {"subifds": len(levels) - 1, "metadata": metadata} if number == 0 else {"subfiletype": 1}
            file.write(level, **options, **more, resolutionunit="CENTIMETER")
