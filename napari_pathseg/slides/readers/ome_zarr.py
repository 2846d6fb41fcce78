"""OME-Zarr 0.4 and 0.5 as slides: the folder of one image, each level an array of chunks.

Axes c, y, x in any order, with t and z of length 1.  Channels are one picture in colour, perhaps with alpha, where
:func:`~napari_pathseg.slides.channels.colour_channels` says so of what ``omero`` calls them, else each is a slide of
its own.  Of 16-bit samples it is measured how many bits are used, and the upper 8 of these are kept.  The
metadata is untrusted: paths must stay inside the folder, and codecs that are not in a list of safe ones
are refused.  Source: https://ngff.openmicroscopy.org/0.4/ and /0.5/.
"""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import zarr

from napari_pathseg.errors import ProjectError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.channels import Channel, ColourChannels, colour_channels
from napari_pathseg.slides.pixel_size import PixelSize, pixel_size_from_scales
from napari_pathseg.slides.samples import MAX_MEASURED_BYTES, MeasuredDepth, depth_note, over_white, to_8_bits
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.atomic import load_json
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, decoding, suppress_warnings
from napari_pathseg.storage.zarr_files import COMPRESSORS, CheckedStore

_MAX_METADATA_BYTES = 16 << 20
_MAX_LEVELS = 64
_MAX_PARALLEL_BYTES = 16 << 20  # of a chunk
_BANDS = 8  # of a level that is too large to be measured whole
# Of numcodecs and zarr 3, without those for Python objects, one of which executes what it reads.
_CODECS = frozenset(
    (
        *COMPRESSORS,
        *("shuffle", "delta", "bitround", "bytes", "endian"),
        *("crc32", "crc32c", "adler32", "fletcher32", "transpose", "sharding_indexed"),
    )
)


class _Image(NamedTuple):
    """A multiscale image: its arrays, finest first, its axes ("c", "y", "x" ...), pixel size and named channels."""

    arrays: list[Any]
    axes: list[str]
    pixel_size: PixelSize | None
    named: Sequence[Channel] = ()

    @property
    def channels(self) -> int:
        """Samples per pixel."""
        return int(self.arrays[0].shape[self.axes.index("c")]) if "c" in self.axes else 1

    @property
    def colour(self) -> ColourChannels | None:
        """Which channels are red, green, blue and perhaps alpha, or None if each is a slide."""
        return colour_channels(self.named, self.channels, 8 * self.arrays[0].dtype.itemsize)


class ZarrSlide(Slide):
    """An OME-Zarr image as a slide; `shown` are its channels: one for grey, or red, green, blue and perhaps alpha."""

    def __init__(self, path: Path, image: _Image, shown: Sequence[int]) -> None:
        rows, columns = image.axes.index("y"), image.axes.index("x")
        shapes = [(array.shape[rows], array.shape[columns]) for array in image.arrays]
        super().__init__(path, shapes, image.pixel_size, 1 if len(shown) == 1 else 3)
        self._image, self._shown = image, list(shown)
        self._deep = image.arrays[0].dtype == np.uint16
        self._depth = MeasuredDepth(self._largest_samples)

    @property
    def notes(self) -> Sequence[str]:
        """How its 16-bit samples are shown."""
        note = depth_note(self._depth.bits) if self._deep else ""
        return [note] if note else []

    def _decode(self, level: int, box: Region) -> UInt8Array:
        stored = self._stored(level, box)
        if stored.dtype == np.bool_:
            samples = stored.astype(np.uint8) * np.uint8(255)
        else:
            samples = to_8_bits(stored, self._depth.bits if self._deep else 8)
        pixels = samples[..., 0] if self.channels == 1 else samples[..., :3]
        if len(self._shown) > 3:
            pixels = over_white(pixels, samples[..., 3])
        return np.ascontiguousarray(pixels)

    def _stored(self, level: int, box: Region) -> npt.NDArray[Any]:
        """Return the samples (rows, columns, shown channels) of a box of a level."""
        axes, array = self._image.axes, self._image.arrays[level]
        key: dict[str, int | slice] = {"t": 0, "z": 0, "y": box.slices[0], "x": box.slices[1]}
        first, last = min(self._shown), max(self._shown)
        key["c"] = slice(first, last + 1)
        with decoding():
            stored = _read_array(array, tuple(key[axis] for axis in axes))
        left = [axis for axis in axes if isinstance(key[axis], slice)]
        if "c" not in left:
            stored, left = stored[..., None], [*left, "c"]
        stored = stored.transpose([left.index(axis) for axis in "yxc"])
        order = [channel - first for channel in self._shown]
        return stored if order == list(range(stored.shape[-1])) else stored[..., order]

    def _largest_samples(self) -> Iterator[int]:
        """Yield the largest sample of boxes of the coarsest level, without those that cannot be read."""
        level = len(self.levels) - 1
        for box in _spread(self.levels[level].shape, len(self._shown)):
            try:
                stored = self._stored(level, box)
            except (DecodeError, OSError):  # reported where it is shown
                continue
            yield int(stored[..., :3].max(initial=0))


