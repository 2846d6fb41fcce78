"""Draw a field of H&E-stained mucosa, with or without tumour, at 0.5 um per pixel.

Tumour differs from other tissue by architecture: fused, cribriform or solid nests instead
of round glands, and nuclei that are larger, more variable, crowded and without polarity.
It does not differ by mean colour: lymphocytes and muscle are as dark or as pink.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.geometry.arrays import BoolArray, Float32Array
from napari_pathseg.samples.fields import enlarge, noise, ramp, sample, scatter
from napari_pathseg.samples.glands import Canvas, gland_nuclei, paint_gland, place_glands
from napari_pathseg.samples.nuclei import LYMPHOCYTE, SPINDLE, TUMOUR, Nuclei, make_nuclei, merge_apart, render_nuclei
from napari_pathseg.samples.stain import Stain, random_stain, render

_STEP = 8  # field pixels per pixel of the layout


@dataclass(frozen=True)
class Layout:
    """The layout of a field: shares from 0 to 1 of each pixel, and the tumour as an expert would outline it."""

    tissue: Float32Array
    tumour: BoolArray
    mucosa: Float32Array
    inflamed: Float32Array


def draw_field(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    tumour: float = 0.35,
    glass: float | None = None,
    stain: Stain | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw an H&E-like field.

    Parameters
    ----------
    shape
        Rows and columns, in pixels of 0.5 um.
    rng
        Source of the random numbers; the same state draws the same field.
    tumour
        Share of the tissue that is tumour, 0 to 1; small islands are removed.
    glass
        Share of the field that is bare glass; None for a random one from 4 to 14 %.
    stain
        Colours, strength and sharpness; None for random ones.

    Returns
    -------
    image : uint8 array (rows, columns, 3)
    classes : uint8 array (rows, columns)
        1 where Background, 2 where Tumour.
    """
    if glass is None:
        glass = rng.uniform(0.04, 0.14)
    layout = _lay_out(shape, tumour, glass, rng)
    fibre, course = _fibres(shape, rng)
    canvas = _paint_stroma(layout, fibre, rng)
    grain = noise(shape, 2.5, rng)
    groups = _paint_glands(canvas, layout, grain, rng)
    nest, lumen = _paint_tumour(canvas, layout, grain, rng)
    groups.append(_tumour_nuclei(nest, lumen, rng))
    groups += _stroma_nuclei(canvas, layout, nest, course, rng)
    canvas.clear = np.maximum(canvas.clear, 1 - layout.tissue)
    groups = [group.take(sample(layout.tissue, group.points) > 0.7) for group in groups]
    haematoxylin, eosin = _add_nuclei(canvas, merge_apart(groups), grain, rng)
    image = render(haematoxylin, eosin, stain or random_stain(rng), rng)
    return image, np.where(layout.tumour, 2, 1).astype(np.uint8)


