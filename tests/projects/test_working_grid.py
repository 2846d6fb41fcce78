from dataclasses import replace

import pytest

from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import fitting_tile, longest_sides, working_shape

SLIDE = SlideRecord("a", "", "", "", (100, 130), 3, 0.5, 1, "a")


@pytest.mark.parametrize(("mpp", "shape"), [(1.0, (50, 65)), (0.5, (100, 130)), (0.51, (100, 130)), (None, (100, 130))])
def test_the_working_grid_has_the_pixel_size_of_the_project(mpp, shape):
    assert working_shape(mpp, SLIDE) == shape


def test_a_slide_without_a_pixel_size_is_learned_pixel_by_pixel():
    assert working_shape(2.0, replace(SLIDE, mpp=None)) == (100, 130)


@pytest.mark.parametrize(
    ("mpp", "tile", "fitting"),
    [(None, 256, 160), (None, 128, 128), (1.0, 256, 96), (8.0, 256, 64)],
    ids=["multiple of 32", "as chosen", "of the working grid", "smallest"],
)
def test_a_tile_is_no_larger_than_the_largest_slide(mpp, tile, fitting):
    sides = longest_sides(mpp, [SLIDE, replace(SLIDE, shape=(20, 30))])
    assert fitting_tile(sides, tile) == fitting


def test_no_slide_leaves_the_tile_as_it_is():
    assert fitting_tile([], 256) == 256


@pytest.mark.parametrize(
    ("sides", "tile", "fitting"),
    [([64, 64, 64, 900], 256, 64), ([64, 64, 900, 900], 256, 256), ([64, 64, 64, 900], 512, 512)],
)
def test_the_default_tile_follows_most_slides_and_a_chosen_one_the_largest(sides, tile, fitting):
    assert fitting_tile(sides, tile) == fitting
