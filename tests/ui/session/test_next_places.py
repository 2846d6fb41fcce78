"""The window's end of the places to annotate: when they are looked for, and what the decisions leave."""

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import LiveStatus, LiveTile, Note, Progress, Stop
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import (
    FindPlaces,
    JobFailed,
    OfferedPlace,
    PlacesFound,
    PredictionFinished,
    Train,
    TrainingFinished,
)
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.projects.skipped_places import load_skipped
from napari_pathseg.ui.session.job_state import JobKind
from napari_pathseg.ui.session.next_step import next_step
from napari_pathseg.ui.session.place_search import EMPTY, NOTHING, Wanted

BACKGROUND, TUMOUR, SIDE = 1, 2, 192
LEFT, RIGHT = Region(0, 0, 64, 64), Region(0, 128, 64, 64)
MANY = Region(0, 0, SIDE, SIDE)


def place(slide, region=LEFT):
    return OfferedPlace(slide, region, "unsure between Background and Tumour", None, ("Background", "Tumour"))


def searches(worker):
    return sum(isinstance(command, FindPlaces) for command in worker.sent)


def offer(session, worker, *places):
    session.places.search.start()
    worker.event.emit(PlacesFound(list(places)))


def predict_in_mask(session, label=TUMOUR):
    pixels = np.full(session.mask.shape, label, np.uint8)
    session.refresh_mask(fill_from_model(session.mask, Region(0, 0, *session.mask.shape), pixels))


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """However slow the disk is, what goes before a decision is over in time."""
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 60.0)


@pytest.fixture
def open_slide(learnable):
    """A session with a slide without labels in view, two others that are not complete, and the places watched."""
    for name in ("case3", "case4"):
        learnable.project.update_slide(name, complete=False)
    learnable.show_slide("case5")
    learnable.places.set_watched(True)
    return learnable


def test_search_says_how_far_it_is_and_what_it_found(open_slide, worker):
    places = open_slide.places
    assert places.sentence == EMPTY
    places.search.start()
    assert searches(worker) == 1
    worker.event.emit(Progress("Looking for places", 0.34, 0.0))
    assert places.sentence == "Looking for places · 34 %"
    worker.event.emit(PlacesFound([]))
    assert places.sentence == NOTHING
    offer(open_slide, worker, place("case5"), place("case5", RIGHT))
    assert places.sentence == "2 places. Press N to go to the first."
    places.step(1)
    assert places.sentence == "1 of 2 · case5 · unsure between Background and Tumour · 4096 px"


@pytest.mark.parametrize("event", [PredictionFinished(), TrainingFinished("m001", 0.5)])
def test_places_are_looked_for_after_a_training_or_prediction(open_slide, worker, event):
    open_slide.training.train(TrainConfig())
    open_slide.layers.clear()  # no view to predict after a training
    worker.event.emit(event)
    assert searches(worker) == 1


def test_places_are_not_looked_for_out_of_sight_but_once_they_are_seen(learnable, worker):
    learnable.training.train(TrainConfig())
    worker.event.emit(PredictionFinished())
    assert searches(worker) == 0
    learnable.places.set_watched(True)
    assert searches(worker) == 1


def test_the_project_remembers_that_places_are_not_to_be_looked_for(open_slide, worker):
    open_slide.places.search.set_auto(False)
    open_slide.training.train(TrainConfig())
    worker.event.emit(PredictionFinished())
    assert searches(worker) == 0
    open_slide.open_project(open_slide.project.folder)
    assert not open_slide.places.search.auto
    open_slide.places.search.set_auto(True)
    assert open_slide.places.search.auto


def test_a_search_that_fails_says_why_in_the_strip_and_is_not_tried_again(open_slide, worker):
    messages = []
    open_slide.message.connect(lambda text, *_: messages.append(text))
    open_slide.places.search.start()
    worker.event.emit(Note("case0 is left out.", warning=True))
    worker.event.emit(JobFailed("The encoder has no weights."))
    assert open_slide.places.sentence == "The encoder has no weights."
    assert searches(worker) == 1
    assert messages == []


