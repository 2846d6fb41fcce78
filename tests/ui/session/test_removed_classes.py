"""Classes that are removed in the window: the mask in view, one undo, and the class that comes back with it."""

import pytest
from napari.components import ViewerModel

from napari_pathseg.errors import ProjectError
from napari_pathseg.masks import Provenance
from napari_pathseg.ui.session.class_removal import remove_class
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.worker_process import WorkerProcess

TUMOUR, STROMA = 2, 3


@pytest.fixture
def opened(qapp, project):
    worker = WorkerProcess()
    session = Session(ViewerModel(), worker)
    project.change_classes(project.classes.add("Stroma"))
    session.open_project(project.folder)
    yield session
    session.close()
    worker.close()


def undo(session):
    changed = session.mask.undo()
    session.refresh_mask(changed)


def test_a_class_is_merged_in_every_mask_and_one_undo_brings_it_back(opened):
    before = int(opened.mask.counts[TUMOUR].sum())
    assert before
    remove_class(opened, TUMOUR, into=STROMA)
    assert opened.project.classes.names == ("Background", "Stroma")
    assert opened.slide.id == "case0"
    assert int(opened.mask.counts[STROMA, Provenance.IMPORTED]) == before
    assert not any(opened.counts(slide)[TUMOUR].any() for slide in opened.project.slides)
    undo(opened)
    assert opened.project.classes.names == ("Background", "Tumour", "Stroma")
    assert int(opened.mask.counts[TUMOUR].sum()) == before


def test_the_class_that_is_left_is_the_one_that_paints(opened):
    remove_class(opened, TUMOUR)
    assert opened.layers.mask.selected_label == STROMA


def test_no_class_is_removed_while_a_training_reads_the_masks(opened, monkeypatch):
    class Going:
        title, kind, active = "Training m001", JobKind.TRAIN, True

    with monkeypatch.context() as patch:
        patch.setattr(type(opened.training), "active", property(lambda _: True))
        patch.setattr(type(opened.training), "run", property(lambda _: Going()), raising=False)
        with pytest.raises(ProjectError, match="Training m001 is going on. Wait or stop it"):
            remove_class(opened, TUMOUR)
    assert len(opened.project.classes) == 3
