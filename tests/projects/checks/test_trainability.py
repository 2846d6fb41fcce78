import pytest

from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.checks.trainability import assign_train_val_split
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project


def test_a_sound_project_has_slides_for_both_sides(project):
    train, val = assign_train_val_split(project)
    assert (len(train), len(val)) == (4, 1)


def test_test_slides_are_never_learnt_from(project, slides):
    add_slides(project, slides[5:], AddOptions(contours=slides[0].with_suffix(".svg")))
    train, val = assign_train_val_split(project)
    assert "case5" not in {entry.id for entry in [*train, *val]}


def test_a_project_without_contours_says_what_to_do(tmp_path, slides):
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides)
    with pytest.raises(NothingToLearnError, match=r"No slide of p\.pathseg has a contour. Draw or import one"):
        assign_train_val_split(project)


def test_a_single_patient_cannot_be_held_out(tmp_path, slides):
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides[:5], AddOptions(contours=slides[0].parent, patient="case"))
    with pytest.raises(NothingToLearnError, match="no validation slide: contours are on the slides of one patient"):
        assign_train_val_split(project)


def test_a_class_without_pixels_is_named(project):
    project.change_classes(project.classes.add("Necrosis"))
    with pytest.raises(NothingToLearnError, match='Class "Necrosis" has no labelled pixel on the training slides'):
        assign_train_val_split(project)


def test_tumour_alone_teaches_nothing_about_normal_tissue(tmp_path, slides):
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides[:5], AddOptions(contours=slides[0].parent, partial=True))
    with pytest.raises(NothingToLearnError, match='Class "Background" .* declare a slide complete'):
        assign_train_val_split(project)


def test_asking_or_being_refused_gives_no_slide_a_role(project):
    check(project)
    project.change_classes(project.classes.add("Necrosis"))
    with pytest.raises(NothingToLearnError):
        assign_train_val_split(project)
    assert {e.role for e in Project.open(project.folder).slides.values()} == {"auto", "test"}
