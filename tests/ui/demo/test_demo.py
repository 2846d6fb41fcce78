import numpy as np
import pytest

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.importing.add_slides import AddOptions
from napari_pathseg.projects.slide_record import labelled_classes
from napari_pathseg.ui.demo.correction_strokes import correction_strokes
from napari_pathseg.ui.demo.demo import UNANNOTATED, make_demo_project, sample_annotations
from napari_pathseg.ui.sample_files import sample_folder


@pytest.fixture
def truth():
    truth = np.ones((200, 200), np.uint8)
    truth[:, 100:] = 2
    return truth


def painted(mask, strokes):
    """Return the pixels painted by a round brush."""
    mask = mask.copy()
    grid = np.stack(np.mgrid[: mask.shape[0], : mask.shape[1]], axis=-1)
    for stroke in strokes:
        for start, end in zip(stroke.path, [*stroke.path[1:], stroke.path[-1]], strict=True):
            for point in np.linspace(start, end, 20):
                mask[np.hypot(*np.moveaxis(grid - point, -1, 0)) <= stroke.diameter / 2] = stroke.label
    return mask


def test_strokes_correct_most_of_an_error_and_cause_none(truth):
    predicted = truth.copy()
    predicted[40:80, 60:140] = 3 - predicted[40:80, 60:140]
    mended = painted(predicted, correction_strokes(predicted, truth, 8))
    assert not ((mended != truth) & (predicted == truth)).any()
    assert (mended != truth).sum() < 0.5 * (predicted != truth).sum()


def test_widest_error_is_corrected_first(truth):
    predicted = truth.copy()
    predicted[10:20, 10:90] = 2
    predicted[100:160, 120:180] = 1
    first = correction_strokes(predicted, truth, 5)[0]
    assert first.label == 2
    assert (first.path[0] > (100, 120)).all()


def test_correct_mask_needs_no_stroke(truth):
    assert correction_strokes(truth, truth, 5) == []


def test_thin_errors_are_left(truth):
    predicted = np.roll(truth, 3, axis=1)
    predicted[:, :50] = 1
    assert correction_strokes(predicted, truth, 5) == []


def test_stroke_count_is_limited(truth):
    assert len(correction_strokes(3 - truth, truth, 2)) == 2


def test_one_slide_is_left_unannotated(tmp_path):
    given = [path.stem for paths, _ in sample_annotations(tmp_path) for path in paths]
    assert len(given) == 5
    assert UNANNOTATED not in given


def test_demo_project_has_slides_without_tumour_in_both_roles(tmp_path):
    project = make_demo_project(tmp_path / "demo.pathseg", sample_folder())
    for role in ("train", "val"):
        entries = project.slides_with_role(role)
        assert all(entry.complete for entry in entries)
        assert {2 in labelled_classes(entry, project.counts(entry.id)) for entry in entries} == {True, False}
    assert project.slide(UNANNOTATED).role == AddOptions().role
    assert not project.counts(UNANNOTATED).any()


def test_demo_project_does_not_overwrite_a_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ProjectError, match="already exists"):
        make_demo_project(tmp_path, sample_folder())
