"""Attacks by the files of slides: bombs, loops, pipes, devices, paths and addresses."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import payloads
import tifffile
import writers
from numcodecs.checksum32 import CRC32C
from PIL import Image
from scene import Case, Command, Make, Site, edit_json

_SMALL = np.full((64, 64), 90, np.uint8)


def _mismatched(compression: int, content: Callable[[], bytes], samples: int = 1) -> Make:
    """Make a TIFF of a tile of 256 x 256 pixels that decompresses to far more."""

    def make(site: Site) -> Command:
        path = site.inputs / "bomb.tif"
        return site.add(writers.write_tiff(path, [content()], (256, 256), compression, tile=256, samples=samples))

    return make


def _stated(compression: int, content: Callable[[], bytes], side: int, samples: int = 1) -> Make:
    """Make a TIFF of a single strip that is as large as it says."""

    def make(site: Site) -> Command:
        path = site.inputs / "bomb.tif"
        return site.add(writers.write_tiff(path, [content()], (side, side), compression, samples=samples))

    return make


def _file(name: str, content: Callable[[], bytes]) -> Make:
    def make(site: Site) -> Command:
        (site.inputs / name).write_bytes(content())
        return site.add(site.inputs / name)

    return make


def _zarr_bomb(chunk: Callable[[int], bytes], version: int, **options: object) -> Make:
    """Make an OME-Zarr whose only chunk decompresses to 4 GiB."""

    def make(site: Site) -> Command:
        path = writers.write_zarr(site.inputs / "bomb.zarr", version=version, **options)
        (path / "0" / ("0.0" if version == 2 else "c/0/0")).write_bytes(chunk(4 * payloads.GIB))
        return site.add(path)

    return make


def _zarr_v2(codec: dict, chunk: Callable[[int], bytes]) -> Make:
    def make(site: Site) -> Command:
        path = writers.write_zarr(site.inputs / "bomb.zarr")
        edit_json(path / "0" / ".zarray", lambda about: about.update(compressor=codec, filters=None))
        (path / "0" / "0.0").write_bytes(chunk(4 * payloads.GIB))
        return site.add(path)

    return make


def _zarr_v3(codecs: list[dict], chunk: Callable[[int], bytes]) -> Make:
    def make(site: Site) -> Command:
        path = writers.write_zarr(site.inputs / "bomb.zarr", version=3)
        content = [{"name": "bytes"}, *codecs]
        edit_json(path / "0" / "zarr.json", lambda about: about.update(codecs=content))
        (path / "0" / "c" / "0" / "0").write_bytes(chunk(4 * payloads.GIB))
        return site.add(path)

    return make


def _sharded(site: Site) -> Command:
    path = writers.write_zarr(site.inputs / "bomb.zarr", side=128, version=3, shards=(128, 128))
    bomb = payloads.zstd(4 * payloads.GIB)
    index = struct.pack("<8Q", *(number for _ in range(4) for number in (0, len(bomb))))
    (path / "0" / "c" / "0" / "0").write_bytes(
        bomb + CRC32C(location="end").encode(np.frombuffer(index, np.uint8)).tobytes()
    )
    return site.add(path)


def _large_chunks(site: Site) -> Command:
    path = writers.write_zarr(site.inputs / "bomb.zarr", side=64, chunk=64)
    side = 16_384
    edit_json(
        path / "0" / ".zarray",
        lambda about: about.update(
            shape=[4 * side, 4 * side], chunks=[side, side], compressor={"id": "zlib", "level": 1}
        ),
    )
    chunk = zlib.compress(bytes(256 << 20))
    for row in range(4):
        for column in range(4):
            (path / "0" / f"{row}.{column}").write_bytes(chunk)
    return site.add(path)


def _zarr_file(kind: Callable[[Path], None], name: str = "0/0.0") -> Make:
    """Make an OME-Zarr of which one file is something else."""

    def make(site: Site) -> Command:
        path = writers.write_zarr(site.inputs / "a.zarr")
        (path / name).unlink(missing_ok=True)
        kind(path / name)
        return site.add(path)

    return make


def _sparse(path: Path, size: int = 20 * payloads.GIB) -> None:
    with path.open("ab") as file:
        file.truncate(size)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _zarr_path(name: str) -> Make:
    def make(site: Site) -> Command:
        path = writers.write_zarr(site.inputs / "a.zarr")
        writers.write_zarr(site.inputs / "other")
        where = name.format(folder=site.folder, url=site.url)
        edit_json(path / ".zattrs", lambda about: about["multiscales"][0]["datasets"][0].update(path=where))
        return site.add(path)

    return make


def _zarr_loop(site: Site) -> Command:
    path = writers.write_zarr(site.inputs / "a.zarr")
    for number in range(1, 4):
        (path / str(number)).symlink_to(path)
    return site.add(path)


def _ome(name: str, *, present: bool = True) -> Make:
    """Make an OME-TIFF whose pixels are said to lie in another file."""

    def make(site: Site) -> Command:
        other = name.format(folder=site.folder, url=site.url)
        uuid = "urn:uuid:11111111-1111-1111-1111-111111111111"
        text = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:22222222-2222-2222-2222-222222222222"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            f'DimensionOrder="XYZCT" Type="uint8" SizeX="64" SizeY="64" SizeZ="1" SizeC="2" SizeT="1">'
            '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><Channel ID="Channel:0:1" SamplesPerPixel="1"/>'
            f'<TiffData IFD="0" FirstC="1" PlaneCount="1"/><TiffData IFD="0" FirstC="0" PlaneCount="1">'
            f'<UUID FileName="{other}">{uuid}</UUID></TiffData></Pixels></Image></OME>'
        )
        path = site.inputs / "a.ome.tif"
        return site.add(writers.write_tiff(path, [_SMALL.tobytes()], (64, 64), 1, text=text.encode()))

    return make


def _entities(site: Site) -> Command:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    text = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY l0 "lol">{entities}]><OME>&l9;</OME>'
    path = site.inputs / "a.ome.tif"
    return site.add(writers.write_tiff(path, [_SMALL.tobytes()], (64, 64), 1, text=text.encode()))


def _loop(site: Site) -> Command:
    path = site.inputs / "loop.tif"
    tifffile.imwrite(path, np.stack([_SMALL] * 3), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages[2]
        behind = last.offset + 2 + 12 * len(last.tags)
        first = tiff.pages[0].offset
    content = bytearray(path.read_bytes())
    content[behind : behind + 4] = struct.pack("<I", first)
    path.write_bytes(content)
    return site.add(path)


def _directories(count: int) -> bytes:
    """Return a TIFF of `count` image file directories, each of one pixel."""
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    size = len(body) + 4
    parts = [body + struct.pack("<I", 8 + number * size if number < count else 0) for number in range(1, count + 1)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(parts)


def _shared_tiles(site: Site) -> Command:
    """Make a picture of 100,000 x 100,000 pixels whose tiles are all the same bytes."""
    tile = zlib.compress(bytes(16 << 20))
    path, side = site.inputs / "same.tif", 4096
    count = (-(-100_000 // side)) ** 2
    return site.add(writers.write_tiff(path, [tile], (100_000, 100_000), 8, tile=side, repeat=count))


def _pipe(name: str) -> Make:
    def make(site: Site) -> Command:
        os.mkfifo(site.inputs / name)
        return site.add(site.inputs / name)

    return make


def _link(name: str, target: str) -> Make:
    def make(site: Site) -> Command:
        (site.inputs / name).symlink_to(target)
        return site.add(site.inputs / name)

    return make


def _address(site: Site) -> Command:
    return ["add", str(site.project), f"{site.url}/a.tif"]


def _sparse_image(name: str, content: Callable[[], bytes]) -> Make:
    def make(site: Site) -> Command:
        (site.inputs / name).write_bytes(content())
        _sparse(site.inputs / name)
        return site.add(site.inputs / name)

    return make


def _scans(count: int) -> bytes:
    """Return a progressive JPEG whose scans are repeated."""
    file = io.BytesIO()
    Image.new("L", (9000, 9000)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


def _many_slides(count: int) -> Make:
    def make(site: Site) -> Command:
        first = site.inputs / "case0.tif"
        tifffile.imwrite(first, _SMALL)
        for number in range(1, count):
            os.link(first, site.inputs / f"case{number}.tif")
        return site.add(site.inputs)

    return make


_GREY_JPEG = bytes(imagecodecs.jpeg8_encode(_SMALL))
_BOMB = partial(Case, "TIFF")
_4G = 4 * payloads.GIB
_PNG = partial(Case, "PNG")
_JPEG = partial(Case, "JPEG")
_JPEG_2000 = partial(Case, "JPEG 2000")
_OTHER = partial(Case, "other images")
_ZARR = partial(Case, "OME-Zarr")

CASES = (
    _BOMB("deflate of 4 GiB", _mismatched(writers.DEFLATE, lambda: payloads.deflate(_4G)), 0, "unreadable in places"),
    _BOMB(
        "zstd of 4 GiB", _mismatched(writers.ZSTD, lambda: payloads.zstd(_4G)), 0, "unreadable in places", quick=True
    ),
    _BOMB("lzma of 4 GiB", _mismatched(writers.LZMA, lambda: payloads.xz(_4G)), 0, "1 slide added"),
    _BOMB(
        "PackBits of 2 GiB",
        _mismatched(writers.PACKBITS, lambda: payloads.packbits(_4G >> 1)),
        0,
        "unreadable in places",
    ),
    _BOMB(
        "PNG of 60,000 px",
        _mismatched(writers.PNG, lambda: payloads.png(60_000, 60_000)),
        0,
        "unreadable in places",
        quick=True,
    ),
    _BOMB("WebP of 16,000 px", _mismatched(writers.WEBP, lambda: payloads.WEBP, 3), 0, "unreadable in places"),
    _BOMB("JPEG XL of 20,000 px", _mismatched(writers.JPEG_XL, lambda: payloads.JPEG_XL), 0, "unreadable in places"),
    _BOMB("JPEG XR of 12,000 px", _mismatched(writers.JPEG_XR, lambda: payloads.JPEG_XR), 0, "unreadable in places"),
    _BOMB(
        "JPEG 2000 of 16,000 px",
        _mismatched(writers.JPEG_2000, lambda: payloads.JPEG_2000),
        0,
        "unreadable in places",
        quick=True,
    ),
    _BOMB("LERC of 40,000 px", _mismatched(writers.LERC, lambda: payloads.LERC), 0, "unreadable in places", quick=True),
    _BOMB(
        "JPEG of 65,000 px",
        _mismatched(writers.JPEG, lambda: payloads.jpeg(_GREY_JPEG, 65_000, 65_000)),
        0,
        "unreadable in places",
    ),
    _BOMB(
        "a strip of JPEG 2000 of 16,000 px",
        _stated(writers.JPEG_2000, lambda: payloads.JPEG_2000, 16_000),
        1,
        "each of which needs more than 153 MiB",
    ),
    _BOMB(
        "a strip of JPEG XR of 12,000 px", _stated(writers.JPEG_XR, lambda: payloads.JPEG_XR, 12_000), 0, "nearly black"
    ),
    _BOMB(
        "a strip of deflate of 16,000 px",
        _stated(writers.DEFLATE, lambda: zlib.compress(bytes(16_000**2)), 16_000),
        0,
        "1 slide added",
    ),
    _BOMB(
        "a strip of JPEG of 16,000 px",
        _stated(writers.JPEG, lambda: payloads.jpeg(_GREY_JPEG, 16_000, 16_000), 16_000),
        0,
        "1 slide added",
    ),
    _BOMB(
        "a strip of JPEG XL of 20,000 px",
        _stated(writers.JPEG_XL, lambda: payloads.JPEG_XL, 20_000),
        1,
        "each of which needs more than 256 MiB",
    ),
    _BOMB(
        "a strip of WebP of 16,000 px",
        _stated(writers.WEBP, lambda: payloads.WEBP, 16_000, 3),
        1,
        "each of which needs more than 256 MiB",
    ),
    _BOMB(
        "a million directories",
        _file("pages.tif", lambda: _directories(1_000_000)),
        1,
        "it has more than 20,000 pages",
    ),
    _BOMB("a loop of directories", _loop, 0, "1 slide added", quick=True),
    _BOMB("600 tiles that are the same bytes", _shared_tiles, 0, "nearly black", quick=True),
    _BOMB("OME that names a file by its path", _ome("{folder}/slides/a.tif"), 0, "1 slide added", quick=True),
    _BOMB("OME that names a file above", _ome("../outside/secret.txt"), 0, "1 slide added"),
    _BOMB("OME that names an address", _ome("{url}/a.tif"), 0, "1 slide added", quick=True),
    _BOMB("OME that names a device", _ome("/dev/zero"), 0, "1 slide added"),
    _BOMB("OME with entities", _entities, 0, "1 slide added"),
    _BOMB("a pipe", _pipe("a.tif"), 1, "is a pipe or a device, not a file", quick=True),
    _BOMB("a link to a device", _link("a.tif", "/dev/zero"), 1, "is a pipe or a device, not a file"),
    _BOMB("a link to itself", _link("a.tif", "a.tif"), 1, "does not exist; was the file moved or renamed?"),
    _BOMB("an address", _address, 1, "does not exist; was the file moved or renamed?"),
    _BOMB("3,000 slides at once", _many_slides(3000), 0, "3,000 slides added", seconds=30),
    _BOMB("300 slides at once", _many_slides(300), 0, "300 slides added"),
    _PNG(
        "60,000 px",
        _file("a.png", lambda: payloads.png(60_000, 60_000)),
        1,
        "60000 x 60000 pixels need more than 256 MiB at once",
    ),
    _PNG(
        "16-bit RGBA of 9,000 px",
        _file("a.png", lambda: payloads.png(9000, 9000, 16, 6)),
        1,
        "9000 x 9000 pixels need more than 256 MiB at once",
        quick=True,
    ),
    _PNG("RGBA of 8,000 px", _file("a.png", lambda: payloads.png(8000, 8000, 8, 6)), 0, "1 slide added"),
    _PNG(
        "16-bit grey of 16,000 px",
        _file("a.png", lambda: payloads.png(16_000, 16_000, 16)),
        1,
        "16000 x 16000 pixels need more than 256 MiB at once",
    ),
    _PNG("palette of 9,400 px", _file("a.png", lambda: payloads.png(9400, 9400, 8, 3)), 0, "nearly black"),
    _PNG(
        "16-bit of 20 GiB",
        _sparse_image("a.png", lambda: payloads.png(64, 64, 16)),
        0,
        "unreadable in places",
        quick=True,
    ),
    _PNG("8-bit of 20 GiB", _sparse_image("a.png", lambda: payloads.png(64, 64)), 0, "1 slide added"),
    _PNG("a pipe", _pipe("a.png"), 1, "is a pipe or a device, not a file", quick=True),
    _JPEG(
        "65,000 px",
        _file("a.jpg", lambda: payloads.jpeg(_GREY_JPEG, 65_000, 65_000)),
        1,
        "65000 x 65000 pixels need more than 256 MiB at once",
    ),
    _JPEG("16,000 px", _file("a.jpg", lambda: payloads.jpeg(_GREY_JPEG, 16_000, 16_000)), 0, "1 slide added"),
    _JPEG("2,000 scans", _file("a.jpg", lambda: _scans(2000)), 1, "it has 2,005 scans; at most 100 are read"),
    _JPEG_2000("16,000 px", _file("a.jp2", lambda: payloads.JPEG_2000), 1, "need more than 153 MiB at once"),
    _OTHER(
        "AVIF",
        _file("a.png", lambda: b"\0\0\0\x1cftypavif" + bytes(900)),
        1,
        "it does not recognise the file",
        quick=True,
    ),
    _OTHER("JPEG XL", _file("a.png", lambda: payloads.JPEG_XL), 1, "it does not recognise the file"),
    _OTHER("JPEG XL as DICOM", _file("a.dcm", lambda: payloads.JPEG_XL), 1, "it does not recognise the file"),
    _ZARR(
        "zlib of 4 GiB", _zarr_v2({"id": "zlib", "level": 1}, payloads.deflate), 0, "unreadable in places", quick=True
    ),
    _ZARR("zstd of 4 GiB, 2", _zarr_v2({"id": "zstd", "level": 1}, payloads.zstd), 0, "unreadable in places"),
    _ZARR(
        "gzip of 4 GiB, 2",
        _zarr_v2({"id": "gzip", "level": 1}, partial(payloads.deflate, wbits=31)),
        0,
        "unreadable in places",
    ),
    _ZARR("bzip2 of 4 GiB", _zarr_v2({"id": "bz2", "level": 1}, payloads.bzip2), 0, "unreadable in places"),
    _ZARR("lzma of 4 GiB", _zarr_v2({"id": "lzma"}, payloads.xz), 0, "unreadable in places"),
    _ZARR("LZ4 of 2 GiB", _zarr_v2({"id": "lz4"}, payloads.lz4), 0, "unreadable in places"),
    _ZARR(
        "Blosc of 2 GiB, 2",
        _zarr_v2({"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}, payloads.blosc),
        0,
        "unreadable in places",
    ),
    _ZARR(
        "zstd of 4 GiB, 3",
        _zarr_v3([{"name": "zstd", "configuration": {"level": 1, "checksum": False}}], payloads.zstd),
        0,
        "unreadable in places",
        quick=True,
    ),
    _ZARR(
        "gzip of 4 GiB, 3",
        _zarr_v3([{"name": "gzip", "configuration": {"level": 1}}], partial(payloads.deflate, wbits=31)),
        0,
        "unreadable in places",
    ),
    _ZARR("shard of zstd of 4 GiB", _sharded, 0, "unreadable in places", quick=True),
    _ZARR("16 chunks of 256 MiB", _large_chunks, 0, "nearly black", seconds=60),
    _ZARR("a chunk that is a pipe", _zarr_file(os.mkfifo), 0, "it is a pipe or a device", quick=True),
    _ZARR("a chunk that is a device", _zarr_file(_device), 0, "it is a pipe or a device"),
    _ZARR("a chunk of 20 GiB", _zarr_file(_sparse), 0, "are read", quick=True),
    _ZARR("attributes that are a pipe", _zarr_file(os.mkfifo, "0/.zattrs"), 1, "it is a pipe or a device, not a file"),
    _ZARR("attributes of 20 GiB", _zarr_file(_sparse, "0/.zattrs"), 1, "at most 16,384 KiB are read"),
    _ZARR("a level above", _zarr_path("../other/0"), 1, "is outside its folder", quick=True),
    _ZARR("a level by its path", _zarr_path("{folder}/in/other/0"), 1, "is outside its folder"),
    _ZARR("a level at an address", _zarr_path("{url}/0"), 1, "is missing; copy the whole folder again"),
    _ZARR("links that loop", _zarr_loop, 0, "1 slide added", quick=True),
    _ZARR("deep metadata", _zarr_file(lambda path: path.write_text("[" * 100_000), ".zattrs"), 1, "is damaged"),
)
