"""The files of a Zarr folder of strangers: neither pipes nor devices, and chunks that decode to what is stated.

zarr reads a chunk's file whole and has it decoded to whatever size the data says, so that 100 kB become 4 GiB.
`CheckedStore` limits the size of each file, and puts `BoundedCodec` in the place of each compressor that an array's
metadata names, also inside shards.  That decodes up to the size of a chunk.
"""

import asyncio
import bz2
import json
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import imagecodecs
import numcodecs
import numpy as np
from imagecodecs.numcodecs import register_codecs
from numcodecs.abc import Codec
from zarr.abc.codec import BytesBytesCodec
from zarr.abc.store import ByteRequest
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.registry import register_codec
from zarr.storage import LocalStore

from napari_pathseg.storage.picture_headers import require_small
from napari_pathseg.storage.regular_files import open_regular, read_regular
from napari_pathseg.storage.untrusted import DecodeError

_MAX_METADATA_BYTES = 16 << 20
_SLACK = 64 << 10  # bytes that checksums and headers may add
_WIDE = 8  # bytes of a sample after a filter that may widen it
_WIDENING = "delta"
_NAME = "napari_pathseg_bounded"
_FRAMES = {"zlib": 15, "gzip": 31}  # wbits of zlib
# Codecs that state the decoded size at their beginning: where, as little-endian bytes.
_STATED = {"lz4": (0, "<I"), "blosc": (4, "<I")}
_LZ4 = "imagecodecs_lz4"
_ZSTD = ("zstd", "imagecodecs_zstd")
_PICTURES = ("imagecodecs_jpeg", "imagecodecs_jpeg2k")
COMPRESSORS = frozenset({*_FRAMES, *_STATED, *_ZSTD, *_PICTURES, _LZ4, "lzma", "bz2"})


class CheckedStore(LocalStore):
    """A folder of Zarr whose files are not trusted."""

    _max_file_bytes: int | None = None  # of a chunk, once the array's metadata were read

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a file's content, or a range of it; None if it does not exist.

        Raises
        ------
        OSError
            If it is a pipe or a device, or larger than an array's chunk can be.
        """
        name = key.rpartition("/")[2]
        if name in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"):
            content = await asyncio.to_thread(self._metadata, self.root / key)
            return None if content is None else self._buffer(content, prototype)
        if not await asyncio.to_thread(self._exists, self.root / key, byte_range is None):
            return None
        return await super().get(key, prototype, byte_range)

    def _metadata(self, path: Path) -> bytes | None:
        """Return a file of metadata, with bounded codecs in place of compressors."""
        try:
            content = read_regular(path, _MAX_METADATA_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if path.name not in ("zarr.json", ".zarray"):
            return content
        try:
            about = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"{path.name} is not JSON") from error
        bounded, size = _bounded(about)
        if size is not None:
            self._max_file_bytes = max(size + _SLACK, _MAX_METADATA_BYTES)
        return content if bounded is about else json.dumps(bounded).encode()

    def _exists(self, path: Path, whole: bool) -> bool:
        try:
            open_regular(path, self._max_file_bytes if whole else None).close()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        return True

    @staticmethod
    def _buffer(content: bytes, prototype: BufferPrototype | None) -> Buffer:
        from zarr.core.buffer import default_buffer_prototype

        return (prototype or default_buffer_prototype()).buffer.from_bytes(content)


class BoundedCodec(Codec):  # type: ignore[misc]
    """A compressor of numcodecs that decodes to at most `limit` bytes.

    Parameters
    ----------
    codec
        Its configuration, with its name as ``id``.
    limit
        The most bytes that one chunk decodes to.
    """

    codec_id = _NAME

    def __init__(self, codec: dict[str, Any], limit: int) -> None:
        self.codec, self.limit = codec, limit

    def encode(self, buf: Any) -> Any:
        """Compress."""
        return numcodecs.get_codec(dict(self.codec)).encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress; raise DecodeError if it would be more than the limit."""
        data = bytes(buf)
        decoded = _decode(str(self.codec["id"]), self.codec, data, self.limit)
        return decoded if out is None else numcodecs.compat.ndarray_copy(decoded, out)


@dataclass(frozen=True)
class BoundedBytesCodec(BytesBytesCodec):
    """A `BoundedCodec` in the metadata of Zarr 3."""

    codec: BoundedCodec

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the codec that metadata describe."""
        return cls(BoundedCodec(**data["configuration"]))

    def to_dict(self) -> dict[str, Any]:
        """Return its metadata."""
        return {"name": _NAME, "configuration": {"codec": self.codec.codec, "limit": self.codec.limit}}

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        decoded = await asyncio.to_thread(self.codec.decode, chunk_bytes.to_bytes())
        return chunk_spec.prototype.buffer.from_bytes(bytes(decoded))

    async def _encode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        encoded = await asyncio.to_thread(self.codec.encode, chunk_bytes.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(bytes(encoded))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise, as the size is not known before."""
        raise NotImplementedError


