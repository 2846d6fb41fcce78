"""The live-wire follows the edge that a pathologist means, from click to click."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import find_contours

from napari_pathseg.interactive import LiveWire

PINK, PURPLE = (230, 190, 215), (120, 80, 160)


def disc(shape, centre, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def painted(inside, rng=None):
    image = np.where(inside[..., None], PURPLE, PINK)
    if rng is not None:
        image = image + rng.normal(0, 12, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def sampled(path):
    """Return points at most half a pixel apart on a path."""
    segments = [np.linspace(a, b, max(2, int(2 * np.hypot(*(b - a))))) for a, b in pairwise(path)]
    return np.concatenate([path[:1], *segments])


def distance_from_circle(path, centre, radius):
    return np.abs(np.hypot(*(sampled(path) - centre).T) - radius).max()


@pytest.mark.parametrize("side", [250, 600, 1100])
@pytest.mark.parametrize("grey", [False, True])
def test_wire_follows_the_rim_between_two_clicks_on_it(side, grey):
    centre, radius = (side / 2 - 3, side / 2 + 5), side * 0.33
    image = painted(disc((side, side), centre, radius), np.random.default_rng(0))
    wire = LiveWire(image[..., 0] if grey else image)
    wire.anchor(centre[0] - radius + 2, centre[1])
    path = wire.path_to(centre[0], centre[1] + radius - 3)
    assert distance_from_circle(path, centre, radius) <= 2
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    assert length == pytest.approx(radius * np.pi / 2, rel=0.12)  # steps of 45 degrees are up to 8 % longer


def test_wire_follows_the_model_rather_than_the_image():
    object_, model = disc((400, 400), (200, 200), 120), disc((400, 400), (200, 200), 140)
    probability = (ndimage.gaussian_filter(model.astype(float), 3) * 255).astype(np.uint8)
    for given_probability, radius in ((probability, 140), (None, 120)):
        wire = LiveWire(painted(object_), given_probability)
        wire.anchor(200 - radius + 2, 200)
        assert distance_from_circle(wire.path_to(200, 200 + radius - 3), (200, 200), radius) <= 2


def test_wire_follows_a_gentle_slope_of_probability_at_one_half():
    distance = np.hypot(*np.ogrid[-150:150, -150:150])
    probability = np.clip(128 + (100 - distance) * 255 / 50, 0, 255).astype(np.uint8)
    wire = LiveWire(np.full((300, 300), 128, np.uint8), probability, snap=0)
    wire.anchor(50, 150)
    assert distance_from_circle(wire.path_to(150, 250), (150, 150), 100) <= 3


def test_wire_follows_the_image_where_the_model_has_no_contour():
    image = painted(disc((300, 300), (150, 150), 100))
    wire = LiveWire(image, np.zeros((300, 300), np.uint8))
    wire.anchor(50, 150)
    assert distance_from_circle(wire.path_to(150, 250), (150, 150), 100) <= 2


def test_click_snaps_to_the_edge_within_a_few_pixels_only():
    wire = LiveWire(painted(disc((300, 300), (150, 150), 100)))
    for angle in np.linspace(0, 2 * np.pi, 17):
        direction = np.array([np.sin(angle), np.cos(angle)])
        row, column = wire.snapped(*(150 + 95 * direction))
        assert abs(np.hypot(row - 150, column - 150) - 100) <= 2.5
        far = 150 + 60 * direction
        assert np.hypot(*(np.array(wire.snapped(*far)) - far)) <= 6.8


def test_click_stays_where_it_is_without_snapping():
    wire = LiveWire(painted(disc((300, 300), (150, 150), 100)), snap=0)
    assert wire.anchor(57.4, 148.6) == (57, 149)
    assert wire.path_to(100, 100)[-1].tolist() == [100, 100]


def test_next_segment_starts_at_the_new_anchor():
    wire = LiveWire(painted(disc((300, 300), (150, 150), 100)))
    wire.anchor(52, 150)
    first = wire.path_to(150, 248)
    assert tuple(first[-1]) == wire.anchor(150, 248)
    assert np.array_equal(wire.path_to(248, 150)[0], first[-1])


def test_path_to_the_anchor_itself_is_one_point():
    wire = LiveWire(painted(disc((60, 60), (30, 30), 20)))
    anchor = wire.anchor(10, 30)
    assert wire.path_to(10, 30).tolist() == [list(anchor)]


shapes = st.tuples(st.integers(1, 60), st.integers(1, 60))
positions = st.tuples(st.floats(-20, 80), st.floats(-20, 80))


@settings(max_examples=40, deadline=None)
@given(shapes, positions, positions, st.integers(0, 8), st.integers(0, 99))
def test_path_leads_from_anchor_to_cursor_within_the_image(shape, start, end, snap, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    wire = LiveWire(image, snap=snap)
    anchor = wire.anchor(*start)
    path = wire.path_to(*end)
    assert tuple(path[0]) == anchor
    assert tuple(path[-1]) == wire.snapped(*end)
    assert (path >= 0).all()
    assert (path < shape).all()


@pytest.mark.shared_data
def test_wire_is_closer_to_real_outlines_than_straight_lines(real_glands):
    wires, straights = [], []
    for image, mask in real_glands:
        wire = LiveWire(image)
        edge = mask ^ ndimage.binary_erosion(mask, border_value=1)
        distance = ndimage.distance_transform_edt(~edge)
        for outline in find_contours(mask.astype(float), 0.5)[:3]:
            for first in range(0, len(outline) - 80, 160):
                ends = np.rint(outline[[first, first + 80]]).astype(int)
                if ends.min() < 4 or ends.max() > min(mask.shape) - 5:
                    continue  # the border of the image is not an outline
                wire.anchor(*ends[0])
                for path, found in ((wire.path_to(*ends[1]), wires), (ends.astype(float), straights)):
                    found.append(distance[tuple(np.rint(sampled(path)).astype(int).T)].mean())
    assert len(wires) > 30
    assert np.mean(wires) < 0.85 * np.mean(straights)
