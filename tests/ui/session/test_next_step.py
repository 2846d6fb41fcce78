import numpy as np
import pytest
from napari.components import ViewerModel

from napari_pathseg.engine.events import Stop, Validated
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import TrainingFinished
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.projects.importing.add_slides import AddOptions
from napari_pathseg.projects.project_state import TrainedLabels
from napari_pathseg.ui.session.import_controller import add_files
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.session.next_step import next_step
from napari_pathseg.ui.session.session import Session


@pytest.fixture
def session(worker):
    session = Session(ViewerModel(), worker)
    yield session
    session.close()


def step(session):
    found = next_step(session)
    return found.action, found.section


def give_model(session, name="m001"):
    """Put a model where the project looks for one; only its name is needed here."""
    folder = session.project.folder / "models" / name
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")


def paint_box(session, label, region):
    paint(session.mask, region, np.full((region.height, region.width), label, np.uint8))
    session.save_mask()


def test_step_without_a_project_is_to_add_slides(session):
    assert step(session) == ("add", "slides")


def test_step_without_slides_is_to_add_slides(session, tmp_path):
    session.new_project(tmp_path / "a.pathseg")
    assert step(session) == ("add", "slides")


def test_step_without_contours_is_to_outline(session, pictures):
    add_files(session, pictures)
    assert step(session) == ("brush", "outline")
    assert "4 slides" in next_step(session).text


def test_step_with_contours_of_one_patient_is_to_show_another(session, pictures):
    add_files(session, pictures)
    paint_box(session, 2, Region(0, 0, 50, 50))
    found = next_step(session)
    assert (found.action, found.slide) == ("show", "case1")
    assert "one patient" in found.text


def test_step_without_background_is_to_outline_some(session, pictures):
    add_files(session, pictures)
    paint_box(session, 2, Region(0, 0, 50, 50))
    session.show_slide("case1")
    paint_box(session, 2, Region(0, 0, 50, 50))
    assert step(session) == ("brush_background", "outline")


def test_step_with_enough_contours_is_to_train(session, pictures, mask_folder):
    add_files(session, pictures)
    session.add_slides(pictures[:3], AddOptions(contours=mask_folder))
    found = next_step(session)
    assert found.text == "3 of 4 slides have contours. Train a first model."
    assert found.action == "train"


def test_step_during_a_training_is_to_stop_it(session, pictures, mask_folder):
    add_files(session, pictures)
    session.training.run = JobState(JobKind.TRAIN, seconds_left=70)
    assert step(session) == ("stop", "train")
    assert "1:10" in next_step(session).text


def test_training_of_a_closed_project_stops_and_changes_no_other_project(session, worker, pictures, tmp_path):
    add_files(session, pictures)
    session.training.run = JobState(JobKind.TRAIN, model="m001", has_best=True)
    session.training.scores = {"m001": {"Tumour": 0.9}}
    session.new_project(tmp_path / "other.pathseg")
    assert worker.sent == [Stop()]
    assert (session.training.active, session.training.scores) == (False, {})
    with pytest.raises(PathsegError, match="still stopping"):
        session.training.compare()
    worker.event.emit(Validated(1, 3.0, 0.5, {"Tumour": 0.9}, 0.9, best=True))
    worker.event.emit(TrainingFinished("m001", 0.9))
    assert session.project.state.trained_labels is None
    with pytest.raises(PathsegError, match="no model yet"):
        session.training.predict(["case0"])


def test_step_on_a_complete_slide_names_the_colour_of_the_predictions(session, pictures):
    add_files(session, pictures)
    session.editor.set_complete(True)
    session.training.run = JobState(JobKind.TRAIN)
    assert "yellow marks what it finds" in next_step(session).text


def test_step_with_predictions_in_view_is_to_accept_them(session, pictures, mask_folder):
    add_files(session, pictures)
    session.add_slides(pictures[:3], AddOptions(contours=mask_folder))
    give_model(session)
    session.show_slide("case3")
    assert step(session) == ("predict_all", "review")
    fill_from_model(session.mask, Region(0, 0, 9, 9), np.full((9, 9), 2, np.uint8))
    assert step(session) == ("accept", "review")
    session.editor.accept()
    assert step(session)[0] != "accept"


def test_step_after_corrections_is_to_train_again(session, pictures, mask_folder):
    add_files(session, pictures)
    session.add_slides(pictures[:3], AddOptions(contours=mask_folder))
    give_model(session)
    with session.require_project().edit_state() as state:
        state.trained_labels = TrainedLabels("m001", session.workspace.labelled_pixels())
    assert step(session)[0] == "predict_all"
    session.show_slide("case3")
    paint_box(session, 2, Region(0, 0, 20, 20))
    found = next_step(session)
    assert found.action == "train"
    assert found.text == "You changed 1 slide since m001. Train again to learn from it."