numcodecs.register_codec(BoundedCodec)
register_codec(_NAME, BoundedBytesCodec)


def _bounded(about: Any) -> tuple[Any, int | None]:
    """Return an array's metadata with bounded compressors, and the decoded bytes of a chunk; others as they are."""
    if not isinstance(about, dict):
        return about, None
    try:
        if about.get("zarr_format") == 2 and "chunks" in about:
            return _bounded_v2(about)
        if about.get("node_type") == "array":
            grid = about["chunk_grid"]["configuration"]["chunk_shape"]
            codecs, size = _bounded_v3(about["codecs"], grid, about["data_type"])
            return {**about, "codecs": codecs}, size
    except (LookupError, TypeError, ValueError, AttributeError):  # zarr reports what is wrong
        return about, None
    return about, None


def _bounded_v2(about: dict[str, Any]) -> tuple[dict[str, Any], int]:
    filters = about.get("filters") or []
    names = [str(one["id"]) for one in filters]
    size = _chunk_bytes(about["chunks"], about["dtype"], names)
    wrap = partial(_bounded_config, limit=size + _SLACK)
    changed = {"compressor": wrap(about.get("compressor")), "filters": [wrap(one) for one in filters] or None}
    return {**about, **changed}, size


def _bounded_config(config: Any, limit: int) -> Any:
    if isinstance(config, dict) and config.get("id") in COMPRESSORS:
        return {"id": _NAME, "codec": config, "limit": limit}
    return config


def _bounded_v3(codecs: Any, shape: Any, dtype: Any) -> tuple[list[Any], int]:
    size = _chunk_bytes(shape, dtype, [_name_of(codec) for codec in codecs])
    return [_bounded_v3_codec(codec, shape, dtype, size + _SLACK) for codec in codecs], size


def _bounded_v3_codec(codec: Any, shape: Any, dtype: Any, limit: int) -> Any:
    name = _name_of(codec)
    config = codec.get("configuration") or {} if isinstance(codec, dict) else {}
    if name == "sharding_indexed":
        inner = config["chunk_shape"]
        index = [max(1, math.prod(shape) // max(1, math.prod(inner))), 2]
        changed = {
            "codecs": _bounded_v3(config["codecs"], inner, dtype)[0],
            "index_codecs": _bounded_v3(config.get("index_codecs", []), index, "uint64")[0],
        }
        return {**codec, "configuration": {**config, **changed}}
    if name not in COMPRESSORS:
        return codec
    return {"name": _NAME, "configuration": {"codec": {**config, "id": name}, "limit": limit}}


def _name_of(codec: Any) -> str:
    return str(codec["name"] if isinstance(codec, dict) else codec).removeprefix("numcodecs.")


def _chunk_bytes(shape: Any, dtype: Any, filters: Sequence[str]) -> int:
    item = _WIDE if _WIDENING in filters else np.dtype(dtype).itemsize
    return math.prod(int(side) for side in shape) * item


def _decode(name: str, config: dict[str, Any], data: bytes, limit: int) -> Any:
    """Return what data decode to; raise DecodeError if it would be more than `limit` bytes."""
    if name in _FRAMES:
        return _inflate(data, lambda: zlib.decompressobj(_FRAMES[name]), limit)
    if name == "bz2":
        return _inflate(data, bz2.BZ2Decompressor, limit)
    if name == "lzma":
        format = config.get("format", lzma.FORMAT_XZ)
        filters = config.get("filters") if format == lzma.FORMAT_RAW else None
        return _inflate(data, lambda: lzma.LZMADecompressor(format, filters=filters), limit)
    if name in _ZSTD:
        return imagecodecs.zstd_decode(data, out=limit)
    if name == _LZ4:
        return imagecodecs.lz4_decode(data, header=bool(config.get("header")), out=limit)
    if name in _STATED:
        at, layout = _STATED[name]
        if len(data) < at + 4 or struct.unpack_from(layout, data, at)[0] > limit:
            raise _too_large(limit)
    if name in _PICTURES:
        require_small(data, limit)
        register_codecs()  # of imagecodecs
    return numcodecs.get_codec(dict(config)).decode(data)


def _inflate(data: bytes, new: Callable[[], Any], limit: int) -> bytes:
    """Return what a chain of compressed streams holds; raise DecodeError if it is more than `limit` bytes."""
    parts, left = [], limit
    while data:
        stream = new()
        part = stream.decompress(data, left + 1)
        if len(part) > left:
            raise _too_large(limit)
        if not stream.eof:
            raise DecodeError("a chunk ends early")
        parts.append(part)
        left -= len(part)
        data = stream.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> DecodeError:
    return DecodeError(f"a chunk decodes to more than {limit:,} bytes")
