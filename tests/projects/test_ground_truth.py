"""What a person stands for, in complete boxes too."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.geometry import Region, on_grid
from napari_pathseg.masks import edits
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.checks.trainability import train_val_split
from napari_pathseg.projects.ground_truth import GroundTruth, labelled_pixel_counts
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes

WHOLE = Region(0, 0, 192, 192)
BOXES = (Region(10, 10, 30, 40), Region(30, 40, 20, 20), Region(180, 180, 12, 12))


@pytest.fixture
def boxed(project):
    """A project whose case5, of no contour, has three complete boxes, two of which overlap, and a stroke."""
    project.update_slide("case5", boxes=BOXES)
    with project.write_lock(), project.open_mask("case5") as mask:
        edits.paint(mask, Region(0, 0, 20, 20), np.full((20, 20), 2, np.uint8))
        edits.fill_from_model(mask, Region(20, 20, 4, 4), np.full((4, 4), 2, np.uint8))
    return project


def expected_truth():
    truth = np.zeros((192, 192), np.uint8)
    for box in BOXES:
        truth[box.slices] = 1
    truth[:20, :20] = 2
    return truth


def test_what_is_unlabelled_in_a_box_is_background_and_outside_nothing(boxed):
    np.testing.assert_array_equal(GroundTruth(boxed, boxed.slide("case5")).labels(WHOLE), expected_truth())


def test_a_slide_without_a_mask_has_its_boxes_too(project):
    entry = project.update_slide("case5", boxes=BOXES)
    assert not project.mask_path("case5").exists()
    assert (GroundTruth(project, entry).labels(WHOLE) == 1).sum() == 1200 + 400 - 100 + 144


def test_the_numbers_by_class_are_those_of_the_pixels(boxed):
    for slide in ("case0", "case5"):
        entry = boxed.slide(slide)
        counted = np.bincount(GroundTruth(boxed, entry).labels(WHOLE).ravel(), minlength=256)
        counted[0] = 0
        np.testing.assert_array_equal(labelled_pixel_counts(boxed, entry, boxed.counts(slide)), counted)


def test_boxes_are_kept_with_the_project_and_old_projects_have_none(boxed):
    assert Project.open(boxed.folder).slide("case5").boxes == BOXES
    listed = json.loads((boxed.folder / "project.json").read_text())["slides"]
    assert [("boxes" in entry) for entry in listed] == [False] * 5 + [True]
    assert Project.open(boxed.folder).slide("case0").boxes == ()


def test_a_box_alone_makes_a_slide_one_of_background(project):
    entry = project.update_slide("case5", boxes=BOXES[:1], role="train")
    assert labelled_classes(entry, project.counts("case5")) == {1}
    train, _ = train_val_split(project, {name: project.counts(name) for name in project.slides})
    assert "case5" in {entry.id for entry in train}


def test_background_that_only_boxes_show_can_be_learnt(project):
    for name in project.slides:
        project.update_slide(name, complete=False)
    assert any("Background" in problem.text for problem in check(project) if problem.blocks)
    for name in ("case0", "case1", "case2", "case3", "case4"):
        project.update_slide(name, boxes=BOXES)
    assert not any(problem.blocks for problem in check(project))


def test_a_model_fills_nothing_in_a_complete_box(boxed):
    entry = boxed.slide("case5")
    with boxed.write_lock(), boxed.open_mask("case5") as mask:
        mask.run(edits.reject(WHOLE))
        found = np.full((192, 192), 2, np.uint8)
        edits.fill_from_model(mask, WHOLE, found, entry.complete_in(WHOLE))
        labels, _ = mask.read(WHOLE)
    np.testing.assert_array_equal(labels == 0, expected_truth() == 1)


def entry_of(downsample, boxes, complete=False):
    return SlideRecord("a", "a", "a", "f", (40, 50), 3, None, downsample, "p", complete=complete, boxes=tuple(boxes))


box = st.builds(Region, st.integers(-5, 45), st.integers(-5, 55), st.integers(0, 30), st.integers(0, 30))


@given(st.lists(box, max_size=4), st.integers(1, 5), box)
@settings(max_examples=60)
def test_a_pixel_of_the_mask_is_in_a_box_where_its_centre_is(boxes, downsample, region):
    entry = entry_of(downsample, boxes)
    region = region.clip(entry.mask_shape)
    rows, columns = (np.arange(size) * downsample + (downsample - 1) / 2 for size in entry.mask_shape)
    expected = np.zeros(entry.mask_shape, bool)
    for one in boxes:
        inside = (rows >= one.top - 0.5) & (rows < one.bottom - 0.5)
        expected |= inside[:, None] & (columns >= one.left - 0.5) & (columns < one.right - 0.5)
    found = np.broadcast_to(entry.complete_in(region), (region.height, region.width))
    np.testing.assert_array_equal(found, expected[region.slices])


def test_a_complete_slide_is_complete_in_and_out_of_its_boxes():
    assert entry_of(1, BOXES, complete=True).complete_in(WHOLE) is True
    assert entry_of(1, []).complete_in(WHOLE) is False
    assert on_grid(Region(1, 2, 4, 6), 2) == Region(0, 1, 2, 3)