def _read_array(array: Any, key: tuple[int | slice, ...]) -> npt.NDArray[Any]:
    """Return a box of an array; of chunks that are large one is decoded at a time, where zarr would take ten."""
    if math.prod(array.chunks) * array.dtype.itemsize <= _MAX_PARALLEL_BYTES:
        return np.asarray(array[key])
    sides = [slice(one, one + 1) if isinstance(one, int) else one for one in key]
    pixels = np.empty([side.stop - side.start for side in sides], array.dtype)
    grid = [
        [slice(max(start, side.start), min(start + step, side.stop)) for start in _starts(side, step)]
        for side, step in zip(sides, array.chunks, strict=True)
    ]
    for piece in product(*grid):
        here = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(piece, sides, strict=True))
        pixels[here] = array[piece]
    return pixels[tuple(0 if isinstance(one, int) else slice(None) for one in key)]


def _starts(side: slice, step: int) -> range:
    """Return where the chunks begin that a side of a box overlaps."""
    return range(side.start // step * step, side.stop, step)


def open_ome_zarr(path: Path, page: int | None = None, max_chunk_bytes: int = MAX_DECODED_BYTES) -> ZarrSlide:
    """Open the folder of an OME-Zarr image, or one channel of it, as a slide.

    Raises
    ------
    UnsupportedSlideError
        If it is not a multiscale image of 8 or 16 bits, is a volume, refers to files outside its folder, needs
        unknown codecs or more than `max_chunk_bytes` for a chunk, or has channels and none is chosen.
    """
    image = _open(path, max_chunk_bytes)
    colour = image.colour
    if colour is None and page is None and image.channels in (3, 4) and image.arrays[0].dtype == np.uint8:
        colour = ColourChannels(0, 1, 2)  # so projects of version 0.1.0 have it, whatever the channels are called
    if colour is not None and page in (None, 0):
        return ZarrSlide(path, image, [channel for channel in colour if channel is not None])
    count = 1 if colour is not None else image.channels
    if page is None and count > 1:
        raise UnsupportedSlideError(
            f"it has {count} channels of {image.arrays[0].dtype} samples, and each is a slide of its own; "
            f"name one with page=0 to {count - 1}."
        )
    if page is not None and not 0 <= page < count:
        raise UnsupportedSlideError(f"it has no channel {page}; its channels are 0 to {count - 1}.")
    return ZarrSlide(path, image, [page or 0])


def count_channels(path: Path) -> int:
    """Return how many slides an OME-Zarr holds: 1 for colour or grey, else its channels."""
    image = _open(path, MAX_DECODED_BYTES)
    return 1 if image.colour is not None else image.channels


def _spread(shape: tuple[int, int], channels: int) -> list[Region]:
    """Return bands of a level, evenly spread, whose samples fit into `MAX_MEASURED_BYTES`."""
    rows, columns = shape
    most = max(1, MAX_MEASURED_BYTES // (2 * columns * channels))
    if most >= rows:
        return [Region(0, 0, rows, columns)]
    height = max(1, most // _BANDS)
    return [Region(index * (rows - height) // _BANDS, 0, height, columns) for index in range(_BANDS)]


def _open(path: Path, max_chunk_bytes: int) -> _Image:
    try:
        with suppress_warnings():
            return _load_image(_image_folder(path), max_chunk_bytes)
    except UnsupportedSlideError:
        raise
    except ProjectError as error:
        raise UnsupportedSlideError(str(error)) from error
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:  # from untrusted metadata
        what = str(error) if isinstance(error, DecodeError) else f"{type(error).__name__}: {error!s:.200}"
        raise UnsupportedSlideError(f"its metadata is damaged ({what}); copy it again from its source.") from error


def _image_folder(path: Path) -> Path:
    """Return the folder of the image: `path`, or its only series in the layout of bioformats2raw."""
    about = _attributes(path)
    if "bioformats2raw.layout" in about:
        if (path / "1").is_dir():
            raise UnsupportedSlideError("it has several images, in the folders 0, 1, ...; choose one of these.")
        return path / "0"
    for kind in ("plate", "well", "image-label"):
        if kind in about:
            raise UnsupportedSlideError(f"it is a {kind}, not a slide; choose the folder of an image in it.")
    return path


def _attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of a group: under "ome" in 0.5, at the top in 0.4."""
    new = folder / "zarr.json"
    if new.is_file():
        attributes = _object(_load_object(new).get("attributes", {}))
        return _object(attributes.get("ome", attributes))
    old = folder / ".zattrs"
    return _load_object(old) if old.is_file() else {}


def _load_object(path: Path) -> dict[str, Any]:
    return _object(load_json(path, _MAX_METADATA_BYTES, finite=False))


def _object(value: Any) -> dict[str, Any]:
    """Return a JSON value that must be an object."""
    if not isinstance(value, dict):
        raise DecodeError(f"{str(value)[:50]} stands where JSON needs an object")
    return value


def _load_image(folder: Path, max_chunk_bytes: int) -> _Image:
    about = _attributes(folder)
    multiscales = about.get("multiscales")
    if not multiscales:
        raise UnsupportedSlideError("it has no multiscales, so it is Zarr but not an OME-Zarr image.")
    scales = _object(multiscales[0])
    # In 0.3 and older axes are plain names; before that they are always tczyx.
    entries = [entry if isinstance(entry, dict) else {"name": entry} for entry in scales.get("axes", "tczyx")]
    axes = [str(entry["name"]) for entry in entries]
    if not {"y", "x"} <= set(axes) <= set("tczyx") or len(set(axes)) != len(axes):
        raise UnsupportedSlideError(f"its axes are {', '.join(axes)}; a slide has y and x, and c if it has colour.")
    datasets = [_object(dataset) for dataset in scales["datasets"][:_MAX_LEVELS]]
    arrays = [_array(folder, dataset["path"], max_chunk_bytes) for dataset in datasets]
    for array in arrays:
        _require_flat(array, axes)
    steps = [transform["scale"] for transform in _transforms(datasets[0]) + _transforms(scales) if "scale" in transform]
    across, down = (
        (math.prod(float(scale[axes.index(axis)]) for scale in steps), entries[axes.index(axis)].get("unit"))
        for axis in "xy"
    )
    size = pixel_size_from_scales(across, down) if steps else None
    finest = arrays[0].shape
    arrays = [array for array in arrays if array.dtype == arrays[0].dtype and len(array.shape) == len(finest)]
    return _Image(arrays, axes, size, _named_channels(about.get("omero")))


def _named_channels(omero: Any) -> list[Channel]:
    """Return what the ``omero`` attributes say of each channel: label, and colour as ``RRGGBB``."""
    entries = omero.get("channels") if isinstance(omero, dict) else None
    channels = []
    for entry in entries if isinstance(entries, list) else []:
        about = entry if isinstance(entry, dict) else {}
        colour = str(about.get("color") or "").removeprefix("#")
        known = re.fullmatch("[0-9a-fA-F]{6}", colour)
        channels.append(Channel(str(about.get("label") or ""), int(colour, 16) if known else None))
    return channels


def _transforms(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [_object(transform) for transform in entry.get("coordinateTransformations") or []]


def _array(folder: Path, name: str, max_chunk_bytes: int) -> Any:
    """Open the array of a level."""
    parts = PurePosixPath(str(name)).parts
    target = folder.joinpath(*parts)
    if not parts or ".." in parts or not target.resolve().is_relative_to(folder.resolve()):
        raise UnsupportedSlideError(f'its level "{name}" is outside its folder; copy the level into the folder.')
    about = next((target / file for file in ("zarr.json", ".zarray") if (target / file).is_file()), None)
    if about is None:
        raise UnsupportedSlideError(f'its level "{name}" is missing; copy the whole folder again.')
    unknown = sorted(_codecs(_load_object(about)) - _CODECS)
    if unknown:
        raise UnsupportedSlideError(f"its codec {', '.join(unknown)} cannot be read; save it with zstd or blosc.")
    with decoding():
        array = zarr.open_array(CheckedStore(target, read_only=True), mode="r")
    if array.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.bool_)):
        raise UnsupportedSlideError(f"its samples are {array.dtype}; save it with 8 or 16 bits.")
    if math.prod(array.chunks) * array.dtype.itemsize > max_chunk_bytes:
        raise UnsupportedSlideError(
            f"its chunks of {' x '.join(map(str, array.chunks))} samples need more than {max_chunk_bytes >> 20} MiB "
            "each; save it with smaller ones."
        )
    return array


def _codecs(about: dict[str, Any]) -> set[str]:
    """Return the names of all codecs in an array's metadata (Zarr 2 or 3), also those inside shards."""
    if "zarr_format" in about and int(about["zarr_format"]) == 2:
        entries = [about.get("compressor"), *(about.get("filters") or [])]
        return {str(entry["id"]) for entry in entries if entry}
    names, left = set(), list(about.get("codecs", [])) + list(about.get("storage_transformers", []))
    while left:
        codec = left.pop()
        names.add(str(codec["name"] if isinstance(codec, dict) else codec).removeprefix("numcodecs."))
        inner = _object(codec.get("configuration") or {}) if isinstance(codec, dict) else {}
        left += list(inner.get("codecs", [])) + list(inner.get("index_codecs", []))
    return names


def _require_flat(array: Any, axes: list[str]) -> None:
    """Raise unless an array has these axes, has pixels, and is a single plane."""
    if len(array.shape) != len(axes):
        raise UnsupportedSlideError(
            f"a level has {len(array.shape)} axes, its metadata {', '.join(axes)}; export it again."
        )
    if 0 in array.shape:
        raise UnsupportedSlideError("its image has no pixels.")
    for axis in "tz":
        planes = array.shape[axes.index(axis)] if axis in axes else 1
        if planes > 1:
            raise UnsupportedSlideError(f"it is a volume of {planes} planes ({axis}); save the plane you need alone.")
