import pytest

from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.checks.trainability import assign_train_val_split, describe_training
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project


def test_complete_project_has_training_and_validation_slides(project):
    train, val = assign_train_val_split(project)
    assert (len(train), len(val)) == (4, 1)


def test_test_slides_are_never_trained_on(project, slides):
    add_slides(project, slides[5:], AddOptions(contours=slides[0].with_suffix(".svg")))
    train, val = assign_train_val_split(project)
    assert "case5" not in {record.id for record in [*train, *val]}


def test_project_without_contours_says_what_to_do(tmp_path, slides):
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides)
    with pytest.raises(NothingToLearnError, match=r"No slide of p\.pathseg has a contour. Draw or import one"):
        assign_train_val_split(project)


def test_slides_of_a_single_patient_are_all_trained_on_but_for_parts(tmp_path, slides):
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides[:5], AddOptions(contours=slides[0].parent, patient="case"))
    train, val = assign_train_val_split(project)
    assert (len(train), val) == (5, [])
    (problem,) = check(project)
    assert "of the same patient are held out to score a model: weaker evidence" in problem.text
    assert not problem.blocks


def test_what_a_training_learns_from_is_said_slide_by_slide():
    said = describe_training([f"s{n}" for n in range(7)], ["v"], "1.20 mm²", ["s2"])
    assert said == (
        "Learns from 7 slides (1.20 mm²); held out to score it: v. Learnt: s0, s1, s2, s3 and 3 more; corrected: s2."
    )


def test_class_without_pixels_is_named_and_blocks_nothing(project):
    project.change_classes(project.classes.add("Necrosis"))
    assign_train_val_split(project)
    problems = [problem.text for problem in check(project)]
    assert any('Class "Necrosis" is left out of this training' in text for text in problems)


def test_project_with_tumour_only_needs_background(tmp_path, slides):
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides[:5], AddOptions(contours=slides[0].parent, partial=True))
    with pytest.raises(NothingToLearnError, match='Class "Background" .* declare a slide complete'):
        assign_train_val_split(project)


def test_checks_and_refusals_assign_no_roles(project):
    check(project)
    for slide in project.slides:
        project.update_slide(slide, complete=False)  # no Background is left
    with pytest.raises(NothingToLearnError):
        assign_train_val_split(project)
    assert {e.role for e in Project.open(project.folder).slides.values()} == {"auto", "test"}
