"""Normal glands: round to oval, with a palisade of basal nuclei, goblet cells and a lumen.

A gland is an irregular ellipse; everything in it follows from the depth below its outline and
from the angle around its centre, along which its cells are numbered.
"""

from dataclasses import dataclass

import numpy as np

from napari_pathseg.geometry.arrays import BoolArray, Float32Array, Float64Array
from napari_pathseg.samples.fields import keep_apart, ramp, sample, scatter
from napari_pathseg.samples.nuclei import BASAL, LYMPHOCYTE, Nuclei, make_nuclei

_NUCLEUS_SPACING = 8.0  # along the outline, so that the nuclei of neighbouring cells nearly touch
_CELL_WIDTH = 22.0


@dataclass
class Canvas:
    """The field painted so far: both dyes, how empty each pixel is, and its depth in a gland."""

    haematoxylin: Float32Array
    eosin: Float32Array
    clear: Float32Array
    depth: Float32Array


@dataclass(frozen=True)
class Gland:
    """The cross-section of a gland: its outline, and the height of its epithelium, in pixels."""

    centre: Float64Array
    radii: tuple[float, float]
    angle: float
    wobble: Float64Array
    height: float
    goblet: float

    def radius(self, theta: Float64Array) -> Float64Array:
        """Return the distance of the outline from the centre at angles from the column axis."""
        turned = theta - self.angle
        ellipse = 1 / np.hypot(np.cos(turned) / self.radii[0], np.sin(turned) / self.radii[1])
        return np.asarray(ellipse * (1 + self._waves(theta)))

    def _waves(self, theta: Float64Array) -> Float64Array:
        amplitude, phase = self.wobble
        waves = (amplitude[i] * np.sin((i + 2) * theta + phase[i]) for i in range(3))
        return np.asarray(sum(waves))


