"""What the mask layer draws is what the mask stores: random gestures, at random zooms, on pixels of every origin."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits, open_mask
from napari_pathseg.masks.shapes import PolygonShape
from napari_pathseg.masks.zarr_store import create_store
from napari_pathseg.ui.layers.loaded_tile import loaded_tile
from napari_pathseg.ui.layers.mask_data import encode_display
from napari_pathseg.ui.layers.mask_layer import MaskLayer

SHAPE = (1101, 1303)  # levels with odd sides, whose pixels napari does not take for powers of 2
BACKGROUND, TUMOUR = 1, 2


@pytest.fixture
def layer(tmp_path):
    with some_layer(tmp_path / "m.zarr", np.random.default_rng(0)) as layer:
        yield layer


class some_layer:
    """A layer on a mask with pixels of every class and provenance."""

    def __init__(self, path, rng):
        create_store(path, SHAPE, DEFAULT_CLASSES, coarsest=128)
        self.mask = open_mask(path, SHAPE, DEFAULT_CLASSES)
        patches = rng.integers(0, [[[4]], [[6]]], (2, 12, 14)).repeat(100, 1).repeat(100, 2)[:, : SHAPE[0], : SHAPE[1]]
        labels, provenance = patches.astype(np.uint8)
        provenance[(labels > 0) & (provenance == 0)] = Provenance.DRAWN
        self.mask.edit(Region(0, 0, *SHAPE), labels, provenance)
        self.mask.end_undo_group()

    def __enter__(self):
        layer = MaskLayer(self.mask, DEFAULT_CLASSES)
        ViewerModel().add_layer(layer)
        layer.brush_size = 30
        return layer

    def __exit__(self, *_):
        self.mask.close()


def look_at(layer, rng):
    """Zoom and pan to a random place."""
    size = rng.integers(100, 1300)
    corner = np.array([rng.integers(0, side - 60) for side in SHAPE])
    box = np.stack([corner, np.minimum(corner + size, np.array(SHAPE) - 1)])
    layer._update_draw(1.0, box, rng.choice([100, 300, 800], 1).repeat(2))


def drawn(layer):
    """Return the tile that is on screen, and what the mask stores there."""
    tile = loaded_tile(layer)
    labels, provenance = np.stack(layer.mask._pyramid.read(tile, layer.data_level))
    return layer._slice.image.view, encode_display(np.stack([labels, provenance]))


def gesture(layer, rng):
    """Brush, erase, fill, or draw around an area, in or around what is on screen, or undo; return which."""
    at = layer.visible_region
    place = [np.array([rng.integers(at.top, at.bottom), rng.integers(at.left, at.right)], float) for _ in range(4)]
    label = int(rng.choice([0, 0, 1, 2, 3]))
    kind = rng.choice(["brush", "brush", "polygon", "fill", "undo"])
    if kind == "undo":
        layer.undo()
        return kind
    layer.locked_classes = frozenset({3} if rng.random() < 0.2 else ())
    with layer.block_history():
        if kind == "brush":
            for start, end in itertools.pairwise(place):
                layer.paint_segment(start, end, label)
        elif kind == "polygon":
            layer.stroke(PolygonShape([np.stack(place)]), label)
        else:
            layer.fill(tuple(place[0]), label)
    return kind


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1))
def test_random_gestures_draw_what_the_mask_stores(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    with some_layer(tmp_path_factory.mktemp("mask") / "m.zarr", rng) as layer:
        for _ in range(6):
            look_at(layer, rng)
            kinds = []
            for _ in range(int(rng.integers(1, 4))):
                kinds.append(gesture(layer, rng))
                if rng.random() < 0.5:
                    layer.process_pending(0)
            shown = layer._slice.image.view.copy()
            strokes_only = "undo" not in kinds  # which is drawn up to a quarter of a second later
            while layer.process_pending(0):
                pass
            screen, stored = drawn(layer)
            assert (screen == stored).all()
            if layer.data_level == 0 and strokes_only:  # on a coarser level a stroke is first drawn at its resolution
                assert (shown == stored).all()


@pytest.mark.parametrize("provenance", [Provenance.MODEL, Provenance.ACCEPTED, Provenance.IMPORTED])
def test_crossing_strokes_of_the_eraser_leave_no_stripes(layer, provenance):
    whole = Region(0, 0, *SHAPE)
    layer.mask.edit(whole, np.full(SHAPE, TUMOUR, np.uint8), np.full(SHAPE, provenance, np.uint8))
    layer._update_draw(1.0, np.array([[0, 0], SHAPE]) - [[0], [1]], np.array(SHAPE))  # at the finest level
    layer.show(whole)
    for line in ([(100, 100), (100, 400)], [(80, 250), (300, 250)], [(105, 100), (105, 400)]):
        with layer.block_history():
            layer.paint_segment(*line, 0)
        screen, stored = drawn(layer)[0].copy(), encode_display(np.stack(layer.mask.read(loaded_tile(layer))))
        assert (screen == stored).all()
        layer.process_pending(1)
        assert (drawn(layer)[0] == stored).all()


def test_erasing_a_rejected_area_again_changes_nothing_on_screen(layer):
    whole = Region(0, 0, *SHAPE)
    layer.mask.edit(whole, np.full(SHAPE, BACKGROUND, np.uint8), np.full(SHAPE, Provenance.CORRECTED, np.uint8))
    layer.show(whole)
    layer.paint_segment((100, 100), (100, 400), 0)
    layer.process_pending(1)
    assert (drawn(layer)[0] == BACKGROUND).all()


def test_accepting_is_drawn_where_it_was_stored(layer):
    layer.mask.enqueue(edits.accept(Region(0, 0, *SHAPE)))
    while layer.process_pending(0):
        pass
    screen, stored = drawn(layer)
    assert (screen == stored).all()
