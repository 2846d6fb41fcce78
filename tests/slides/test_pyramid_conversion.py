import resource
import subprocess
import sys
import zlib
from itertools import pairwise

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from napari_pathseg.errors import OutOfMemoryError, ProjectError, UnsupportedSlideError
from napari_pathseg.geometry import Region, pyramid_shapes
from napari_pathseg.slides.pyramid_conversion import convert, memory_to_convert
from napari_pathseg.slides.registry import open_slide


def draw(rows, columns):
    down, across = np.mgrid[:rows, :columns].astype(np.float32)
    smooth = np.stack([down / rows * 200, across / columns * 200, (down + across) % 200], axis=-1)
    return (smooth + np.random.default_rng(0).integers(0, 5, smooth.shape)).astype(np.uint8)


COLOUR = draw(1501, 500)
STRIP = {"photometric": "rgb", "rowsperstrip": 1501, "metadata": None}
SOURCES = {
    "raw.tif": {},
    "deflate.tif": {"compression": "deflate"},
    "predicted.tif": {"compression": "deflate", "predictor": True},
    "big.tif": {"compression": "deflate", "predictor": True, "byteorder": ">"},
    "lzw.tif": {"compression": "lzw"},
    "strips.tif": {"rowsperstrip": 400, "compression": "deflate"},
    "tiles.tif": {"tile": (256, 256), "rowsperstrip": None},
}


def write(path, pixels=COLOUR, **options):
    tifffile.imwrite(path, pixels, **(STRIP | options))
    return path


@pytest.mark.parametrize("name", SOURCES)
def test_converted_slide_is_a_pyramid_of_the_same_pixels(tmp_path, name):
    source, target = write(tmp_path / name, **SOURCES[name]), tmp_path / "out.tif"
    steps = list(convert(source, target))
    assert steps == sorted(steps)
    assert (steps[-1], len(steps) > 3) == (1.0, True)
    with tifffile.TiffFile(target) as tiff:
        assert [page.shape[:2] for page in tiff.pages] == pyramid_shapes(COLOUR.shape[:2])
        assert np.array_equal(tiff.pages[0].asarray(), COLOUR)
    with open_slide(target) as slide:
        assert [level.downsample for level in slide.levels] == [1, 2]
        assert np.array_equal(slide.read(Region(300, 100, 1200, 300)), COLOUR[300:1500, 100:400])


