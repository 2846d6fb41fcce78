"""Every odd or broken file either has the pixels of an independent reader, or is refused by name.

``odd_tiffs.csv`` lists each with its outcome: the oracle for what opens ("Pillow", "tifffile" with the
rules of `eight_bits` below, or "GDAL"), a part of the reason for what is refused.
"""

import csv
import functools
import hashlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

pytestmark = pytest.mark.shared_data

TABLE = list(csv.DictReader(Path(__file__).with_name("odd_tiffs.csv").open()))
MOST_SECONDS, MOST_MEGABYTES = 2.0, 512

# Reads every file in one process of its own: its stderr is all that a user would see.
READ_ALL = """
import hashlib, json, resource, sys, time
import napari_pathseg as ps
from napari_pathseg.errors import UnsupportedSlideError
megabytes = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for path in json.loads(sys.stdin.read()):
    start, before, found = time.perf_counter(), megabytes(), {}
    try:
        with ps.open_slide(path) as slide:
            (rows, columns), digest = slide.shape, hashlib.sha256()
            for top in range(0, rows, 256):
                digest.update(slide.read(ps.Region(top, 0, min(256, rows - top), columns)).tobytes())
        found = {"pixels": digest.hexdigest(), "shape": [rows, columns, slide.channels]}
    except UnsupportedSlideError as error:
        found = {"refused": str(error)}
    except Exception as error:
        found = {"failed": repr(error)}
    print(json.dumps(found | {"seconds": time.perf_counter() - start, "megabytes": megabytes() - before}))
"""


@pytest.fixture
def data(shared):
    """The folder of the files in the table."""
    return shared / "data"


@pytest.fixture
def seen(data):
    """The result for each file, and what was printed meanwhile."""
    return _read_all(data)


@functools.cache
def _read_all(data):
    paths = [data / row["file"] for row in TABLE]
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["file"]: line for row, line in zip(TABLE, lines, strict=True)}, done.stderr


def depth(samples):
    """Return the bits of the camera: the first of 8, 10, 12, 14 and 16 in which the largest sample fits."""
    return next(bits for bits in (8, 10, 12, 14, 16) if samples.max() < 2**bits)


def on_white(colours, alpha, *, premultiplied=False):
    opacity = alpha[..., None] / 255 if colours.ndim == 3 else alpha / 255
    shown = colours * (1 if premultiplied else opacity) + 255 * (1 - opacity)
    return np.rint(shown).clip(0, 255).astype(np.uint8)


def pillow(path):
    """Return the first page as Pillow reads it, on white, and the upper 8 of the 16 bits that are used."""
    with Image.open(path) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened) if path.suffix == ".jpg" else opened
        if image.mode.startswith("I;16"):
            samples = np.asarray(image).astype(np.uint16)
            return (samples >> (depth(samples) - 8)).astype(np.uint8)
        if image.mode == "RGBA":
            return on_white(np.asarray(image)[..., :3], np.asarray(image)[..., 3])
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def eight_bits(path):
    """Return the first page as tifffile decodes it, converted to 8-bit colour or grey by the product's rules."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        stored, bits = page.asarray(), page.bitspersample
        if page.planarconfig == 2 and stored.ndim == 3:
            stored = np.moveaxis(stored, 0, -1)
        if page.photometric == 3:
            colours = (page.colormap >> 8).T.astype(np.uint8)
            return colours[stored if stored.ndim == 2 else stored[..., 0]]
        alpha = stored[..., -1] if set(page.extrasamples) & {1, 2} else None
        stored = stored[..., :3] if page.photometric in (2, 6) else stored.reshape(*stored.shape[:2], -1)[..., 0]
        bits = depth(stored) if bits == 16 else bits
        if bits > 8:
            grey = (stored.astype(np.int64) >> (bits - 8)).clip(0, 255).astype(np.uint8)
        else:
            grey = (stored.astype(np.int64) * 255 // (2**bits - 1)).astype(np.uint8)
        grey = 255 - grey if page.photometric == 0 else grey
        if alpha is not None:
            opacity = (alpha.astype(np.int64) >> (bits - 8)).clip(0, 255)
            grey = on_white(grey, opacity, premultiplied=1 in page.extrasamples)
        turned = np.rot90(grey, 1) if page.tags.valueof("Orientation") == 8 else grey
        return turned


def gdal(path):
    rasterio = pytest.importorskip("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as dataset:
            return np.moveaxis(dataset.read(), 0, -1)


ORACLES = {"Pillow": pillow, "tifffile": eight_bits, "GDAL": gdal}


def test_table_lists_every_file_of_the_folders(data):
    folders = ("odd_tiff", "slides_small")
    files = {path.relative_to(data).as_posix() for name in folders for path in (data / name).rglob("*.*")}
    assert files == {row["file"] for row in TABLE}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: Path(row["file"]).stem)
def test_odd_file_opens_with_the_right_pixels_or_is_refused_by_name(row, seen, data):
    found = seen[0][row["file"]]
    assert "failed" not in found
    if row["outcome"] == "refused":
        assert row["reason"] in found["refused"]
        assert Path(row["file"]).name in found["refused"]
        return
    expected = ORACLES[row["oracle"]](data / row["file"])
    assert found["shape"] == [*expected.shape[:2], 3 if expected.ndim == 3 else 1]
    assert found["pixels"] == hashlib.sha256(np.ascontiguousarray(expected).tobytes()).hexdigest()


def test_odd_files_take_little_time_and_memory(seen):
    slow = {name: found["seconds"] for name, found in seen[0].items() if found["seconds"] > MOST_SECONDS}
    large = {name: found["megabytes"] for name, found in seen[0].items() if found["megabytes"] > MOST_MEGABYTES}
    assert (slow, large) == ({}, {})


def test_odd_files_print_log_and_warn_of_nothing(seen):
    assert seen[1] == ""
