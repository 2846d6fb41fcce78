"""OME-Zarr 0.4 and 0.5 as slides: the folder of one picture, its levels arrays of chunks.

Axes c, y, x in any order, with t and z of length 1; c of 3 (or 4, with alpha) samples of 8 bits
is colour, else each channel is a slide of its own.  16-bit samples keep their upper 8 bits.  The
metadata is a stranger's: paths stay inside the folder, and codecs that could run code or are not
known to this list are refused.  Source: https://ngff.openmicroscopy.org/0.4/ and /0.5/.
"""

import math
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import zarr

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.errors import ProjectError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.slides.pixel_size import mpp_from_scales
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.atomic import load_json
from napari_pathseg.storage.untrusted import DECODER_ERRORS, MAXIMUM_DECODED_BYTES, no_warnings

_METADATA_BYTES = 16 << 20
_MOST_LEVELS = 64
# Of numcodecs and zarr 3.  Those for Python objects are left out: one of them runs what it reads.
_CODECS = frozenset(
    {
        "blosc", "zstd", "zlib", "gzip", "lz4", "lzma", "bz2", "shuffle", "delta", "bitround", "crc32", "crc32c",
        "adler32", "fletcher32", "bytes", "endian", "transpose", "sharding_indexed", "jpeg", "jpeg2k", "jpegxl", "webp",
        "imagecodecs_jpeg", "imagecodecs_jpeg2k", "imagecodecs_zstd", "imagecodecs_lz4",
    }
)  # fmt: skip


class _Picture(NamedTuple):
    """A multiscale picture: its arrays, finest first, their axes ("c", "y", "x" ...) and the pixel size."""

    arrays: list[Any]
    axes: list[str]
    mpp: float | None

    @property
    def channels(self) -> int:
        """Samples for each pixel."""
        return int(self.arrays[0].shape[self.axes.index("c")]) if "c" in self.axes else 1

    @property
    def colour(self) -> bool:
        """Whether the channels are red, green, blue and perhaps alpha."""
        return self.channels in (3, 4) and self.arrays[0].dtype == np.uint8


class ZarrSlide(Slide):
    """An OME-Zarr picture as a slide; `channel` is the one that is shown in grey, None for colour."""

    def __init__(self, path: Path, picture: _Picture, channel: int | None) -> None:
        rows, columns = picture.axes.index("y"), picture.axes.index("x")
        shapes = [(array.shape[rows], array.shape[columns]) for array in picture.arrays]
        super().__init__(path, shapes, picture.mpp, 3 if channel is None else 1)
        self._picture, self._channel = picture, channel

    def _decode(self, level: int, box: Region) -> UInt8Array:
        axes, array = self._picture.axes, self._picture.arrays[level]
        key: dict[str, int | slice] = {"t": 0, "z": 0, "y": box.slices[0], "x": box.slices[1]}
        key["c"] = slice(0, 3) if self._channel is None else self._channel
        stored = np.asarray(array[tuple(key[axis] for axis in axes)])
        left = [axis for axis in axes if isinstance(key[axis], slice)]
        wanted = ["y", "x", "c"] if self._channel is None else ["y", "x"]
        pixels = stored.transpose([left.index(axis) for axis in wanted])
        if pixels.dtype == np.uint16:
            pixels = (pixels >> 8).astype(np.uint8)
        elif pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        return np.ascontiguousarray(pixels, np.uint8)


def open_ome_zarr(path: Path, page: int | None = None, largest_chunk: int = MAXIMUM_DECODED_BYTES) -> ZarrSlide:
    """Open the folder of an OME-Zarr picture, or one channel of it, as a slide.

    Raises
    ------
    UnsupportedSlideError
        If it is no multiscale picture of 8 or 16 bits, a volume, leaves its folder, needs unknown
        codecs or more than `largest_chunk` bytes for a chunk, or has channels and none is named.
    """
    picture = _open(path, largest_chunk)
    if picture.colour and page in (None, 0):
        return ZarrSlide(path, picture, None)
    count = 1 if picture.colour else picture.channels
    if page is None and count > 1:
        raise UnsupportedSlideError(
            f"it has {count} channels of {picture.arrays[0].dtype} samples, and each is a slide of its own; "
            f"name one with page=0 to {count - 1}."
        )
    if page is not None and not 0 <= page < count:
        raise UnsupportedSlideError(f"channel {page} was asked for; it has channels 0 to {count - 1}.")
    return ZarrSlide(path, picture, page or 0)


def count_channels(path: Path) -> int:
    """Return how many slides an OME-Zarr holds: 1 for colour and grey, else its channels."""
    picture = _open(path, MAXIMUM_DECODED_BYTES)
    return 1 if picture.colour else picture.channels


def _open(path: Path, largest_chunk: int) -> _Picture:
    try:
        with no_warnings():
            return _picture(_image_folder(path), largest_chunk)
    except ProjectError as error:
        raise UnsupportedSlideError(str(error)) from error
    except DECODER_ERRORS as error:
        if isinstance(error, UnsupportedSlideError):
            raise
        raise UnsupportedSlideError(
            f"its metadata is damaged ({type(error).__name__}: {error!s:.200}); copy it again from its source."
        ) from error