def test_a_training_ends_a_search_and_places_are_looked_for_after_it(open_slide, worker):
    open_slide.places.search.start()
    open_slide.training.train(TrainConfig())
    assert [type(command) for command in worker.sent if isinstance(command, FindPlaces | Stop | Train)] == [
        FindPlaces,
        Stop,
        Train,
    ]
    assert not open_slide.places.search.running
    worker.event.emit(PlacesFound([]))  # of the search that was ended
    assert open_slide.training.run.kind == JobKind.TRAIN
    worker.event.emit(PredictionFinished())
    assert searches(worker) == 2


def test_a_search_keeps_nobody_from_removing_a_slide(open_slide, worker):
    open_slide.places.search.start()
    open_slide.remove_slides(["case0"])
    assert "case0" not in open_slide.project.slides
    assert not open_slide.training.active


def test_a_stopped_search_leaves_the_places_that_were_offered_before(open_slide, worker):
    offer(open_slide, worker, place("case5"))
    open_slide.places.search.start()
    open_slide.training.stop()
    worker.event.emit(PlacesFound([]))
    assert len(open_slide.places.offers) == 1
    assert not open_slide.places.search.running


def test_places_of_slides_that_are_removed_or_complete_are_not_offered_any_more(open_slide, worker):
    offer(open_slide, worker, place("case5"), place("case4"), place("case3"))
    open_slide.places.step(1)
    open_slide.remove_slides(["case4"])
    open_slide.editor.set_complete(True)
    assert [one.place.slide for one in open_slide.places.offers] == ["case3"]
    assert open_slide.places.current is None


def test_new_places_leave_the_one_that_is_looked_at(open_slide, worker):
    offer(open_slide, worker, place("case5"), place("case4"))
    open_slide.places.step(1)
    offer(open_slide, worker, place("case5", Region(32, 32, 64, 64)), place("case3"))
    assert [one.place for one in open_slide.places.offers] == [place("case5"), place("case3")]
    assert open_slide.places.current.place == place("case5")


def test_what_the_live_model_shows_in_the_frame_can_be_accepted(followed, worker):
    followed.layers.mask.stroke(BrushSegment((100, 10), (100, 40), 6), TUMOUR)
    followed.layers.mask.apply_pending()
    worker.event.emit(LiveStatus(ready=True, fit=1, encoded=2, wanted=2))
    followed.places.set_watched(True)
    offer(followed, worker, place("case5", RIGHT))
    followed.places.step(1)
    with pytest.raises(ProjectError, match="No model has answered in this frame yet"):
        followed.places.accept()
    found = np.empty((2, SIDE, SIDE), np.uint8)
    found[0], found[1] = TUMOUR, 200
    found[1, :, :160] = 20
    worker.event.emit(LiveTile("case5", MANY, 1, 1, pack(found)))
    followed.places.accept()
    counts = followed.mask.counts
    assert counts[TUMOUR, Provenance.ACCEPTED] == counts[BACKGROUND, Provenance.ACCEPTED] == 64 * 32
    followed.mask.undo()
    assert followed.mask.counts[:, Provenance.ACCEPTED].sum() == 0
    assert followed.mask.counts[TUMOUR, Provenance.DRAWN] > 0


def test_a_decision_that_undo_takes_back_is_open_again_and_redo_decides_it(open_slide, worker):
    predict_in_mask(open_slide)
    offer(open_slide, worker, place("case5"), place("case5", RIGHT))
    open_slide.places.step(1)
    open_slide.places.accept()
    first = open_slide.places.offers[0]
    assert first.shown_decision == "accepted"
    open_slide.refresh_mask(open_slide.mask.undo())
    assert first.shown_decision == ""
    open_slide.refresh_mask(open_slide.mask.redo())
    assert first.shown_decision == "accepted"