def _lay_out(shape: tuple[int, int], tumour: float, glass: float, rng: np.random.Generator) -> Layout:
    """Lay out glass, tumour, mucosa and inflammation."""
    small = (-(-shape[0] // _STEP), -(-shape[1] // _STEP))
    ground = noise(small, 420 / _STEP, rng)
    tilt = rng.normal(0, 1, 2)
    ground += (np.linspace(-1, 1, small[0])[:, None] * tilt[0] + np.linspace(-1, 1, small[1]) * tilt[1]).astype(
        np.float32
    )
    edge = float(np.quantile(ground, glass))
    lesion = noise(small, 300 / _STEP, rng) + 0.45 * noise(small, 110 / _STEP, rng)
    solid = np.zeros(small, bool)
    if tumour > 0 and glass < 1:
        solid = _smooth_regions((lesion >= np.quantile(lesion[ground > edge], 1 - tumour)) & (ground > edge))
    smooth = enlarge(ndimage.gaussian_filter(solid.astype(np.float32), 1.5), shape, _STEP)
    rough = enlarge(ground, shape, _STEP) + 0.012 * noise(shape, 9, rng)
    tissue = ramp(rough, edge, edge + 0.012) if glass > 0 else np.ones(shape, np.float32)
    lesion_mask = (smooth > 0.5) & (tissue > 0.5)
    mucosa = ramp(noise(small, 240 / _STEP, rng), -0.75, -0.45)
    clusters = 0.9 * ramp(noise(small, 80 / _STEP, rng), 1.1, 1.5)
    inflamed = 0.08 + 0.22 * ramp(noise(small, 90 / _STEP, rng), -0.5, 2) + 0.15 * mucosa + clusters
    return Layout(tissue, lesion_mask, enlarge(mucosa, shape, _STEP), enlarge(inflamed, shape, _STEP))


def _smooth_regions(mask: BoolArray) -> BoolArray:
    """Return the regions that an expert would outline: smooth, without holes or specks."""
    radius = max(1, min(6, min(mask.shape) // 12))
    disk = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius
    padded = np.pad(mask, 2 * radius, mode="edge")
    padded = ndimage.binary_opening(ndimage.binary_closing(padded, disk), disk)
    filled = ndimage.binary_fill_holes(padded[2 * radius : -2 * radius, 2 * radius : -2 * radius])
    regions, count = ndimage.label(filled)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray((sizes > 0.012 * mask.size)[regions])


def _fibres(shape: tuple[int, int], rng: np.random.Generator) -> tuple[Float32Array, Float32Array]:
    """Return a texture of wavy fibres, and the field whose level lines they follow."""
    sheet = noise((1024, 1024), (1.3, 13.0), rng) + 0.8 * noise((1024, 1024), (3.5, 30.0), rng)
    rows, columns = (np.arange(n, dtype=np.float32) for n in shape)
    textures, courses = [], []
    for _ in range(2):
        angle = rng.uniform(0, np.pi)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        across = cosine * rows[:, None] + sine * columns + 42 * noise(shape, 80, rng) + 4 * noise(shape, 14, rng)
        along = cosine * columns - sine * rows[:, None] + 30 * noise(shape, 120, rng)
        positions = np.stack([across + 300, along + 300])
        textures.append(ndimage.map_coordinates(sheet, positions, order=1, mode="mirror"))
        courses.append(across)
    first = ramp(noise(shape, 70, rng), -0.15, 0.15)
    texture: Float32Array = first * textures[0] + (1 - first) * textures[1]
    return texture / np.float32(1.28), np.where(first > 0.5, courses[0], courses[1])


def _paint_stroma(layout: Layout, fibre: Float32Array, rng: np.random.Generator) -> Canvas:
    """Paint collagen and muscle: pink fibres with slits between them."""
    shape = fibre.shape
    loose = noise(shape, 120, rng)
    muscle = 1 - layout.mucosa
    eosin = 0.32 + 0.12 * muscle + (0.075 + 0.025 * loose) * fibre + 0.05 * noise(shape, 55, rng)
    eosin += 0.02 * noise(shape, 3, rng)
    haematoxylin = 0.07 + 0.02 * fibre + 0.02 * noise(shape, 30, rng)
    slits = fibre * np.float32(-1) + 0.7 * loose - 0.8 * muscle
    clear = 0.8 * ramp(slits, 1.5, 2.3)
    depth = np.full(shape, -1e3, np.float32)
    return Canvas(np.maximum(haematoxylin, 0.02), np.maximum(eosin, 0.05), clear, depth)


def _paint_glands(canvas: Canvas, layout: Layout, grain: Float32Array, rng: np.random.Generator) -> list[Nuclei]:
    """Paint normal glands away from the tumour and return their nuclei."""
    usable = (layout.mucosa > 0.5) & (layout.tissue > 0.5)
    far = ndimage.distance_transform_edt(~layout.tumour[::_STEP, ::_STEP]) * _STEP
    probability = usable[::_STEP, ::_STEP] * (far > 75)
    glands = place_glands(enlarge(probability.astype(np.float32), layout.tumour.shape, _STEP), rng)
    for gland in glands:
        paint_gland(canvas, gland, grain, rng)
    return [group for gland in glands for group in gland_nuclei(gland, canvas.depth, rng)]


def _paint_tumour(
    canvas: Canvas, layout: Layout, grain: Float32Array, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Paint fused, cribriform and solid nests; return masks of the nests and of their lumens."""
    shape = layout.tumour.shape
    if not layout.tumour.any():
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    body = noise(shape, 46, rng) + 0.5 * noise(shape, 20, rng)
    solid = noise(shape, 130, rng)
    inside = enlarge(ndimage.gaussian_filter(layout.tumour[::_STEP, ::_STEP].astype(np.float32), 2), shape, _STEP)
    height = body + 0.5 * solid + 0.55 - 2.5 * ramp(inside, 0.75, 0.45)
    nest = ramp(height, 0, 0.05) * layout.tumour
    holes = noise(shape, 19, rng) + 0.35 * noise(shape, 9, rng) - 0.6 * solid
    lumen = ramp(holes, 1.15, 1.28) * ramp(height, 0.3, 0.4) * layout.tumour
    tone = noise(shape, 90, rng)
    eosin = 0.39 + 0.09 * tone + 0.05 * grain
    haematoxylin = 0.09 + 0.03 * noise(shape, 70, rng) + 0.025 * grain
    cleft = ramp(np.abs(height + 0.06), 0.07, 0.03) * ramp(noise(shape, 40, rng), 0.2, 0.6) * layout.tumour
    canvas.eosin += nest * (eosin - canvas.eosin)
    canvas.haematoxylin += nest * (haematoxylin - canvas.haematoxylin)
    canvas.clear *= 1 - nest
    debris = 0.3 * ramp(noise(shape, 60, rng), 0.8, 1.2) * ramp(grain, -0.5, 1)
    canvas.clear = np.maximum(canvas.clear, np.maximum(lumen * (0.88 - debris), 0.7 * cleft))
    near = ramp(holes, 0.8, 1.0) * ramp(height, 0.3, 0.4)
    return nest, np.maximum(near, lumen).astype(np.float32)


def _tumour_nuclei(nest: Float32Array, lumen: Float32Array, rng: np.random.Generator) -> Nuclei:
    """Return crowded nuclei without polarity that fill the nests."""
    points = scatter(nest * (1 - lumen), nest.size // 60, rng)
    return make_nuclei(TUMOUR, points, rng)


def _stroma_nuclei(
    canvas: Canvas, layout: Layout, nest: Float32Array, course: Float32Array, rng: np.random.Generator
) -> list[Nuclei]:
    """Return spindle nuclei along the fibres, and lymphocytes."""
    free = (canvas.depth < -5) * (nest < 0.5) * layout.tissue * (1 - canvas.clear)
    spindles = scatter(free, free.size // 700, rng)
    ahead, aside = np.array([3.0, 0.0]), np.array([0.0, 3.0])
    down = sample(course, spindles + ahead) - sample(course, spindles - ahead)
    across = sample(course, spindles + aside) - sample(course, spindles - aside)
    angle = np.arctan2(-across, down).astype(float) + rng.normal(0, 0.15, len(spindles))
    within = np.where(nest > 0.5, 0.06, 1) * (canvas.depth < -5) * layout.tissue
    lymphocytes = scatter(np.clip(layout.inflamed, 0, 1) * within, free.size // 60, rng)
    return [make_nuclei(SPINDLE, spindles, rng, angle=angle), make_nuclei(LYMPHOCYTE, lymphocytes, rng)]


def _add_nuclei(
    canvas: Canvas, nuclei: Nuclei, grain: Float32Array, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Return both dyes with empty pixels cleared and nuclei added."""
    chromatin = np.zeros(canvas.eosin.shape, np.float32)
    render_nuclei(chromatin, nuclei, rng)
    full = 1 - canvas.clear
    cover = np.clip(chromatin * 2, 0, 1)
    chromatin *= 1 + 0.16 * grain
    haematoxylin = np.maximum(canvas.haematoxylin * full, chromatin)
    eosin = canvas.eosin * np.maximum(full, cover) * (1 - 0.25 * cover)
    return haematoxylin, np.maximum(eosin, 0)
