"""A model's raw output on a slide: classes and 8-bit probabilities on the mask's grid.

It is kept apart from the mask, which takes it in as provenance *model*; no training reads
it.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region

_CHUNK = 512


class Prediction:
    """The output of one model on one slide; made by :func:`create_prediction`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            group = zarr.open_group(path, mode="r+")
            self.classes: Any = group["classes"]
            self.probabilities: Any = group["probabilities"]
            self._group = group
        except (OSError, ValueError, KeyError) as error:
            raise ProjectError(
                f"{path} cannot be read as a prediction ({error}). Delete the folder and predict again."
            ) from error

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.classes.shape
        return rows, columns

    def is_whole(self, stamp: int) -> bool:
        """Whether the whole slide is predicted, by the weights of this `stamp`."""
        return self._group.attrs.get("whole") == stamp

    def finish(self, stamp: int) -> None:
        """Note that the whole slide is predicted by the weights of this `stamp`."""
        self._group.attrs["whole"] = stamp

    def write(self, region: Region, probabilities: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Keep the probabilities of a box, shape (classes, rows, columns); return the classes."""
        classes: npt.NDArray[np.uint8] = (probabilities.argmax(axis=0) + 1).astype(np.uint8)
        self.probabilities[(slice(None), *region.slices)] = probabilities
        self.classes[region.slices] = classes
        return classes

    def read(self, region: Region) -> npt.NDArray[np.uint8]:
        """Return the class of each pixel of a box; 0 where nothing is predicted yet."""
        classes: npt.NDArray[np.uint8] = np.asarray(self.classes[region.slices])
        return classes


def create_prediction(path: Path, shape: tuple[int, int], class_names: Sequence[str]) -> Prediction:
    """Return the prediction at `path`, made empty where there is none of this shape and these classes."""
    try:
        if path.exists():
            kept = Prediction(path)
            if kept.shape == shape and kept.probabilities.shape[0] == len(class_names):
                return kept
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        group = zarr.open_group(partial, mode="w", zarr_format=3)
        zstd = [ZstdCodec(level=1)]
        group.create_array(
            "classes", shape=shape, chunks=(_CHUNK, _CHUNK), dtype="uint8", fill_value=0, compressors=zstd
        )
        group.create_array(
            "probabilities",
            shape=(len(class_names), *shape),
            chunks=(1, _CHUNK, _CHUNK),
            dtype="uint8",
            fill_value=0,
            compressors=zstd,
        )
        group.attrs["classes"] = list(class_names)
        partial.rename(path)
    except OSError as error:
        raise ProjectError(
            f"{path} could not be written ({error.strerror or error}). Free the disk or allow writing to "
            "the project folder."
        ) from error
    return Prediction(path)
