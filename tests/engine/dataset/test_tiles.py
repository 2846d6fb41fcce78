import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.engine.dataset.tiles import grow, read_mirrored
from napari_pathseg.geometry import Region, layout

shapes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@given(shapes, st.integers(1, 40))
def test_tiles_cover_each_pixel_once(shape, tile):
    covered = np.zeros(shape, int)
    for region in layout(Region(0, 0, *shape), tile):
        covered[region.slices] += 1
    assert (covered == 1).all()


@given(shapes, st.integers(0, 20), st.sampled_from([1, 8, 32]))
def test_grown_tile_has_its_halo_and_a_size_that_the_network_takes(shape, halo, multiple):
    region = Region(10, 20, *shape)
    grown = grow(region, halo, multiple)
    assert grown.height % multiple == grown.width % multiple == 0
    assert grown.intersect(region) == region
    assert region.top - grown.top == region.left - grown.left == halo
    assert grown.bottom - region.bottom >= halo


@given(shapes, st.integers(0, 30))
def test_slide_is_mirrored_beyond_its_edge(shape, halo):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    halo = min(halo, min(shape) - 1)
    whole = Region(-halo, -halo, shape[0] + 2 * halo, shape[1] + 2 * halo)
    read = read_mirrored(lambda region: image[region.slices], whole, shape)
    assert (read == np.pad(image, halo, mode="reflect")).all()


@given(shapes, st.integers(-70, 70), st.integers(-70, 70), st.integers(1, 40), st.integers(1, 40))
def test_part_of_a_box_is_what_it_is_in_the_whole_box_also_where_all_of_it_lies_beyond_the_slide(
    shape, top, left, height, width
):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    whole, part = Region(-80, -80, 200, 200), Region(top, left, height, width)
    read = read_mirrored(lambda region: image[region.slices], whole, shape)
    assert (read_mirrored(lambda region: image[region.slices], part, shape) == read[part.shift(80, 80).slices]).all()


def test_slide_far_smaller_than_a_tile_still_fills_it():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    read = read_mirrored(lambda region: image[region.slices], Region(-50, -50, 128, 128), (2, 3))
    assert read.shape == (128, 128)
    assert set(np.unique(read)) == set(range(6))
