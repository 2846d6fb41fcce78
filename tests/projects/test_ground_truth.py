"""Ground truth of slides and of complete boxes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.geometry import Region, on_grid
from napari_pathseg.masks import edits
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.checks.trainability import train_val_split
from napari_pathseg.projects.ground_truth import GroundTruth, labelled_pixel_counts
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes

WHOLE = Region(0, 0, 192, 192)
BOXES = (Region(10, 10, 30, 40), Region(30, 40, 20, 20), Region(180, 180, 12, 12))


@pytest.fixture
def boxed(project):
    """A project whose case5 has no contours but three complete boxes, two of them overlapping, and a stroke."""
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


def test_unlabelled_pixels_are_background_only_inside_boxes(boxed):
    np.testing.assert_array_equal(GroundTruth(boxed, boxed.slide("case5")).labels(WHOLE), expected_truth())


def test_boxes_count_on_a_slide_without_a_mask(project):
    record = project.update_slide("case5", boxes=BOXES)
    assert not project.mask_path("case5").exists()
    assert (GroundTruth(project, record).labels(WHOLE) == 1).sum() == 1200 + 400 - 100 + 144


def test_pixel_counts_equal_the_labels(boxed):
    for slide in ("case0", "case5"):
        record = boxed.slide(slide)
        counted = np.bincount(GroundTruth(boxed, record).labels(WHOLE).ravel(), minlength=256)
        counted[0] = 0
        np.testing.assert_array_equal(labelled_pixel_counts(boxed, record, boxed.counts(slide)), counted)


def test_boxes_are_saved_and_absent_from_old_projects(boxed):
    assert Project.open(boxed.folder).slide("case5").boxes == BOXES
    listed = json.loads((boxed.folder / "project.json").read_text())["slides"]
    assert [("boxes" in record) for record in listed] == [False] * 5 + [True]
    assert Project.open(boxed.folder).slide("case0").boxes == ()


def test_slide_with_only_a_box_is_a_background_slide(project):
    record = project.update_slide("case5", boxes=BOXES[:1], role="train")
    assert labelled_classes(record, project.counts("case5")) == {1}
    train, _ = train_val_split(project, {name: project.counts(name) for name in project.slides})
    assert "case5" in {record.id for record in train}


def test_background_only_in_boxes_is_enough_for_training(project):
    for name in project.slides:
        project.update_slide(name, complete=False)
    assert any("Background" in problem.text for problem in check(project) if problem.blocks)
    for name in ("case0", "case1", "case2", "case3", "case4"):
        project.update_slide(name, boxes=BOXES)
    assert not any(problem.blocks for problem in check(project))


def test_prediction_fills_nothing_in_a_complete_box(boxed):
    record = boxed.slide("case5")
    with boxed.write_lock(), boxed.open_mask("case5") as mask:
        mask.run(edits.reject(WHOLE))
        found = np.full((192, 192), 2, np.uint8)
        edits.fill_from_model(mask, WHOLE, found, record.complete_in(WHOLE))
        labels, _ = mask.read(WHOLE)
    np.testing.assert_array_equal(labels == 0, expected_truth() == 1)


def make_record(downsample, boxes, complete=False):
    return SlideRecord("a", "a", "a", "f", (40, 50), 3, None, downsample, "p", complete=complete, boxes=tuple(boxes))


box = st.builds(Region, st.integers(-5, 45), st.integers(-5, 55), st.integers(0, 30), st.integers(0, 30))


@given(st.lists(box, max_size=4), st.integers(1, 5), box)
@settings(max_examples=60)
def test_mask_pixel_belongs_to_a_box_if_its_centre_does(boxes, downsample, region):
    record = make_record(downsample, boxes)
    region = region.clip(record.mask_shape)
    rows, columns = (np.arange(size) * downsample + (downsample - 1) / 2 for size in record.mask_shape)
    expected = np.zeros(record.mask_shape, bool)
    for complete_box in boxes:
        inside = (rows >= complete_box.top - 0.5) & (rows < complete_box.bottom - 0.5)
        expected |= inside[:, None] & (columns >= complete_box.left - 0.5) & (columns < complete_box.right - 0.5)
    found = np.broadcast_to(record.complete_in(region), (region.height, region.width))
    np.testing.assert_array_equal(found, expected[region.slices])


def test_complete_slide_is_complete_inside_and_outside_boxes():
    assert make_record(1, BOXES, complete=True).complete_in(WHOLE) is True
    assert make_record(1, []).complete_in(WHOLE) is False
    assert on_grid(Region(1, 2, 4, 6), 2) == Region(0, 1, 2, 3)


def test_given_pixels_count_until_they_are_saved(project):
    record = project.slide("case5")
    truth, box = GroundTruth(project, record), Region(20, 30, 40, 50)
    whole = Region(0, 0, *record.mask_shape)
    pixels = np.stack([np.full((40, 50), 2, np.uint8), np.full((40, 50), Provenance.DRAWN, np.uint8)])
    truth.give(box, pixels)
    assert truth.labels(whole).sum() == 2 * 40 * 50
    assert (truth.labels(box) == 2).all()
    assert truth.set_chunks() == {(0, 0)}
    truth.forget_saved(8)  # nothing has been
    assert truth.labels(whole).sum() == 2 * 40 * 50
    with project.open_mask("case5") as mask:
        edits.paint(mask, box, pixels[0])
    truth.forget_saved(8)
    with project.open_mask("case5") as mask:
        mask.run(edits.clear(whole, None))
    assert not truth.labels(whole).any()
    truth.give(box, pixels)
    truth.read_again()
    assert not truth.labels(whole).any()


def test_pixels_of_a_model_that_are_given_are_no_truth(project):
    truth = GroundTruth(project, project.slide("case5"))
    truth.give(Region(0, 0, 5, 5), np.stack([np.full((5, 5), 2, np.uint8), np.full((5, 5), 1, np.uint8)]))
    assert not truth.labels(Region(0, 0, 192, 192)).any()
