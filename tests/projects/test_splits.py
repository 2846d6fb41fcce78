import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.roles import SHARES
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides
from napari_pathseg.projects.splits import assign_missing_roles, learn_from, read_shares, split_project

ROLES = ("train", "val", "test")


def read(*shares):
    return read_shares(dict(zip(ROLES, shares, strict=True)))


def test_shares_default_to_the_usual_ones():
    assert read(None, None, None) == SHARES


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.6, 0.2, 0.2), (0.6, 0.2, 0.2)),
        ((60, 20, 20), (60, 20, 20)),
        ((0.8, 0.2, None), (0.8, 0.2, 0)),
        ((80, 20, None), (80, 20, 0)),
        ((33.3, 33.3, 33.3), (33.3, 33.3, 33.3)),
        ((70, None, None), (70, 15, 15)),
        ((1, None, None), (1, 0, 0)),
    ],
)
def test_shares_are_fractions_or_percentages_and_may_be_missing(shares, expected):
    assert tuple(read(*shares).values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((3, 1, 1), r"add up to 5 \(train 3, val 1, test 1\); fractions must add up to 1, percentages to 100. Change"),
        ((0.7, 0.2, 0.2), "add up to 1.1 "),
        ((70, 15, 10), "add up to 95 "),
        ((0.7, 15, 15), "add up to 30.7 "),
        ((0.5, 25, None), "add up to 40.5 "),
        ((60, None, None), r"add up to 90 \(train 60, val 15, test 15\)"),
        ((float("nan"), 0.5, 0.5), "add up to nan"),
        ((float("inf"), 0.5, 0.5), "add up to inf"),
    ],
)
def test_shares_that_do_not_add_up_are_refused(shares, message):
    with pytest.raises(ConfigError, match=message):
        read(*shares)


@given(st.integers(1, 100), st.integers(0, 99))
def test_percentages_equal_their_fractions(train, val):
    val = min(val, 100 - train)
    percentages = read(train, val, 100 - train - val)
    fractions = read(train / 100, val / 100, (100 - train - val) / 100)
    assert tuple(percentages.values()) == pytest.approx([100 * share for share in fractions.values()])


def test_percentages_split_like_their_fractions(project):
    assert split_project(project, read(60, 20, 20)) == split_project(project, read(0.6, 0.2, 0.2))


def test_split_sets_the_patients_first_if_it_is_told_how(project):
    for name, role in (("case0", "train"), ("case1", "val")):
        project.update_slide(name, role=role)
    roles = split_project(project, patient="^cas")
    assert {record.patient for record in project.slides.values()} == {"cas"}
    assert len(set(roles.values())) == 1


def roles_of(project):
    return {record.id: record.role for record in Project.open(project.folder).slides.values()}


def test_held_out_slide_that_is_learnt_from_is_replaced_by_another(project):
    assign_missing_roles(project)
    (held_out,) = [slide for slide, role in roles_of(project).items() if role == "val"]
    (instead,) = learn_from(project, held_out)
    after = roles_of(project)
    assert (after[held_out], after[instead]) == ("train", "val")
    assert list(after.values()).count("val") == 1


def test_slide_that_no_model_has_learnt_is_held_out_rather(project):
    assign_missing_roles(project)
    (held_out,) = [slide for slide, role in roles_of(project).items() if role == "val"]
    learning = [slide for slide, role in roles_of(project).items() if role == "train"]
    for unseen in learning[:2]:
        assert learn_from(project, held_out, set(learning) - {unseen}) == [unseen]
        held_out = unseen
        learning = [slide for slide, role in roles_of(project).items() if role == "train"]


def test_slide_with_the_only_pixels_of_a_class_stays_in_training(project):
    project.change_classes(project.classes.add("Necrosis"))
    for slide in ("case0", "case1", "case2", "case3"):
        change_slides(project, [slide], SlideChanges(role="train"))
    change_slides(project, ["case4"], SlideChanges(role="val"))
    with project.write_lock(), project.open_mask("case0") as mask:
        paint(mask, Region(0, 0, 20, 20), np.full((20, 20), 3, np.uint8))
    assert learn_from(project, "case4", {"case1", "case2", "case3"}) != ["case0"]


def test_only_patient_leaves_no_slide_to_hold_out(tmp_path, slides):
    project = Project.create(tmp_path / "one.pathseg")
    add_slides(project, slides[:2], AddOptions(contours=slides[0].parent, patient="case", role="val"))
    assert learn_from(project, "case0") == []
    assert roles_of(project) == {"case0": "train", "case1": "train"}
