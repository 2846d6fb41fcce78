"""Nuclei: their kinds, and rendering thousands of them at a time.

A nucleus is a bent, egg-shaped ellipse with a soft edge, a paler middle, and maybe a
nucleolus; where nuclei overlap the darker value counts.  Lengths are in pixels of 0.5 um.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from napari_pathseg.geometry.arrays import Float32Array, Float64Array
from napari_pathseg.samples.fields import keep_apart

_CHUNK = 2_000_000  # pixels of nuclei computed at a time, to limit memory


@dataclass(frozen=True)
class NucleusKind:
    """How nuclei of one kind vary.

    Attributes
    ----------
    size, size_spread
        Median of the long semi-axis, and the standard deviation of its logarithm.
    aspect
        Minimum and maximum ratio of the long to the short axis.
    density, density_spread
        Median optical density of the stain, and the standard deviation of its logarithm.
    pale
        Minimum and maximum share of the density that is missing in the middle.
    nucleolus
        Maximum density that a nucleolus adds.
    spacing
        Radius kept free of other nuclei, in mean semi-axes.
    rank
        Which kind stays where two are too close: the higher one.
    """

    size: float
    size_spread: float
    aspect: tuple[float, float]
    density: float
    density_spread: float
    pale: tuple[float, float] = (0.0, 0.25)
    nucleolus: float = 0.0
    spacing: float = 0.9
    rank: int = 0


BASAL = NucleusKind(8.6, 0.12, (1.6, 2.3), 1.3, 0.12, pale=(0.05, 0.35), spacing=0.62, rank=3)
SPINDLE = NucleusKind(11.5, 0.28, (2.8, 5.5), 0.95, 0.25, pale=(0.1, 0.5), spacing=0.7, rank=1)
LYMPHOCYTE = NucleusKind(5.4, 0.12, (1.0, 1.35), 1.5, 0.18, pale=(0.0, 0.3), spacing=0.92, rank=0)
TUMOUR = NucleusKind(10.6, 0.26, (1.1, 1.8), 0.90, 0.32, pale=(0.2, 0.8), nucleolus=0.6, spacing=0.74, rank=2)


@dataclass(frozen=True)
class Nuclei:
    """Nuclei as arrays of equal length; positions are (row, column), angles from the column axis."""

    points: Float64Array
    long: Float64Array
    short: Float64Array
    angle: Float64Array
    density: Float64Array
    pale: Float64Array
    nucleolus: Float64Array
    radius: Float64Array
    priority: Float64Array

    def __len__(self) -> int:
        return len(self.points)

    def take(self, which: np.ndarray) -> "Nuclei":
        """Return the nuclei selected by an index or a mask."""
        return Nuclei(*(getattr(self, field.name)[which] for field in fields(self)))


def make_nuclei(
    kind: NucleusKind, points: Float64Array, rng: np.random.Generator, angle: Float64Array | None = None
) -> Nuclei:
    """Return a nucleus of `kind` at each point, rotated by `angle` or at random."""
    count = len(points)
    long = kind.size * np.exp(kind.size_spread * rng.standard_normal(count))
    short = long / rng.uniform(*kind.aspect, count)
    if angle is None:
        angle = rng.uniform(0, np.pi, count)
    return Nuclei(
        points=points,
        long=long,
        short=short,
        angle=angle,
        density=kind.density * np.exp(kind.density_spread * rng.standard_normal(count)),
        pale=rng.uniform(*kind.pale, count),
        nucleolus=kind.nucleolus * rng.random(count) ** 2,
        radius=kind.spacing * (long + short) / 2,
        priority=kind.rank + rng.random(count),
    )


def merge_apart(groups: Sequence[Nuclei]) -> Nuclei:
    """Return all groups as one, without the nuclei that are too close to others."""
    merged = Nuclei(*(np.concatenate([getattr(g, f.name) for g in groups]) for f in fields(Nuclei)))
    return merged.take(keep_apart(merged.points, merged.radius, merged.priority))


def render_nuclei(canvas: Float32Array, nuclei: Nuclei, rng: np.random.Generator) -> None:
    """Set `canvas` to the maximum of itself and the density of each nucleus."""
    nuclei = nuclei.take(np.argsort(nuclei.long))
    bend, egg = rng.normal(0, 0.18, len(nuclei)), rng.normal(0, 0.15, len(nuclei))
    start = 0
    while start < len(nuclei):
        side = 2 * int(nuclei.long[min(start + 500, len(nuclei) - 1)] * 1.25 + 3) + 1
        stop = min(start + max(1, min(500, _CHUNK // side**2)), len(nuclei))
        part = slice(start, stop)
        _render_chunk(canvas, nuclei.take(np.arange(start, stop)), np.stack([bend[part], egg[part]]), side // 2)
        start = stop


def _render_chunk(canvas: Float32Array, nuclei: Nuclei, shape: Float64Array, half: int) -> None:
    """Render nuclei that fit into squares of ``2 * half + 1`` pixels."""
    steps = np.arange(-half, half + 1)
    whole = np.rint(nuclei.points).astype(int)
    rows, columns = np.broadcast_arrays(
        whole[:, 0, None, None] + steps[None, :, None], whole[:, 1, None, None] + steps[None, None, :]
    )

    def column(values: Float64Array) -> Float32Array:
        return values.astype(np.float32)[:, None, None]

    down = (rows - column(nuclei.points[:, 0])).astype(np.float32)
    across = (columns - column(nuclei.points[:, 1])).astype(np.float32)
    cosine, sine = column(np.cos(nuclei.angle)), column(np.sin(nuclei.angle))
    u = (across * cosine + down * sine) / column(nuclei.long)
    v = (down * cosine - across * sine) / column(nuclei.short)
    v = v * (1 + column(shape[1]) * u) + column(shape[0]) * (u * u - 0.4)
    square = u * u + v * v
    cover = np.clip((1 - np.sqrt(square)) * column(nuclei.short) * 0.8 + 0.5, 0, 1)
    value = column(nuclei.density) * (1 - column(nuclei.pale) * np.clip(1.1 - square, 0, 1))
    value += column(nuclei.nucleolus) * np.exp(-14 * ((u - 0.2) ** 2 + (v + 0.15) ** 2))
    value *= cover
    inside = (cover > 0) & (rows >= 0) & (columns >= 0) & (rows < canvas.shape[0]) & (columns < canvas.shape[1])
    np.maximum.at(canvas, (rows[inside], columns[inside]), value[inside])
