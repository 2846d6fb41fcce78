"""How fast a large slide opens and shows, and what it costs, beside bare tifffile (zarr) and OpenSlide.

    python benchmarks/slides.py [--short]

A pyramid of 100,000 x 100,000 pixels (short: 30,000) is written to a temporary folder, most of its tiles left
out, as scanners leave out empty glass.  Each reader opens it in a process of its own, in turn, three times; the
best counts.  The first picture is the whole slide at most 1024 pixels long, and a screen of level 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import imagecodecs
import numpy as np
import psutil
import tifffile

TILE = 512
SCREEN = (1024, 1536)
READERS = ("ours", "tifffile", "openslide")


def write_slide(path: Path, side: int) -> None:
    """Write a pyramid in whose middle third every tile holds tissue, and elsewhere none."""
    rng = np.random.default_rng(0)
    tissue = [jpeg(rng) for _ in range(16)]
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        size, level = side, 0
        while True:
            tiff.write(
                tiles(size, tissue),
                shape=(size, size, 3),
                dtype=np.uint8,
                photometric="rgb",
                tile=(TILE, TILE),
                compression="jpeg",
                resolution=(40_000 / 2**level, 40_000 / 2**level),
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                metadata=None,
            )
            if size <= 1024:
                return
            size, level = -(-size // 2), level + 1


def jpeg(rng: np.random.Generator) -> bytes:
    """A compressed tile of smooth noise, about as large as one of tissue."""
    coarse = rng.integers(90, 250, (TILE // 8, TILE // 8, 3)).astype(np.uint8)
    pixels = np.ascontiguousarray(coarse.repeat(8, axis=0).repeat(8, axis=1) + rng.integers(0, 5, (TILE, TILE, 3)))
    return imagecodecs.jpeg8_encode(pixels.astype(np.uint8), level=75, outcolorspace="YCBCR", subsampling=(2, 2))


def tiles(size: int, tissue: list[bytes]):
    """The tiles of a level, row by row; nothing for those that are left out."""
    count = -(-size // TILE)
    for row in range(count):
        for column in range(count):
            inside = count < 4 or (count // 3 <= row <= count * 2 // 3 and count // 3 <= column <= count * 2 // 3)
            yield tissue[(7 * row + column) % len(tissue)] if inside else b""


def measure(reader: str, path: Path) -> dict[str, float]:
    """Open and show the slide with one reader, in this process."""
    # The libraries themselves are not the slide's cost.
    if reader == "ours":
        import napari_pathseg.slides.readers.image_file
        import napari_pathseg.slides.readers.tiff  # noqa: F401
        from napari_pathseg.slides.readers.ome_zarr import open_ome_zarr  # noqa: F401
    elif reader == "tifffile":
        import zarr  # noqa: F401
    else:
        import openslide  # noqa: F401
    process = psutil.Process()
    before, start = process.memory_info().rss, time.perf_counter()
    show = globals()[f"open_{reader}"](path)
    opened, grown = time.perf_counter() - start, process.memory_info().rss - before
    pictures = show()
    return {
        "open_s": opened,
        "open_mb": grown / 1e6,
        "first_picture_s": time.perf_counter() - start,
        "first_picture_mb": (process.memory_info().rss - before) / 1e6,
        "sum": float(sum(int(picture[..., :3].sum()) for picture in pictures)),
    }


def open_ours(path: Path):
    import napari_pathseg as ps

    slide = ps.open_slide(path)

    def show():
        level = slide.levels[-1]
        top, left = (slide.shape[0] - SCREEN[0]) // 2, (slide.shape[1] - SCREEN[1]) // 2
        return slide.read_level(len(slide.levels) - 1, ps.Region(0, 0, *level.shape)), slide.read(
            ps.Region(top, left, *SCREEN)
        )

    return show


def open_tifffile(path: Path):
    import zarr

    tiff = tifffile.TiffFile(path)
    group = zarr.open(tiff.series[0].aszarr(), mode="r")

    def show():
        finest, coarsest = group["0"], group[str(len(tiff.series[0].levels) - 1)]
        top, left = (finest.shape[0] - SCREEN[0]) // 2, (finest.shape[1] - SCREEN[1]) // 2
        return np.asarray(coarsest[:]), np.asarray(finest[top : top + SCREEN[0], left : left + SCREEN[1]])

    return show


def open_openslide(path: Path):
    import openslide

    slide = openslide.OpenSlide(path)

    def show():
        last = slide.level_count - 1
        left, top = ((size - side) // 2 for size, side in zip(slide.dimensions, SCREEN[::-1], strict=True))
        return (
            np.asarray(slide.read_region((0, 0), last, slide.level_dimensions[last])),
            np.asarray(slide.read_region((left, top), 0, SCREEN[::-1])),
        )

    return show


def threads_rate(path: Path, count: int) -> tuple[float, float]:
    """Megapixels a second of `count` threads: read from one open slide, and bare JPEG tiles decoded."""
    import napari_pathseg as ps

    with ps.open_slide(path) as slide:
        first = slide.shape[0] // 2 // TILE * TILE - 4 * 1024  # on borders of tiles: none is decoded twice
        boxes = [ps.Region(first + 1024 * (n // 8), first + 1024 * (n % 8), 1024, 1024) for n in range(64)]
        ours = rate(slide.read, boxes, count)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        index = next(index for index, size in enumerate(page.databytecounts) if size)
        tiff.filehandle.seek(page.dataoffsets[index])
        data, tables = tiff.filehandle.read(page.databytecounts[index]), page.jpegtables
    bare = rate(lambda _: [imagecodecs.jpeg8_decode(data, tables=tables) for _ in range(4)], boxes, count)
    return ours, bare


def rate(work, boxes, count: int) -> float:
    """Megapixels a second of `count` threads that share the boxes among them."""

    def do(mine):
        for box in mine:
            work(box)

    workers = [threading.Thread(target=do, args=(boxes[number::count],)) for number in range(count)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(boxes) * 1.048576 / (time.perf_counter() - start)


def best_of(path: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Measure all readers in turn, `rounds` times, and keep the least of each figure."""
    found: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for reader in READERS:
            command = [sys.executable, __file__, "--reader", reader, "--slide", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                continue  # OpenSlide is an extra
            figures = json.loads(done.stdout)
            kept = found.setdefault(reader, figures)
            found[reader] = {name: min(kept[name], value) for name, value in figures.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a slide of 0.9 instead of 10 gigapixels")
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--slide", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader:
        print(json.dumps(measure(options.reader, options.slide)))
        return
    side = 30_000 if options.short else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        write_slide(path, side)
        print(f"{side:,} x {side:,} pixels, {path.stat().st_size / 1e6:.0f} MB on the disk")
        found = best_of(path, 1 if options.short else 3)
        rounds = [[threads_rate(path, count) for count in (1, 2)] for _ in range(5)]
        (one, bare_one), (two, bare_two) = np.max(rounds, axis=0)
    ours = found["ours"]
    sums = {reader: figures.pop("sum") for reader, figures in found.items()}
    print(f"{'':10}" + "".join(f"{name:>18}" for name in ours))
    for reader, figures in found.items():
        print(f"{reader:10}" + "".join(f"{value:18.3f}" for value in figures.values()))
    print(f"one thread {one:.0f} Mpx/s, two {two:.0f}; bare JPEG {bare_one:.0f} and {bare_two:.0f}")
    result = ours | {
        "two_threads_vs_one": two / one,
        "bare_two_threads_vs_one": bare_two / bare_one,
        "read_vs_bare_jpeg": one / bare_one,
        "pixels_differ": abs(sums["ours"] / sums["tifffile"] - 1),
    }
    for reader in READERS[1:]:
        if reader in found:
            result[f"first_picture_vs_{reader}"] = ours["first_picture_s"] / found[reader]["first_picture_s"]
            result[f"open_vs_{reader}"] = ours["open_s"] / found[reader]["open_s"]
    print(json.dumps({name: round(value, 4) for name, value in result.items()}))


if __name__ == "__main__":
    main()