def test_undo_after_other_work_is_that_of_the_mask(open_slide, worker):
    predict_in_mask(open_slide)
    offer(open_slide, worker, place("case5"), place("case5", RIGHT))
    open_slide.places.step(1)
    open_slide.places.accept()
    open_slide.layers.mask.stroke(BrushSegment((150, 50), (150, 90), 6), BACKGROUND)
    open_slide.editor.apply_pending()
    assert not open_slide.places.undo()
    open_slide.refresh_mask(open_slide.mask.undo())
    assert open_slide.places.undo()
    assert open_slide.mask.counts[:, Provenance.ACCEPTED].sum() == 0


def test_a_decision_that_was_undone_on_its_own_slide_is_not_undone_twice(open_slide, worker):
    open_slide.layers.mask.stroke(BrushSegment((150, 50), (150, 90), 6), TUMOUR)
    open_slide.editor.apply_pending()
    offer(open_slide, worker, place("case5"), place("case4"), place("case3"))
    open_slide.places.step(1)
    open_slide.places.reject()
    open_slide.show_slide("case5")
    open_slide.refresh_mask(open_slide.mask.undo())
    open_slide.places.go_to(open_slide.places.offers[1])
    open_slide.places.skip()
    assert open_slide.places.undo()
    assert not open_slide.places.undo()
    open_slide.show_slide("case5")
    assert open_slide.mask.counts[TUMOUR, Provenance.DRAWN] > 0


def test_decisions_on_several_slides_are_taken_back_in_turn(open_slide, worker):
    offer(open_slide, worker, place("case5"), place("case4"), place("case3"))
    places = open_slide.places
    places.step(1)
    places.reject()
    places.skip()
    assert open_slide.slide.id == "case3"
    assert load_skipped(open_slide.project) == {"case4": [LEFT]}
    assert places.undo()
    assert open_slide.slide.id == "case4"
    assert load_skipped(open_slide.project) == {}
    assert places.undo()
    assert open_slide.slide.id == "case5"
    assert open_slide.mask.counts[BACKGROUND].sum() == 0
    assert not places.undo()


def test_the_last_decision_looks_for_other_places(open_slide, worker):
    offer(open_slide, worker, place("case5"))
    open_slide.places.step(1)
    open_slide.places.skip()
    assert searches(worker) == 2
    worker.event.emit(PlacesFound([place("case4")]))
    assert [one.place.slide for one in open_slide.places.offers] == ["case4"]


def test_a_decision_is_taken_back_after_other_places_were_found_too(open_slide, worker):
    offer(open_slide, worker, place("case5"))
    places = open_slide.places
    places.step(1)
    places.skip()
    worker.event.emit(PlacesFound([place("case4")]))
    assert places.undo()
    assert load_skipped(open_slide.project) == {}
    assert [one.place.slide for one in places.offers] == ["case5", "case4"]
    assert places.current.place == place("case5")
    assert places.sentence.startswith("1 of 2")


def test_decision_that_is_taken_back_brings_its_kind_of_places_back(open_slide, worker):
    offer(open_slide, worker, place("case5"), place("case4"))
    places = open_slide.places
    places.step(1)
    places.skip()
    places.want(Wanted(disagreements=True))
    assert places.offers == []
    assert places.undo()
    assert not places.search.wanted.disagreements
    assert [one.place.slide for one in places.offers] == ["case5", "case4"]


def test_pair_of_classes_is_looked_for_in_what_the_new_model_found_after_a_training(open_slide, worker):
    open_slide.places.want(Wanted(disagreements=True, pair=(1, 2), model="m001"), go_there=True)
    assert worker.sent[-1].model == "m001"
    worker.event.emit(PlacesFound([]))
    open_slide.training.train(TrainConfig())
    save_model(open_slide.project, make_bundle("m002"))
    worker.event.emit(TrainingFinished("m002", 0.8))
    worker.event.emit(PredictionFinished())
    open_slide.places.search.start()
    assert (worker.sent[-1].model, worker.sent[-1].pair) == (None, (1, 2))


