import numpy as np
import pytest

from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides


def reopened(project):
    return Project.open(project.folder)


def test_a_pixel_size_is_saved_and_the_grid_of_a_mask_stays(project):
    (record,) = change_slides(project, ["case0"], SlideChanges(pixel_size=0.25))
    assert (record.mpp, record.downsample) == (0.25, 1)
    assert reopened(project).slide("case0") == record


def test_a_slide_without_a_mask_gets_the_grid_of_its_pixel_size(project):
    assert not project.mask_path("case5").exists()
    (record,) = change_slides(project, ["case5"], SlideChanges(pixel_size=0.25))
    assert (record.mpp, record.downsample) == (0.25, 4)


def test_a_role_goes_to_the_other_slides_of_the_patient(project):
    change_slides(project, ["case0", "case1"], SlideChanges(patient=" Smith "))
    (record,) = change_slides(project, ["case0"], SlideChanges(role="val"))
    assert record.patient == "Smith"
    assert [reopened(project).slide(name).role for name in ("case0", "case1", "case2")] == ["val", "val", "auto"]


def test_a_patient_never_gets_two_roles(project):
    change_slides(project, ["case0"], SlideChanges(role="train"))
    with pytest.raises(ProjectError, match='Patient "case5" would be in two roles'):
        change_slides(project, ["case0"], SlideChanges(patient="case5"))  # case5 has the role test
    assert reopened(project).slide("case0").patient == "case0"


def test_a_complete_slide_loses_its_unreviewed_predictions(project):
    box = Region(0, 0, 8, 8)
    with project.write_lock(), project.open_mask("case5") as mask:
        mask.edit(box, np.full((8, 8), 2, np.uint8), np.full((8, 8), Provenance.MODEL, np.uint8))
    (record,) = change_slides(project, ["case5"], SlideChanges(complete=True))
    assert record.complete
    assert not project.counts("case5")[1:, Provenance.MODEL].any()
    assert not change_slides(project, ["case5"], SlideChanges(complete=False))[0].complete


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (SlideChanges(pixel_size=0.0), "pixel size is 0 um; it must lie between 0.01 and 100"),
        (SlideChanges(role="testing"), "role is 'testing'; it must be one of auto, train, val, test"),
        (SlideChanges(patient="  "), "patient is empty"),
    ],
)
def test_a_value_that_is_not_allowed_changes_nothing(project, changes, words):
    with pytest.raises(ConfigError, match=words):
        change_slides(project, ["case0"], changes)
    with pytest.raises(ProjectError, match='no slide "case9"'):
        change_slides(project, ["case0", "case9"], SlideChanges(pixel_size=0.5))
    assert reopened(project).slide("case0").mpp is None
