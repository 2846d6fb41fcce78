from napari_pathseg.classes import class_table
from napari_pathseg.engine.bundle import has_classes_of
from napari_pathseg.projects.project import Project


def test_renamed_classes_keep_their_models(project):
    project.change_classes(class_table([("Background", None), ("Carcinoma", None)]))
    reopened = Project.open(project.folder)
    assert has_classes_of(reopened, ["Background", "Tumour"])
    assert has_classes_of(reopened, ["Background", "Carcinoma"])
    assert not has_classes_of(reopened, ["Background", "Stroma"])
    assert not has_classes_of(reopened, ["Tumour", "Background"])


def test_added_classes_keep_models_usable_for_those_they_know(project):
    project.change_classes(project.classes.add("Stroma"))
    assert has_classes_of(project, ["Background", "Tumour"])
    assert not has_classes_of(project, ["Background", "Tumour", "Stroma", "Necrosis"])