def test_a_place_where_nothing_could_be_set_stays_open(open_slide, worker):
    predict_in_mask(open_slide)
    open_slide.class_flags.set_locked(TUMOUR, True)
    offer(open_slide, worker, place("case5"), place("case5", RIGHT))
    open_slide.places.step(1)
    for decide in (open_slide.places.accept, open_slide.places.reject):
        with pytest.raises(ProjectError, match="Nothing could be set in this frame, so the place stays open"):
            decide()
    assert [one.shown_decision for one in open_slide.places.offers] == ["", ""]
    assert not open_slide.places.undo()


def test_a_frame_that_is_answered_in_a_corner_only_is_not_accepted(open_slide, worker):
    corner = Region(0, 0, 16, 16)
    open_slide.refresh_mask(fill_from_model(open_slide.mask, corner, np.full((16, 16), TUMOUR, np.uint8)))
    offer(open_slide, worker, place("case5"))
    open_slide.places.step(1)
    with pytest.raises(ProjectError, match="A model has answered in 6% of this frame only"):
        open_slide.places.accept()
    assert open_slide.mask.counts[:, Provenance.ACCEPTED].sum() == 0


def test_a_skipped_place_can_be_opened_again_alone_or_with_all_others(open_slide, worker):
    offer(open_slide, worker, place("case5"), place("case5", RIGHT))
    places = open_slide.places
    places.step(1)
    places.skip()
    places.step(-1)
    places.skip()
    assert load_skipped(open_slide.project) == {}
    assert places.current.shown_decision == ""
    places.skip()
    assert places.skipped == 1
    places.offer_skipped_again()
    assert places.skipped == 0


def test_a_place_out_of_sight_is_shown_before_it_is_decided_on(open_slide, worker, monkeypatch):
    predict_in_mask(open_slide)
    offer(open_slide, worker, place("case5"), place("case5", RIGHT))
    open_slide.places.step(1)
    monkeypatch.setattr(open_slide.layers, "visible_region", lambda: Region(100, 100, 50, 50))
    open_slide.places.accept()
    assert open_slide.mask.counts[:, Provenance.ACCEPTED].sum() == 0
    assert open_slide.places.current is open_slide.places.offers[0]


def test_a_project_that_is_open_elsewhere_is_not_searched_nor_decided_on(open_slide, worker):
    offer(open_slide, worker, place("case5"))
    open_slide.places.step(1)
    open_slide.workspace.taken = "open in another window"
    for action in (open_slide.places.accept, open_slide.places.reject, open_slide.places.skip):
        with pytest.raises(ProjectError, match="read-only here"):
            action()
    with pytest.raises(ProjectError, match="read-only here"):
        open_slide.places.search.start()
    open_slide.workspace.taken = ""


def test_with_nothing_offered_the_keys_say_what_to_do(open_slide):
    with pytest.raises(ProjectError, match="Press Find places in Review"):
        open_slide.places.step(1)
    with pytest.raises(ProjectError, match="No place is framed"):
        open_slide.places.accept()


def test_next_step_leads_from_place_to_place_while_review_is_open(open_slide, worker):
    places = open_slide.places
    save_model(open_slide.project, make_bundle("m001", mean_dice=0.9))
    predict_in_mask(open_slide)
    assert next_step(open_slide).action == "accept"
    offer(open_slide, worker, place("case5", LEFT), place("case5", RIGHT))
    step = next_step(open_slide)
    assert (step.action, step.text[:21]) == ("next_place", "2 places are worth a ")
    places.step(1)
    assert next_step(open_slide).action == "accept_place"
    places.set_watched(False)
    assert next_step(open_slide).action == "accept"
    places.set_watched(True)
    places.accept()
    places.skip()
    assert next_step(open_slide).action == "accept"
