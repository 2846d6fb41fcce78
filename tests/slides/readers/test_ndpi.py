"""Slides of Hamamatsu's scanners, NDPI: one JPEG for each level, cut at its restart markers."""

import io
import re
import struct

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.geometry import Region
from napari_pathseg.slides.registry import open_slide

openslide = pytest.importorskip("openslide")

SHORT, LONG, RATIONAL, SLONG, FLOAT, ASCII = 3, 4, 5, 9, 11, 2
BLOCKS = 8  # of 8 x 8 pixels between two markers


def jpeg(pixels):
    """A JPEG with restart markers, and where the data after each begin."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, subsampling=0, restart_marker_blocks=BLOCKS)
    data = stream.getvalue()
    scan = data.index(b"\xff\xda")
    start = scan + 2 + struct.unpack(">H", data[scan + 2 : scan + 4])[0]
    return data, [start, *(start + marker.end() for marker in re.finditer(rb"\xff[\xd0-\xd7]", data[start:]))]


def write_ndpi(path, pages):
    """Write (pixels, lens, mpp) as pages: little-endian TIFF whose links take 8 bytes, and whose entries 4 more."""
    out, link = bytearray(b"II*\0" + bytes(8)), 4

    def put(data):
        out.extend(bytes(len(out) % 2))
        out.extend(data)
        return len(out) - len(data)

    for pixels, lens, mpp in pages:
        data, starts = jpeg(pixels)
        per_centimetre = struct.pack("<II", round(1e4 / mpp), 1)
        tags = [
            (256, LONG, 1, pixels.shape[1]),
            (257, LONG, 1, pixels.shape[0]),
            (258, SHORT, 3, put(struct.pack("<3H", 8, 8, 8))),
            (259, SHORT, 1, 7),
            (262, SHORT, 1, 6),
            (271, ASCII, 10, put(b"Hamamatsu\0")),
            (273, LONG, 1, put(data)),
            (277, SHORT, 1, 3),
            (278, LONG, 1, pixels.shape[0]),
            (279, LONG, 1, len(data)),
            (282, RATIONAL, 1, put(per_centimetre)),
            (283, RATIONAL, 1, put(per_centimetre)),
            (296, SHORT, 1, 3),
            (65420, LONG, 1, 1),
            (65421, FLOAT, 1, struct.unpack("<I", struct.pack("<f", lens))[0]),
            (65422, SLONG, 1, 1500),
            (65423, SLONG, 1, 2**32 - 2500),
            (65424, SLONG, 1, 0),
        ]
        if lens > 0:
            tags.append((65426, LONG, len(starts), put(struct.pack(f"<{len(starts)}I", *starts))))
        out[link : link + 8] = struct.pack("<Q", put(b""))
        out += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        link = len(out)
        out += bytes(8 + 4 * len(tags))
    path.write_bytes(out)


@pytest.fixture
def ndpi(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
    image = np.asarray(Image.fromarray(noise).resize((1024, 512), Image.Resampling.BICUBIC))
    macro = np.full((640, 1280, 3), 9, np.uint8)
    write_ndpi(tmp_path / "a.ndpi", [(image, 20.0, 0.5), (image[::2, ::2], 10.0, 1.0), (macro, -1.0, 50.0)])
    return tmp_path / "a.ndpi"


def test_ndpi_has_the_pixels_of_openslide_without_the_macro(ndpi):
    with open_slide(ndpi) as slide, openslide.OpenSlide(ndpi) as other:
        assert [level.shape for level in slide.levels] == [(512, 1024), (256, 512)]
        expected = np.asarray(other.read_region((0, 0), 0, other.dimensions).convert("RGB"))
        assert np.array_equal(slide.read(Region(0, 0, 512, 1024)), expected)
        assert np.array_equal(slide.read(Region(101, 333, 65, 78)), expected[101:166, 333:411])


def test_ndpi_has_its_pixel_size_and_position_on_the_glass(ndpi):
    with open_slide(ndpi) as slide, openslide.OpenSlide(ndpi) as other:
        assert slide.mpp == pytest.approx(float(other.properties["openslide.mpp-x"]))
        assert slide.centre_offset_um == (1.5, -2.5)


def test_region_of_an_ndpi_decodes_only_what_it_touches(ndpi):
    with open_slide(ndpi) as slide:
        page = slide.pages[0]
        assert (page.tilelength, page.tilewidth) == (8, 8 * BLOCKS)
