"""Write label images as OME-Zarr pyramids, block by block."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zarr
from zarr.codecs import ZstdCodec

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import MAX_COARSEST_SIDE, Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.atomic import atomic_folder, load_json
from napari_pathseg.storage.portable import remove_tree

_CHUNK, _BLOCK = 512, 4096
_MAX_METADATA_BYTES = 1 << 20


def write_label_zarr(
    path: Path, labels: UInt8Array, mpp: float | None, classes: Sequence[tuple[str, tuple[int, int, int]]]
) -> None:
    """Write class indices as an OME-Zarr 0.5 pyramid [1]_; each level keeps every second pixel of the last.

    Parameters
    ----------
    path
        The folder, which ends with ``.ome.zarr``; one that was written by this function is replaced.
    labels
        Class indices, shape (rows, columns).
    mpp
        Micrometres per pixel; None if unknown.
    classes
        Names of the classes from 1, and their colours.

    Raises
    ------
    ProjectError
        If it cannot be written, or something else has its name.

    References
    ----------
    .. [1] https://ngff.openmicroscopy.org/0.5/, "labels" and "image-label".
    """
    if path.exists() and not _is_ours(path):
        raise ProjectError(f"{path} exists and is no label image. Choose another folder, or rename it.")
    levels = [labels]
    while max(levels[-1].shape) > MAX_COARSEST_SIDE:
        levels.append(levels[-1][::2, ::2])
    try:
        remove_tree(path)
        with atomic_folder(path, unique=True) as partial:
            group = zarr.open_group(partial, mode="w", zarr_format=3)
            for number, level in enumerate(levels):
                _write_level(group, str(number), level)
            group.attrs["ome"] = _metadata(len(levels), mpp, classes)
    except OSError as error:
        raise ProjectError(
            f"{path} could not be written ({error.strerror or error}). Free the disk or choose another folder."
        ) from error


def _write_level(group: zarr.Group, name: str, labels: UInt8Array) -> None:
    array = group.create_array(
        name,
        shape=labels.shape,
        chunks=(_CHUNK, _CHUNK),
        dtype="uint8",
        fill_value=0,
        compressors=[ZstdCodec(level=3)],
        dimension_names=["y", "x"],
    )
    for block in layout(Region(0, 0, *labels.shape), _BLOCK):
        array[block.slices] = labels[block.slices]


def _metadata(count: int, mpp: float | None, classes: Sequence[tuple[str, tuple[int, int, int]]]) -> dict[str, Any]:
    unit = {} if mpp is None else {"unit": "micrometer"}
    scales = [(mpp or 1.0) * 2**number for number in range(count)]
    datasets = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [scale, scale]}]}
        for number, scale in enumerate(scales)
    ]
    return {
        "version": "0.5",
        "multiscales": [{"axes": [{"name": name, "type": "space", **unit} for name in "yx"], "datasets": datasets}],
        "image-label": {
            "colors": [{"label-value": number, "rgba": [*rgb, 255]} for number, (_, rgb) in enumerate(classes, 1)],
            "properties": [{"label-value": number, "class": name} for number, (name, _) in enumerate(classes, 1)],
        },
    }


def _is_ours(path: Path) -> bool:
    try:
        return "image-label" in load_json(path / "zarr.json", _MAX_METADATA_BYTES)["attributes"]["ome"]
    except (ProjectError, KeyError, TypeError):
        return False