def _image_folder(path: Path) -> Path:
    """Return the folder of the picture: `path`, or the only series in it as bioformats2raw lays it out."""
    about = _attributes(path)
    if "bioformats2raw.layout" in about:
        if (path / "1").is_dir():
            raise UnsupportedSlideError("it holds several pictures, in the folders 0, 1, ...; choose one of these.")
        return path / "0"
    for kind in ("plate", "well", "image-label"):
        if kind in about:
            raise UnsupportedSlideError(f"it is a {kind} and no slide; choose the folder of a picture in it.")
    return path


def _attributes(folder: Path) -> dict[str, Any]:
    """Return what a group says of itself: under "ome" in 0.5, at the top in 0.4."""
    new = folder / "zarr.json"
    if new.is_file():
        about = load_json(new, _METADATA_BYTES).get("attributes", {})
        return dict(about.get("ome", about))
    old = folder / ".zattrs"
    return dict(load_json(old, _METADATA_BYTES)) if old.is_file() else {}


def _picture(folder: Path, largest_chunk: int) -> _Picture:
    multiscales = _attributes(folder).get("multiscales")
    if not multiscales:
        raise UnsupportedSlideError("it has no multiscales, so it is Zarr but no OME-Zarr picture.")
    scales = multiscales[0]
    # Axes are words in 0.3 and older, and tczyx before that.
    entries = [entry if isinstance(entry, dict) else {"name": entry} for entry in scales.get("axes", "tczyx")]
    axes = [str(entry["name"]) for entry in entries]
    if not {"y", "x"} <= set(axes) <= set("tczyx") or len(set(axes)) != len(axes):
        raise UnsupportedSlideError(f"its axes are {', '.join(axes)}; a slide has y and x, and c where it is colour.")
    datasets = scales["datasets"][:_MOST_LEVELS]
    arrays = [_array(folder, dataset["path"], largest_chunk) for dataset in datasets]
    for array in arrays:
        _require_flat(array, axes)
    steps = [transform["scale"] for transform in _transforms(datasets[0]) + _transforms(scales) if "scale" in transform]
    sizes = {
        axis: (math.prod(float(scale[axes.index(axis)]) for scale in steps), entries[axes.index(axis)].get("unit"))
        for axis in "yx"
    }
    mpp = mpp_from_scales(list(sizes.values())) if steps else None
    finest = arrays[0].shape
    arrays = [array for array in arrays if array.dtype == arrays[0].dtype and len(array.shape) == len(finest)]
    return _Picture(arrays, axes, mpp)


def _transforms(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return list(entry.get("coordinateTransformations") or [])


def _array(folder: Path, name: str, largest_chunk: int) -> Any:
    """Open the array of a level."""
    parts = PurePosixPath(str(name)).parts
    target = folder.joinpath(*parts)
    if not parts or ".." in parts or not target.resolve().is_relative_to(folder.resolve()):
        raise UnsupportedSlideError(f'its level "{name}" lies outside its folder; that is not read.')
    about = next((target / file for file in ("zarr.json", ".zarray") if (target / file).is_file()), None)
    if about is None:
        raise UnsupportedSlideError(f'its level "{name}" is missing; copy the whole folder again.')
    unknown = sorted(_codecs(load_json(about, _METADATA_BYTES)) - _CODECS)
    if unknown:
        raise UnsupportedSlideError(f"its codec {', '.join(unknown)} is unknown here; save it with zstd or blosc.")
    array = zarr.open_array(str(target), mode="r")
    if array.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.bool_)):
        raise UnsupportedSlideError(f"its samples are {array.dtype}; save it with 8 or 16 bits.")
    if math.prod(array.chunks) * array.dtype.itemsize > largest_chunk:
        raise UnsupportedSlideError(
            f"its chunks of {' x '.join(map(str, array.chunks))} samples need more than {largest_chunk >> 20} MiB "
            "each; save it with smaller ones."
        )
    return array


def _codecs(about: Any) -> set[str]:
    """Return the names of all codecs that an array's metadata (Zarr 2 or 3) mentions, shards' inner ones too."""
    if "zarr_format" in about and int(about["zarr_format"]) == 2:
        entries = [about.get("compressor"), *(about.get("filters") or [])]
        return {str(entry["id"]) for entry in entries if entry}
    names, left = set(), list(about.get("codecs", [])) + list(about.get("storage_transformers", []))
    while left:
        codec = left.pop()
        names.add(str(codec["name"] if isinstance(codec, dict) else codec).removeprefix("numcodecs."))
        inner = codec.get("configuration") or {} if isinstance(codec, dict) else {}
        left += list(inner.get("codecs", [])) + list(inner.get("index_codecs", []))
    return names


def _require_flat(array: Any, axes: list[str]) -> None:
    """Raise unless an array has the axes, pixels, and one plane only."""
    if len(array.shape) != len(axes):
        raise UnsupportedSlideError(f"a level has {len(array.shape)} axes and says {', '.join(axes)}; copy it again.")
    if 0 in array.shape:
        raise UnsupportedSlideError("its picture has no pixels.")
    for axis in "tz":
        planes = array.shape[axes.index(axis)] if axis in axes else 1
        if planes > 1:
            raise UnsupportedSlideError(f"it is a volume of {planes} planes ({axis}); save the plane you need alone.")
