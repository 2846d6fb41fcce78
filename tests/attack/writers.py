"""Write files of the formats that strangers send, with whatever content a case needs."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

# Compressions of TIFF.
DEFLATE, PACKBITS, LZMA, ZSTD, LERC, PNG, WEBP, JPEG_XL = 8, 32773, 34925, 50000, 34887, 34933, 50001, 50002
JPEG, JPEG_XR, JPEG_2000 = 7, 34934, 34712


def write_tiff(
    path: Path, chunks: Sequence[bytes], shape: tuple[int, int], compression: int, *, tile: int = 0, samples: int = 1,
    bits: int = 8, text: bytes = b"", repeat: int = 1,
) -> Path:  # fmt: skip
    """Write a TIFF of one page whose strips or tiles hold `chunks` as they are, each listed `repeat` times."""
    offsets, position = [], 8
    for chunk in chunks:
        offsets += [position] * repeat
        position += len(chunk)
    counts = [len(chunk) for chunk in chunks for _ in range(repeat)]
    where, size = (324, 325) if tile else (273, 279)
    tags = [(256, 4, [shape[1]]), (257, 4, [shape[0]]), (258, 3, [bits] * samples), (259, 3, [compression])]
    tags += [(262, 3, [2 if samples == 3 else 1]), (where, 4, offsets), (277, 3, [samples]), (size, 4, counts)]
    tags += [(322, 4, [tile]), (323, 4, [tile])] if tile else [(278, 4, [shape[0]])]
    tags += [(270, 2, list(text + b"\0"))] if text else []
    path.write_bytes(b"II*\0" + struct.pack("<I", position) + b"".join(chunks) + _directory(tags, position))
    return path


def _directory(tags: list[tuple[int, int, list[int]]], position: int) -> bytes:
    """Return an image file directory that lies at `position`, and the values of its tags behind it."""
    entries, rest = b"", b""
    behind = position + 2 + 12 * len(tags) + 4
    for tag, kind, values in sorted(tags):
        packed = np.array(values, {2: "<u1", 3: "<u2", 4: "<u4"}[kind]).tobytes()
        if len(packed) > 4:
            packed, rest = struct.pack("<I", behind + len(rest)), rest + packed + bytes(len(packed) % 2)
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return struct.pack("<H", len(tags)) + entries + bytes(4) + rest


def write_zarr(path: Path, side: int = 64, chunk: int = 64, version: int = 2, **options: Any) -> Path:
    """Write an OME-Zarr image of one grey level."""
    group = zarr.create_group(path, zarr_format=version)
    level = group.create_array("0", shape=(side, side), chunks=(chunk, chunk), dtype="uint8", **options)
    level[:64, :64] = np.full((64, 64), 90, np.uint8)
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    about = {"multiscales": [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]}
    group.attrs.put(about if version == 2 else {"ome": about | {"version": "0.5"}})
    return path


def geojson(path: Path, rings: Sequence[Sequence[Sequence[float]]], name: str = "Tumour") -> Path:
    """Write rings as the annotations of QuPath."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "properties": {"classification": {"name": name}},
        }
        for ring in rings
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf8")
    return path


def square(left: float, top: float, side: float) -> list[list[float]]:
    """Return the corners of a square as x and y."""
    return [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]
