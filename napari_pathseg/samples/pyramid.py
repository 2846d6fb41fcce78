"""Pyramids of any size, for tests and benchmarks, written without a whole level in memory.

Two synthetic fields are mirrored repeatedly over the slide; smooth waves decide which of them
is where, transposed or not, and where the tissue ends.  A coarser level consists of the area
averages of the same fields at the same positions, so levels agree.  Tiles that repeat are
compressed once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from napari_pathseg.geometry import TILE_SIDE, pyramid_shapes
from napari_pathseg.geometry.arrays import Float32Array, Float64Array, UInt8Array
from napari_pathseg.samples.stain import random_stain
from napari_pathseg.samples.tissue import draw_field
from napari_pathseg.storage.atomic import replace_file

_FIELD_SIDES = (512, 1024, 2048)  # powers of 2, so that block averages work down to one pixel
_WAVES = 3
_EDGE = 0.004  # width of the edge of the tissue, in units of its radius
_QUALITY = 75
_GLASS = -1


def write_pyramid(
    path: Path,
    shape: tuple[int, int],
    *,
    seed: int = 0,
    mpp: float = 0.25,
    kind: Literal["subifds", "pages"] = "subifds",
) -> None:
    """Write an H&E-like pyramid as a tiled JPEG BigTIFF.

    Parameters
    ----------
    path
        The file to write.
    shape
        Rows and columns of level 0; 100,000 x 100,000 needs no more memory than 10,000 x 10,000.
    seed
        The same seed gives the same pixels.
    mpp
        The pixel size in the resolution tags, in um; the nuclei are drawn for 0.5.
    kind
        Coarser levels as SubIFDs of the first page, or as separate pages.

    Notes
    -----
    Levels halve, rounded up, until the longest side is 1024 or less.
    """
    scene = _Scene(shape, seed)
    levels = pyramid_shapes(shape)
    with replace_file(path) as partial, tifffile.TiffWriter(partial, bigtiff=True) as tiff:
        for level, (rows, columns) in enumerate(levels):
            options: dict[str, Any] = {"subfiletype": 1} if level else {}
            if level == 0 and kind == "subifds":
                options["subifds"] = len(levels) - 1
            resolution = 1e4 / (mpp * 2**level)
            tiff.write(
                scene.tiles(level, (rows, columns)),
                shape=(rows, columns, 3),
                dtype=np.uint8,
                photometric="rgb",
                tile=(TILE_SIDE, TILE_SIDE),
                compression="jpeg",
                resolution=(resolution, resolution),
                resolutionunit="CENTIMETER",
                software="napari-pathseg",
                metadata=None,
                **options,
            )


class _Waves:
    """A smooth function of level-0 positions; `slope` is its maximum slope."""

    def __init__(self, wavelength: float, rng: np.random.Generator) -> None:
        angle = np.arange(_WAVES) * np.pi / _WAVES + rng.uniform(0, 0.7, _WAVES)
        self._frequency = 2 * np.pi / wavelength * rng.uniform(0.6, 1.4, _WAVES)
        self._direction = np.stack([np.sin(angle), np.cos(angle)])
        self._phase = rng.uniform(0, 2 * np.pi, _WAVES)
        self.slope = float(self._frequency.mean())

    def __call__(self, rows: Float64Array, columns: Float64Array) -> Float32Array:
        """Return values from -1 to 1 at each row and column."""
        down = np.outer(rows, self._frequency * self._direction[0]) + self._phase
        across = np.outer(columns, self._frequency * self._direction[1])
        down = np.hstack([np.sin(down), np.cos(down)])
        across = np.hstack([np.cos(across), np.sin(across)])
        total = np.zeros((len(rows), len(columns)), np.float32)
        for row_wave, column_wave in zip(down.astype(np.float32).T, across.astype(np.float32).T, strict=True):
            total += row_wave[:, None] * column_wave
        return total / np.float32(_WAVES)


class _Scene:
    """The content of the slide at every level."""

    def __init__(self, shape: tuple[int, int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        stain = random_stain(rng)
        self._white = np.array(stain.white)
        # Large fields take longer to draw, and small pyramids need none.
        self._size = next((size for size in _FIELD_SIDES if 4 * size >= max(shape)), _FIELD_SIDES[-1])
        square = (self._size, self._size)
        drawn = [draw_field(square, rng, tumour=t, glass=0, stain=stain)[0] for t in (0.0, 0.5)]
        self._fields = [_mirrored_averages(field) for field in drawn]
        self._centre = (shape[0] - 1) / 2, (shape[1] - 1) / 2
        self._radii = shape[0] * 0.46, shape[1] * 0.46
        self._patches = _Waves(14_000, rng), _Waves(11_000, rng)
        self._margin = _Waves(0.7 * min(shape), rng)
        self._compressed: dict[tuple[int, ...], bytes] = {}

    def tiles(self, level: int, shape: tuple[int, int]) -> Iterator[bytes]:
        """Yield the compressed tiles of a level, row by row."""
        for top in range(0, shape[0], TILE_SIDE):
            for left in range(0, shape[1], TILE_SIDE):
                yield self._tile(level, top, left)

    def _tile(self, level: int, top: int, left: int) -> bytes:
        """Return the tile whose first pixel is (top, left) of `level`."""
        pattern = self._uniform(level, top, left)
        if pattern is None:
            return _compress(self._blend(level, top, left))
        period = 2 * max(1, self._size >> level)
        key = (-1,) if pattern == _GLASS else (level, pattern, top % period, left % period)
        if key not in self._compressed:
            pixels = self._pattern_tile(pattern, level, top, left)
            self._compressed[key] = _compress(pixels)
        return self._compressed[key]

    def _uniform(self, level: int, top: int, left: int) -> int | None:
        """Return the pattern of a tile if it has only one, else None."""
        step = TILE_SIDE // 8 * 2**level
        rows, columns = (start * 2**level + step * np.arange(9.0) for start in (top, left))
        distance = step / np.sqrt(2)  # no pixel is further from all samples
        inside = self._inside(rows, columns)
        slack = distance * (np.hypot(*(1 / np.array(self._radii))) + 0.15 * self._margin.slope)
        if inside.max() < -slack:
            return _GLASS
        if inside.min() < _EDGE + slack:
            return None
        for patches in self._patches:
            if np.abs(patches(rows, columns)).min() < distance * patches.slope:
                return None
        patterns = self._patterns(rows, columns)
        return int(patterns[0, 0]) if (patterns == patterns[0, 0]).all() else None

    def _patterns(self, rows: Float64Array, columns: Float64Array) -> npt.NDArray[np.uint8]:
        """Return the pattern of each pixel: the field, plus 2 where it is transposed."""
        first, second = (patches(rows, columns) > 0 for patches in self._patches)
        return first.astype(np.uint8) + np.uint8(2) * second

    def _inside(self, rows: Float64Array, columns: Float64Array) -> Float32Array:
        """Return how far inside the tissue positions are, in its radii; below 0 is glass."""
        down = ((rows - self._centre[0]) / self._radii[0]).astype(np.float32)
        across = ((columns - self._centre[1]) / self._radii[1]).astype(np.float32)
        radius: Float32Array = np.sqrt((down**2)[:, None] + across**2)
        return np.float32(0.85) - radius + np.float32(0.15) * self._margin(rows, columns)

    def _pattern_tile(self, pattern: int, level: int, top: int, left: int) -> UInt8Array:
        """Return a tile of one pattern."""
        if pattern == _GLASS:
            return np.full((TILE_SIDE, TILE_SIDE, 3), np.rint(self._white), np.uint8)
        source = self._fields[pattern % 2][min(level, len(self._fields[0]) - 1)]
        period = 2 * max(1, self._size >> level)
        top, left = top % period, left % period
        if pattern >= 2:
            source = source.transpose(1, 0, 2)
        return source[top : top + TILE_SIDE, left : left + TILE_SIDE]

    def _blend(self, level: int, top: int, left: int) -> UInt8Array:
        """Return a tile of several patterns and glass."""
        size = 2**level
        rows, columns = ((start + np.arange(TILE_SIDE) + 0.5) * size - 0.5 for start in (top, left))
        patterns = self._patterns(rows, columns)
        most, *others = np.argsort(np.bincount(patterns.ravel(), minlength=4))[::-1]
        tissue = self._pattern_tile(int(most), level, top, left).copy()
        for pattern in others:
            if (patterns == pattern).any():
                # Masks of whole rows of samples: several times faster than masks of pixels.
                here = np.repeat(patterns == pattern, 3, axis=1).reshape(tissue.shape)
                np.copyto(tissue, self._pattern_tile(int(pattern), level, top, left), where=here)
        share = self._inside(rows, columns) / np.float32(_EDGE)
        tissue[share <= 0] = np.rint(self._white)
        edge = (share > 0) & (share < 1)
        weight = share[edge][:, None]
        tissue[edge] = np.rint(self._white + weight * (tissue[edge] - self._white)).astype(np.uint8)
        return tissue


def _mirrored_averages(field: UInt8Array) -> list[UInt8Array]:
    """Return a field and its averages over blocks of 2, 4, ... pixels, down to one.

    Each is mirrored as far as needed by a tile that starts in the first period.
    """
    exact = field.astype(np.float32)
    levels = []
    while True:
        size = len(exact)
        pixels = np.rint(exact).astype(np.uint8)
        levels.append(np.pad(pixels, ((0, size + TILE_SIDE), (0, size + TILE_SIDE), (0, 0)), mode="symmetric"))
        if size == 1:
            return levels
        exact = exact.reshape(size // 2, 2, size // 2, 2, 3).mean((1, 3))


def _compress(pixels: UInt8Array) -> bytes:
    """Return a tile as JPEG, encoded as the tags of `write_pyramid` say."""
    encoded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(pixels),
        level=_QUALITY,
        colorspace="RGB",
        outcolorspace="YCBCR",
        subsampling=(2, 2),
    )
    return bytes(encoded)
