"""A mask says in which boxes pixels of a person have changed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import open_mask
from napari_pathseg.masks.edited_boxes import EditedBoxes
from napari_pathseg.masks.edits import accept, fill_from_model, reject
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.masks.stroke_queue import Brush, Stroke

SHAPE = (1100, 700)
WHOLE = Region(0, 0, *SHAPE)
places = st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1))
boxes = st.builds(lambda at, size: Region(*at, *size).clip(SHAPE), places, st.tuples(*[st.integers(1, 300)] * 2))
labels = st.integers(0, 2)
actions = st.one_of(
    st.tuples(st.just("stroke"), places, places, labels),
    st.tuples(st.just("fill"), boxes, st.integers(1, 2)),
    st.tuples(st.sampled_from(["accept", "reject"]), boxes),
    st.tuples(st.sampled_from(["undo", "redo"])),
)


def act(mask, name, *values):
    if name == "stroke":
        start, end, label = values
        mask.add_stroke(Stroke(BrushSegment(start, end, 9), Brush(label)))
    elif name == "fill":
        box, label = values
        fill_from_model(mask, box, np.full((box.height, box.width), label, np.uint8))
    elif name in ("accept", "reject"):
        mask.run((accept if name == "accept" else reject)(*values))
    else:
        getattr(mask, name)()
    mask.end_undo_group()
    mask.apply_pending()


def of_a_person(pixels):
    """Return labels and provenance of what a person set; what a model filled looks like nothing."""
    return np.where(pixels[1] > 1, pixels, 0)


@given(st.lists(actions, min_size=1, max_size=8))
def test_what_a_person_changed_lies_in_the_boxes_and_what_a_model_changed_makes_none(tmp_path_factory, steps):
    with open_mask(tmp_path_factory.mktemp("mask") / "a.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        before = of_a_person(np.stack(mask.read(WHOLE)))
        for step in steps:
            act(mask, *step)
            after = of_a_person(np.stack(mask.read(WHOLE)))
            outside = (before != after).any(axis=0)
            assert bool(mask.edited) == outside.any()
            for box in mask.edited.pop():
                outside[box.slices] = False
            assert not outside.any()
            before = after


def test_boxes_that_are_too_many_are_not_named():
    edited, box = EditedBoxes(), Region(0, 0, 9 * 512, 8 * 512)
    before = np.zeros((2, box.height, box.width), np.uint8)
    edited.add(box, before, np.full_like(before, 4))
    assert edited
    assert edited.pop() is None
    assert not edited
    assert edited.pop() == []
