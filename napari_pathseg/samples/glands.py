"""Normal glands: round to oval, a palisade of basal nuclei, goblet cells, a lumen.

A gland is a wobbly ellipse; everything in it follows from the depth below its outline and
from the angle around its centre, which counts its cells.
"""

from dataclasses import dataclass

import numpy as np

from napari_pathseg.geometry.arrays import BoolArray, Float32Array, Float64Array
from napari_pathseg.samples.fields import at, keep_apart, ramp, scatter
from napari_pathseg.samples.nuclei import BASAL, LYMPHOCYTE, Nuclei, grow

_NUCLEUS_SPACING = 8.0  # along the outline, so that the nuclei of neighbours all but touch
_CELL_WIDTH = 22.0


@dataclass
class Canvas:
    """The field painted so far: both dyes, the emptiness of each pixel, and its depth in a gland."""

    haematoxylin: Float32Array
    eosin: Float32Array
    clear: Float32Array
    depth: Float32Array


@dataclass(frozen=True)
class Gland:
    """A gland cut across: its outline, and the height of its epithelium, in pixels."""

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


def plant_glands(chance: Float32Array, rng: np.random.Generator) -> list[Gland]:
    """Return glands that keep apart, more of them where the chance is higher."""
    plan = np.empty((0, 6))
    for attempt in range(4):
        centres = scatter(chance, chance.size // 700, rng)
        radius = rng.uniform(44, 80, len(centres))
        aspect = 1 + rng.gamma(1.6, 0.16, len(centres))
        room = radius * np.sqrt(aspect) + rng.uniform(-4, 8, len(centres))
        # What stood first stays; later attempts fill the gaps.
        priority = rng.random(len(centres)) - attempt
        plan = np.concatenate([plan, np.column_stack([centres, radius, aspect, room, priority])])
        plan = plan[keep_apart(plan[:, :2], plan[:, 4], plan[:, 5])]
    # Neighbouring crypts run alike, so they are cut alike.
    lean = rng.uniform(0, np.pi)
    return [
        Gland(
            centre=np.array([row, column]),
            radii=(radius * np.sqrt(aspect), radius / np.sqrt(aspect)),
            angle=lean + rng.normal(0, 0.4),
            wobble=np.stack([rng.normal(0, 0.03, 3), rng.uniform(0, 2 * np.pi, 3)]),
            height=radius / np.sqrt(aspect) * rng.uniform(0.62, 0.86),
            goblet=rng.beta(2.5, 1.5),
        )
        for row, column, radius, aspect, *_ in plan
    ]


def paint_gland(canvas: Canvas, gland: Gland, grain: Float32Array, rng: np.random.Generator) -> None:
    """Paint cytoplasm, mucin, cell borders and lumen of one gland; its nuclei come later."""
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
    """Return haematoxylin, eosin and emptiness by depth below the outline and angle."""
    cells = max(6, round(2 * np.pi * np.sqrt(np.prod(gland.radii)) * 0.8 / _CELL_WIDTH))
    place = (theta / (2 * np.pi) + 0.5) * cells + 0.03 * grain + 0.004 * depth
    number = np.floor(place).astype(int) % cells
    aside = np.abs(place - np.floor(place) - 0.5) * 2
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
    """Return the palisade at the base of one gland, and the odd lymphocyte above it.

    `depth` is the canvas's: where a neighbour lies over this gland no nucleus is set.
    """
    count = int(2 * np.pi * np.sqrt(np.prod(gland.radii)) / _NUCLEUS_SPACING)
    theta = (np.arange(count) + rng.normal(0, 0.16, count)) * (2 * np.pi / count)
    inward = 10.5 + rng.normal(0, 1.8, count)
    ring = _below(gland, theta, inward)
    seen = _inside(ring, depth.shape) & (np.abs(at(depth, ring) - inward) < 4)
    palisade = grow(BASAL, ring[seen], rng, angle=theta[seen] + rng.normal(0, 0.14, int(seen.sum())))
    few = rng.poisson(count / 18)
    guests = _below(gland, rng.uniform(0, 2 * np.pi, few), rng.uniform(18, 0.9 * gland.height, few))
    return [palisade, grow(LYMPHOCYTE, guests[_inside(guests, depth.shape)], rng)]


def _below(gland: Gland, theta: Float64Array, depth: Float64Array) -> Float64Array:
    """Return the points at a depth below the outline."""
    distance = gland.radius(theta) - depth
    return gland.centre + np.stack([distance * np.sin(theta), distance * np.cos(theta)], 1)


def _inside(points: Float64Array, shape: tuple[int, ...]) -> BoolArray:
    """Return which points lie in the field, or so near that part of their nucleus does."""
    return np.asarray(((points > -8) & (points < np.array(shape) + 8)).all(1))