def test_each_level_averages_the_previous_one_at_its_edges_too(tmp_path):
    list(convert(write(tmp_path / "a.tif"), tmp_path / "out.tif"))
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        levels = [page.asarray().astype(float) for page in tiff.pages]
    for finer, coarser in pairwise(levels):
        padded = np.pad(finer, [(0, size % 2) for size in finer.shape[:2]] + [(0, 0)], mode="edge")
        means = padded.reshape(len(padded) // 2, 2, padded.shape[1] // 2, 2, 3).mean((1, 3))
        assert np.abs(coarser - means).max() <= 0.5


@pytest.mark.parametrize("kind", ["grey", "16 bits", "white is zero", "palette", "alpha", "turned"])
def test_converted_slide_looks_the_same_whatever_its_kind(tmp_path, kind):
    source, options = tmp_path / "a.tif", {"compression": "deflate", "photometric": "minisblack"}
    grey = draw(1501, 1000)[..., 0]
    if kind == "16 bits":
        write(source, grey.astype(np.uint16) * 256 + 9, predictor=True, **options)
    elif kind == "white is zero":
        write(source, grey, **options | {"photometric": "miniswhite"})
    elif kind == "palette":
        Image.fromarray(COLOUR).quantize(99, method=Image.Quantize.FASTOCTREE).save(
            source, compression="tiff_adobe_deflate", strip_size=1 << 30
        )
    elif kind == "alpha":
        pixels = np.dstack([COLOUR, COLOUR[..., :1]])
        write(source, pixels, photometric="rgb", extrasamples=["unassalpha"], predictor=True, compression="deflate")
    elif kind == "turned":
        write(source, grey, extratags=[(274, "H", 1, 6, True)], **options)
    else:
        write(source, grey, **options)
    list(convert(source, tmp_path / "out.tif"))
    with open_slide(source) as before, open_slide(tmp_path / "out.tif") as after:
        assert (after.shape, after.channels) == (before.shape, before.channels)
        box = Region(0, 0, *before.shape)
        assert np.array_equal(after.read(box), before.read(box))


def test_converted_slide_keeps_its_pixel_size(tmp_path):
    write(tmp_path / "a.tif", resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    list(convert(tmp_path / "a.tif", tmp_path / "out.tif"))
    with open_slide(tmp_path / "out.tif") as slide:
        assert slide.mpp == pytest.approx(0.25, rel=1e-6)


def test_openslide_reads_a_converted_slide(tmp_path):
    openslide = pytest.importorskip("openslide")
    list(convert(write(tmp_path / "a.tif"), tmp_path / "out.tif"))
    with openslide.OpenSlide(tmp_path / "out.tif") as slide:
        assert slide.level_count == 2
        assert np.array_equal(
            np.asarray(slide.read_region((100, 700), 0, (100, 50)))[..., :3], COLOUR[700:750, 100:200]
        )


def test_stopped_or_failed_conversion_leaves_no_file(tmp_path):
    source = write(tmp_path / "a.tif", compression="deflate")
    steps = convert(source, tmp_path / "out.tif")
    next(steps)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")]
    steps.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = bytes(500)
    source.write_bytes(content)
    with pytest.raises(UnsupportedSlideError, match=r"a\.tif could not be decoded to its end"):
        list(convert(source, tmp_path / "out.tif"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    with pytest.raises(ProjectError, match="could not be written"):
        list(convert(write(tmp_path / "b.tif"), tmp_path / "gone" / "out.tif"))


def test_slide_is_not_converted_onto_itself(tmp_path):
    source = write(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="is the slide itself"):
        list(convert(source, source))
    assert np.array_equal(tifffile.imread(source), COLOUR)


def write_giant(path, rows, columns, compression):
    """A grey image in one strip, far larger decoded than on disk."""
    tifffile.imwrite(path, np.zeros((1, columns), np.uint8), metadata=None, rowsperstrip=1, compression=compression)
    encoder, start = zlib.compressobj(1), path.stat().st_size
    with path.open("ab") as file:
        for _ in range(rows):
            file.write(encoder.compress(bytes(columns)))
        file.write(encoder.flush())
        end = file.tell()
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages.first.tags
        for name, value in (("ImageLength", rows), ("RowsPerStrip", rows), ("StripOffsets", start)):
            tags[name].overwrite(value)
        tags["StripByteCounts"].overwrite(end - start)
    return path


def test_giant_strip_is_converted_in_little_memory(tmp_path):
    source = write_giant(tmp_path / "giant.tif", 17_000, 16_000, "deflate")
    with pytest.raises(UnsupportedSlideError, match="more than 256 MiB; convert it to a pyramid"):
        open_slide(source)
    assert memory_to_convert(source) < 200e6
    code = (
        "import sys, resource; from pathlib import Path; from napari_pathseg.slides.pyramid_conversion import convert\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for share in convert(Path(sys.argv[1]), Path(sys.argv[2])): pass\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    command = [sys.executable, "-c", code, source, tmp_path / "out.tif"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200
    with open_slide(tmp_path / "out.tif") as slide:
        assert slide.shape == (17_000, 16_000)


def test_message_says_how_much_memory_decoding_at_once_takes(tmp_path):
    path = tmp_path / "lzw.tif"
    tifffile.imwrite(path, np.zeros((1, 50), np.uint8), compression="lzw", metadata=None)
    side = 2_000_000
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("ImageLength", "RowsPerStrip", "ImageWidth"):
            tiff.pages.first.tags[name].overwrite(side)
    assert memory_to_convert(path) > psutil.virtual_memory().total
    with pytest.raises(OutOfMemoryError, match=r"lzw\.tif can only be decoded at once, which needs \d+\.\d GB"):
        list(convert(path, tmp_path / "out.tif"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8 << 20
