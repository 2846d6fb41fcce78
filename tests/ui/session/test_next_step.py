import numpy as np
import pytest
from napari.components import ViewerModel

from napari_pathseg.engine.events import Stop, Validated
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import ScoringFinished, TrainingFinished
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.importing.add_slides import AddOptions
from napari_pathseg.projects.project_state import TrainedLabels
from napari_pathseg.ui.session.import_controller import add_files
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.session.next_step import changed_slides, next_step
from napari_pathseg.ui.session.selection import SLIDE
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


def test_step_without_contours_is_to_outline(session, slide_files):
    add_files(session, slide_files)
    assert step(session) == ("brush", "outline")
    assert next_step(session).label == 2
    assert "4 slides" in next_step(session).text


def test_contours_of_one_patient_are_enough_to_train_and_it_is_said_what_is_held_out(session, slide_files):
    add_files(session, slide_files)
    paint_box(session, 2, Region(0, 0, 50, 50))
    paint_box(session, 1, Region(50, 0, 50, 50))
    found = next_step(session)
    assert found.action == "train"
    assert found.text == "Contours of one patient: parts are held out, weaker evidence. Train a first model."


def test_step_without_background_is_to_outline_some(session, slide_files):
    add_files(session, slide_files)
    paint_box(session, 2, Region(0, 0, 50, 50))
    session.show_slide("case1")
    paint_box(session, 2, Region(0, 0, 50, 50))
    assert step(session) == ("brush", "outline")
    assert next_step(session).label == 1


def test_step_with_enough_contours_is_to_train(session, slide_files, mask_folder):
    add_files(session, slide_files)
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    found = next_step(session)
    assert found.text == "3 of 4 slides have contours. Train a first model."
    assert found.action == "train"


def test_step_during_a_training_is_to_stop_it(session, slide_files, mask_folder):
    add_files(session, slide_files)
    session.training.run = JobState(JobKind.TRAIN, seconds_left=70)
    assert step(session) == ("stop", "train")
    assert "1:10" in next_step(session).text


def test_step_of_a_training_that_is_being_stopped_says_what_is_kept_and_no_time_left(session, slide_files):
    add_files(session, slide_files)
    session.training.run = JobState(JobKind.TRAIN, model="m001", seconds_left=70, stopping=True)
    assert next_step(session).text == "Training m001 is stopping; the best model so far is kept."


def test_training_of_a_closed_project_stops_and_changes_no_other_project(session, worker, slide_files, tmp_path):
    add_files(session, slide_files)
    session.training.run = JobState(JobKind.TRAIN, model="m001", has_best=True)
    session.training.scores = {"m001": ScoringFinished("m001", {"Tumour": 0.9})}
    session.new_project(tmp_path / "other.pathseg")
    assert worker.sent == [Stop(now=True)]
    assert (session.training.active, session.training.scores) == (False, {})
    with pytest.raises(PathsegError, match="still stopping"):
        session.training.compare()
    worker.event.emit(Validated(1, 3.0, 0.5, {"Tumour": 0.9}, 0.9, best=True))
    worker.event.emit(TrainingFinished("m001", 0.9))
    assert session.project.state.trained_labels is None
    with pytest.raises(PathsegError, match="no model yet"):
        session.training.predict(["case0"])


def test_step_on_a_complete_slide_says_what_its_colours_mean(session, slide_files):
    add_files(session, slide_files)
    session.editor.set_complete(True)
    session.training.run = JobState(JobKind.TRAIN)
    assert "colours show where it differs from you" in next_step(session).text


def test_step_with_predictions_in_view_is_to_accept_them(session, slide_files, mask_folder):
    add_files(session, slide_files)
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    give_model(session)
    session.show_slide("case3")
    assert step(session) == ("predict_all", "review")
    fill_from_model(session.mask, Region(0, 0, 9, 9), np.full((9, 9), 2, np.uint8))
    assert step(session) == ("accept", "review")
    session.editor.accept()
    assert step(session)[0] != "accept"


def test_a_new_class_without_a_pixel_changes_no_slide(session, slide_files, mask_folder):
    add_files(session, slide_files)
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    give_model(session)
    with session.require_project().edit_state() as state:
        state.trained_labels = TrainedLabels("m001", session.workspace.labelled_pixels())
    session.change_classes(session.require_project().classes.add("Stroma"))
    assert changed_slides(session) == 0
    paint_box(session, 3, Region(0, 0, 20, 20))
    assert changed_slides(session) == 1


def test_step_after_corrections_is_to_train_again(session, slide_files, mask_folder):
    add_files(session, slide_files)
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    give_model(session)
    with session.require_project().edit_state() as state:
        state.trained_labels = TrainedLabels("m001", session.workspace.labelled_pixels())
    assert step(session)[0] == "predict_all"
    session.show_slide("case3")
    paint_box(session, 2, Region(0, 0, 20, 20))
    found = next_step(session)
    assert found.action == "train"
    assert found.text == "You changed 1 slide since m001. Train again to learn from it."


def test_slides_that_were_only_added_are_not_changes_to_learn_from(session, slide_files, mask_folder):
    add_files(session, slide_files[:3])
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    give_model(session)
    with session.require_project().edit_state() as state:
        state.trained_labels = TrainedLabels("m001", session.workspace.labelled_pixels())
    session.add_slides(slide_files[3:])
    assert step(session)[0] == "predict_all"


def test_rejecting_everything_is_not_a_review_of_all_slides(session, slide_files, mask_folder):
    add_files(session, slide_files)
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    give_model(session)
    session.show_slide("case3")
    names = session.project.classes.slot_names
    create_prediction(session.project.prediction_path("m001", "case3"), session.mask.shape, names, 1).finish(1)
    whole = Region(0, 0, *session.mask.shape)
    fill_from_model(session.mask, whole, np.full(session.mask.shape, 2, np.uint8))
    session.save_mask()
    assert step(session) == ("accept", "review")
    session.show_slide("case0")
    assert next_step(session).text == "0.07 Mpx unreviewed on 1 slide. Review the next one."
    session.show_slide("case3")
    session.editor.reject(SLIDE)
    found = next_step(session)
    assert found.text == "case3 is 0 % done. Outline the rest, or tick it as complete."
    assert (found.action, found.slide) == ("show", "case3")
    session.editor.set_complete(True)
    assert next_step(session).text.startswith("All slides are reviewed.")


def test_long_name_of_an_unfinished_slide_leaves_room_for_what_to_do(session, slide_files, mask_folder):
    long = slide_files[3].rename(slide_files[3].with_name("camelyon_tumour_10670_block_3.png"))
    add_files(session, [*slide_files[:3], long])
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    give_model(session)
    names = session.project.classes.slot_names
    create_prediction(session.project.prediction_path("m001", long.stem), session.mask.shape, names, 1).finish(1)
    assert next_step(session).text == "camelyon_tum…0670_block_3 is 0 % done. Outline the rest, or tick it as complete."