def place_glands(probability: Float32Array, rng: np.random.Generator) -> list[Gland]:
    """Return glands that do not overlap, more of them where the probability is higher."""
    plan = np.empty((0, 6))
    for attempt in range(4):
        centres = scatter(probability, probability.size // 700, rng)
        radius = rng.uniform(44, 80, len(centres))
        aspect = 1 + rng.gamma(1.6, 0.16, len(centres))
        spacing = radius * np.sqrt(aspect) + rng.uniform(-4, 8, len(centres))
        # Glands of earlier attempts stay; later attempts fill the gaps.
        priority = rng.random(len(centres)) - attempt
        plan = np.concatenate([plan, np.column_stack([centres, radius, aspect, spacing, priority])])
        plan = plan[keep_apart(plan[:, :2], plan[:, 4], plan[:, 5])]
    # Neighbouring crypts are parallel, so their cross-sections have similar orientations.
    orientation = rng.uniform(0, np.pi)
    return [
        Gland(
            centre=np.array([row, column]),
            radii=(radius * np.sqrt(aspect), radius / np.sqrt(aspect)),
            angle=orientation + rng.normal(0, 0.4),
            wobble=np.stack([rng.normal(0, 0.03, 3), rng.uniform(0, 2 * np.pi, 3)]),
            height=radius / np.sqrt(aspect) * rng.uniform(0.62, 0.86),
            goblet=rng.beta(2.5, 1.5),
        )
        for row, column, radius, aspect, *_ in plan
    ]


def paint_gland(canvas: Canvas, gland: Gland, grain: Float32Array, rng: np.random.Generator) -> None:
    """Paint cytoplasm, mucin, cell borders and lumen of a gland; its nuclei are painted later."""
    reach = int(max(gland.radii) * 1.2) + 12
    top, left = np.maximum(gland.centre.astype(int) - reach, 0)
    bottom, right = gland.centre.astype(int) + reach
    window = (slice(top, bottom), slice(left, right))
    rows, columns = np.mgrid[top : min(bottom, grain.shape[0]), left : min(right, grain.shape[1])]
    if not rows.size:
        return
    down, across = rows - gland.centre[0], columns - gland.centre[1]
    theta = np.arctan2(down, across)
    depth = (gland.radius(theta) - np.hypot(down, across)).astype(np.float32)
    owned = depth > canvas.depth[window]
    canvas.depth[window][owned] = depth[owned]
    owned &= depth > -5
    dyes = _epithelium(gland, depth, theta, grain[window], rng)
    for target, values in zip((canvas.haematoxylin, canvas.eosin, canvas.clear), dyes, strict=True):
        target[window][owned] = values[owned]


def _epithelium(
    gland: Gland, depth: Float32Array, theta: Float64Array, grain: Float32Array, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return haematoxylin, eosin and emptiness from the depth below the outline and the angle."""
    cells = max(6, round(2 * np.pi * np.sqrt(np.prod(gland.radii)) * 0.8 / _CELL_WIDTH))
    position = (theta / (2 * np.pi) + 0.5) * cells + 0.03 * grain + 0.004 * depth
    number = np.floor(position).astype(int) % cells
    aside = np.abs(position - np.floor(position) - 0.5) * 2
    height = gland.height * (1 + rng.normal(0, 0.07, cells)[number]) + 0.8 * grain
    share = depth / height
    full = (rng.random(cells) < gland.goblet)[number]
    middle, length = rng.uniform(0.52, 0.66, cells)[number], rng.uniform(0.26, 0.36, cells)[number]
    vacuole = full * np.exp(-(((share - middle) / length) ** 6) - (aside / 0.82) ** 6)
    border = ramp(aside, 0.72, 1.0) * ramp(share, 0.1, 0.3)
    brush = np.exp(-(((depth - height + 1.5) / 2.2) ** 2))
    membrane = np.exp(-(((depth + 1.5) / 1.6) ** 2))
    basal = 1 - ramp(depth, 12, 26)
    eosin = 0.46 + 0.05 * grain + 0.14 * border + 0.16 * brush + 0.12 * membrane - 0.08 * basal
    eosin = eosin * (1 - 0.72 * vacuole)
    haematoxylin = 0.14 + 0.16 * basal + 0.10 * border + 0.03 * grain
    haematoxylin = haematoxylin * (1 - 0.35 * vacuole)
    lumen = ramp((depth - height).astype(np.float32), 0, 3)
    clear = np.maximum(lumen * (0.86 + 0.06 * grain), 0.35 * vacuole)
    clear = np.where(depth < -2.5, 0.25 + 0.3 * (grain > 0.3), clear)
    return haematoxylin.astype(np.float32), eosin.astype(np.float32), clear.astype(np.float32)


def gland_nuclei(gland: Gland, depth: Float32Array, rng: np.random.Generator) -> list[Nuclei]:
    """Return the palisade at the base of a gland, and a few lymphocytes above it.

    `depth` is the canvas's: where a neighbour covers this gland, it gets no nucleus.
    """
    count = int(2 * np.pi * np.sqrt(np.prod(gland.radii)) / _NUCLEUS_SPACING)
    theta = (np.arange(count) + rng.normal(0, 0.16, count)) * (2 * np.pi / count)
    inward = 10.5 + rng.normal(0, 1.8, count)
    ring = _below(gland, theta, inward)
    visible = _inside(ring, depth.shape) & (np.abs(sample(depth, ring) - inward) < 4)
    palisade = make_nuclei(BASAL, ring[visible], rng, angle=theta[visible] + rng.normal(0, 0.14, int(visible.sum())))
    lymphocytes = rng.poisson(count / 18)
    positions = _below(gland, rng.uniform(0, 2 * np.pi, lymphocytes), rng.uniform(18, 0.9 * gland.height, lymphocytes))
    return [palisade, make_nuclei(LYMPHOCYTE, positions[_inside(positions, depth.shape)], rng)]


def _below(gland: Gland, theta: Float64Array, depth: Float64Array) -> Float64Array:
    """Return the points at given depths below the outline."""
    distance = gland.radius(theta) - depth
    return gland.centre + np.stack([distance * np.sin(theta), distance * np.cos(theta)], 1)


def _inside(points: Float64Array, shape: tuple[int, ...]) -> BoolArray:
    """Return which points are in the field, or so near that part of their nucleus is."""
    return np.asarray(((points > -8) & (points < np.array(shape) + 8)).all(1))
