"""Contours are rasterized as GDAL would do it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize as gdal_rasterize

from napari_pathseg.contours.contour import Contour, assign_holes, check_inside
from napari_pathseg.contours.rasterize import paint_contours, rasterize, scanline_fill
from napari_pathseg.errors import AnnotationError

SHAPE = (40, 50)


def box(top, left, bottom, right, **fields):
    return Contour(np.array([[top, left], [top, right], [bottom, right], [bottom, left]], float), **fields)


def by_gdal(contour, shape=SHAPE):
    rings = [[(column + 0.5, row + 0.5) for row, column in [*ring, ring[0]]] for ring in contour.rings]
    return gdal_rasterize([({"type": "Polygon", "coordinates": rings}, contour.label)], out_shape=shape)


rings = st.integers(3, 9).flatmap(
    # Rows all differ: GDAL paints an edge along a row of centres twice, by its direction.
    lambda count: st.tuples(
        st.lists(st.integers(-80, 240), min_size=count, max_size=count, unique=True),
        st.lists(st.integers(-80, 280), min_size=count, max_size=count),
    ).map(lambda values: np.array(values, float).T / 4)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rings, min_size=1, max_size=3))
def test_contour_with_holes_covers_the_pixels_of_gdal(rings):
    contour = Contour(rings[0], tuple(rings[1:]))
    assert np.array_equal(rasterize([contour], SHAPE), by_gdal(contour))


def test_thousand_random_contours_cover_the_pixels_of_gdal():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        rings = [rng.uniform(-10, 60, (rng.integers(3, 40), 2)) for _ in range(rng.integers(1, 4))]
        contour = Contour(rings[0], tuple(rings[1:]))
        assert np.array_equal(rasterize([contour], SHAPE), by_gdal(contour))


@settings(max_examples=30, deadline=None)
@given(rings, st.integers(2, 5))
def test_coarse_mask_samples_the_fine_one_at_block_centres(ring, downsample):
    coarse = rasterize([Contour(ring * downsample + (downsample - 1) / 2)], SHAPE, downsample)
    assert np.array_equal(coarse, rasterize([Contour(ring)], SHAPE))


def test_later_contour_wins_and_paints_its_own_label():
    mask = rasterize([box(-0.5, -0.5, 5.5, 5.5, label=2), box(2.5, 2.5, 8.5, 8.5, label=3)], (10, 10))
    assert mask[[1, 4, 9], [1, 4, 9]].tolist() == [2, 3, 0]
    assert np.bincount(mask.ravel()).tolist() == [37, 0, 27, 36]


def random_contours(rng, count):
    """Return small and large contours, some with holes, some outside the mask, of which many overlap."""
    contours = []
    for _ in range(count):
        rings = [rng.uniform(-30, 300, 2) + rng.uniform(0, 10 ** rng.uniform(0, 2.5), (rng.integers(3, 9), 2))]
        rings += [rings[0] + rng.uniform(-2, 2) for _ in range(rng.integers(0, 3))]
        contours.append(Contour(rings[0], tuple(rings[1:]), label=int(rng.integers(1, 200))))
    return contours


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_many_contours_are_painted_as_one_after_another(seed, downsample):
    rng = np.random.default_rng(seed)
    contours = random_contours(rng, rng.integers(1, 600))
    together, alone = np.zeros((250, 270), np.uint8), np.zeros((250, 270), np.uint8)
    reached = paint_contours(together, contours, downsample, offset=1)
    for contour in contours:
        for region, inside in scanline_fill(contour, alone.shape, downsample):
            np.copyto(alone[region.slices], np.uint8(contour.label + 1), where=inside)
    assert np.array_equal(together, alone)
    together[reached.slices] = 0
    assert not together.any()


def test_contours_with_a_common_edge_neither_overlap_nor_leave_gaps():
    rng = np.random.default_rng(3)
    middle = rng.uniform(10, 30, 2)
    corners = np.array([[-1, -1], [-1, 60], [60, 60], [60, -1]], float)
    parts = [Contour(np.array([corners[i], corners[(i + 1) % 4], middle][:: rng.choice([-1, 1])])) for i in range(4)]
    assert (sum((rasterize([part], SHAPE) > 0).astype(int) for part in parts) == 1).all()


def test_contour_larger_than_a_slide_is_filled_in_small_bands():
    far = 1e6
    circle = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    ring = 5000 + 6000 * np.stack([np.sin(circle), np.cos(circle)], axis=1)
    rows = 0
    for region, inside in scanline_fill(Contour(ring, (box(-far, 4000, far, 4999.5).exterior,)), (10_000, 10_000)):
        assert inside.shape == (region.height, region.width)
        assert inside.size <= 4_000_000
        assert inside[0, [5500 - region.left, 4500 - region.left]].tolist() == [True, False]
        rows += region.height
    assert rows == 10_000


def test_contour_outside_the_mask_is_clipped():
    assert not list(scanline_fill(box(100, 100, 200, 200), SHAPE))
    assert not list(scanline_fill(box(5, 100, 9, 200), SHAPE))
    assert rasterize([box(-100, -100, 100, 9.5)], SHAPE).sum() == 2 * 40 * 10


def test_million_vertices_are_rasterized_quickly(at_most_loops):
    angle = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    radius = 1500 + 300 * np.sin(7 * angle) + 20 * np.sin(5000 * angle)
    contour = Contour(2048 + radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1))
    with at_most_loops(10):  # 0.15 s
        mask = rasterize([contour], (4096, 4096))
    assert (mask > 0).sum() == pytest.approx(np.pi * (1500**2 + (300**2 + 20**2) / 2), rel=1e-3)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 0], [1, 1]], "contour 1: has 2 points; an outline needs 3 or more. Complete or delete it."),
        ([[0, 0], [np.nan, 1], [2, 2]], "contour 1: point 2 lies at row nan, column 1; coordinates must be"),
        ([[0, 0], [5, 1], [2, np.inf]], "contour 1: point 3 lies at row 2, column inf; coordinates must be"),
    ],
)
def test_outline_that_encloses_nothing_is_refused_by_number(points, message):
    with pytest.raises(AnnotationError, match=message.replace(".", r"\.")):
        rasterize([Contour(np.array(points, float))], SHAPE)


def test_contour_outside_its_slide_is_refused_with_both_positions():
    with pytest.raises(AnnotationError) as refused:
        check_inside([box(1, 1, 9, 9), box(50, 3, 60, 9)], SHAPE, "a.svg")
    assert str(refused.value).startswith(
        "a.svg, contour 2: lies at rows 50 to 60, columns 3 to 9, outside its slide of 40 rows and 50 columns."
    )
    check_inside([box(-5, -5, 0, 0)], SHAPE, "a.svg")


def test_unordered_rings_become_outlines_and_holes():
    outer, hole, island, apart = (
        box(*sides).exterior for sides in [(0, 0, 20, 20), (2, 2, 18, 18), (5, 5, 9, 9), (30, 30, 40, 40)]
    )
    found = assign_holes([island, hole, apart, outer], "a.svg")
    assert [(len(holes), float(exterior[0, 0])) for exterior, holes in found] == [(0, 5), (0, 30), (1, 0)]
    assert found[2][1][0] is hole
