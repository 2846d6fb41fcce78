import numpy as np
import shapely

from napari_pathseg.data.outline import outline
from napari_pathseg.data.rasterize import rasterize
from napari_pathseg.data.smoothing import smooth


def disk(side=200, radius=70, hole=20):
    rows, columns = np.indices((side, side)) - side / 2 + 0.3
    distance = np.hypot(rows, columns)
    return np.where((distance < radius) & (distance >= hole), np.uint8(2), np.uint8(0))


def test_a_round_thing_gets_a_round_outline():
    [stairs] = outline(disk(), 2)
    round_one = smooth(stairs, 3.0)
    for ring, radius in zip(round_one.rings, (70, 20), strict=True):
        assert abs(shapely.Polygon(ring).length / (2 * np.pi * radius) - 1) < 0.02
    assert shapely.Polygon(stairs.exterior).length > 1.05 * shapely.Polygon(round_one.exterior).length


def test_no_point_leaves_its_line_by_more_than_the_reach():
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 2, (12, 12)), np.ones((9, 9), int)).astype(np.uint8) * 2
    for contour in outline(mask, 2):
        for before, after in zip(contour.rings, smooth(contour, 2.0).rings, strict=True):
            line = shapely.LinearRing(before)
            assert shapely.distance(line, shapely.points(after)).max() <= 2.0 + 1e-6


def test_areas_hardly_change_and_nothing_is_lost():
    mask = disk()
    painted = rasterize([smooth(contour, 2.0) for contour in outline(mask, 2)], mask.shape) == 2
    assert ((mask == 2) != painted).sum() < 0.01 * (mask == 2).sum()


def test_without_a_reach_an_outline_stays_exact():
    [contour] = outline(disk(), 2)
    assert smooth(contour, 0.0) is contour
