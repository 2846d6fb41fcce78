import json
import shutil

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.cli import main
from napari_pathseg.config import PredictConfig
from napari_pathseg.contours.formats import read_contours
from napari_pathseg.engine.events import Stop, run
from napari_pathseg.engine.guidance.disagreements import disagreements
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.errors import BundleError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.disagreement import Question
from napari_pathseg.masks.edits import paint
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.skipped_places import DISAGREEMENTS_FILE, load_skipped, skip_place

BACKGROUND, TUMOUR, SIDE = 1, 2, 192
WHOLE = Region(0, 0, SIDE, SIDE)
CORNER, EDGE = Region(0, 0, 40, 40), Region(140, 130, 30, 50)


def answer(project, model, slide, wrong=()):
    """Store a prediction that agrees with the labels but in boxes, each with the probability of the other class."""
    tumour = np.where(GroundTruth(project, project.slide(slide)).labels(WHOLE) == TUMOUR, 0.9, 0.1)
    for box, probability in wrong:
        tumour[box.slices] = np.where(tumour[box.slices] > 0.5, 1 - probability, probability)
    pixels = np.stack([255 - np.round(255 * tumour), np.round(255 * tumour)]).astype(np.uint8)
    create_prediction(project.prediction_path(model, slide), (SIDE, SIDE), project.classes.names).write(WHOLE, pixels)


def find(project, **wishes):
    return run(disagreements(project, **wishes)).places


@pytest.fixture
def compared(project):
    """A project with a model that has learnt case0 to case3 and held out case4, and contradicts labels of three."""
    save_model(project, make_bundle(train=["case0", "case1", "case2", "case3"], val=["case4"]))
    answer(project, "m001", "case1", [(CORNER, 0.8)])
    answer(project, "m001", "case2")
    answer(project, "m001", "case4", [(CORNER, 0.98), (EDGE, 0.7)])
    return project


def test_most_confident_contradiction_comes_first_and_says_what_both_say(compared):
    first, second, third = find(compared)
    assert (first.slide, first.reason, first.learnt) == ("case4", "you: Background, model: Tumour 98 %", False)
    assert first.region.intersect(CORNER) == CORNER
    assert (second.slide, round(second.confidence, 1), second.learnt) == ("case1", 0.8, True)
    assert third.slide == "case4"
    assert first.pixels == pytest.approx(40 * 40, rel=0.1)


def test_borders_that_lie_a_little_beside_are_no_contradiction(compared):
    truth = GroundTruth(compared, compared.slide("case2")).labels(WHOLE)
    tumour = np.where(np.roll(truth, 3, axis=0) == TUMOUR, 255, 0)
    path = compared.prediction_path("m001", "case2")
    pixels = np.stack([255 - tumour, tumour]).astype(np.uint8)
    create_prediction(path, (SIDE, SIDE), compared.classes.names).write(WHOLE, pixels)
    assert find(compared, slides=["case2"]) == []


def test_model_that_has_not_learnt_a_slide_is_preferred_to_the_current_one(compared):
    save_model(compared, make_bundle("m002", train=["case4"], val=["case1"]))
    for slide in ("case1", "case4"):
        answer(compared, "m002", slide, [(CORNER, 0.9)])
    found = {place.slide: (place.model, place.learnt) for place in find(compared)}
    assert found == {"case1": ("m002", False), "case4": ("m001", False)}
    assert {place.model for place in find(compared, model="m002")} == {"m002"}


def test_slide_that_an_ancestor_learnt_counts_as_learnt(compared):
    save_model(compared, make_bundle("m002", parent="m001", train=["case0"], val=["case1"]))
    answer(compared, "m002", "case1", [(CORNER, 0.9)])
    (place,) = find(compared, slides=["case1"])
    assert (place.model, place.learnt) == ("m002", True)


def test_held_out_part_of_a_learnt_slide_is_not_learnt(project):
    held_out = {"case0": [[0, 0, 60, 60]]}
    save_model(project, make_bundle(train=["case0"], val=["case0"], held_out=held_out))
    answer(project, "m001", "case0", [(CORNER, 0.9), (EDGE, 0.8)])
    assert [place.learnt for place in find(project)] == [False, True]


def test_unlabelled_and_corrected_pixels_contradict_nobody(compared):
    compared.update_slide("case4", complete=False)
    assert find(compared, slides=["case4"]) == []
    with compared.open_mask("case4") as mask:
        paint(mask, CORNER, np.full((40, 40), BACKGROUND, np.uint8))
    assert len(find(compared, slides=["case4"])) == 1
    with compared.open_mask("case4") as mask:
        paint(mask, CORNER, np.full((40, 40), TUMOUR, np.uint8))
        mask.end_undo_group()
        mask.edit(CORNER, np.full((40, 40), BACKGROUND, np.uint8), np.full((40, 40), 5, np.uint8))
    assert find(compared, slides=["case4"]) == []


def test_pair_of_classes_begins_with_the_slide_that_has_most_of_it(compared):
    answer(compared, "m001", "case2", [(Region(0, 0, 20, 192), 0.6), (Region(172, 0, 20, 192), 0.6)])
    assert find(compared)[0].slide == "case4"
    found = find(compared, question=Question(BACKGROUND, TUMOUR))
    assert found[0].slide == "case2"
    assert all((place.labelled, place.predicted) == ("Background", "Tumour") for place in found)
    assert find(compared, question=Question(TUMOUR, BACKGROUND)) == []


def test_skipped_place_stays_away_and_hides_no_unlabelled_one(compared):
    first, *others = find(compared)
    skip_place(compared, first.slide, first.region, DISAGREEMENTS_FILE)
    assert find(Project.open(compared.folder))[0] == others[0]
    assert load_skipped(compared) == {}


def test_slides_without_a_prediction_are_named(compared):
    found = run(disagreements(compared, slides=["case0", "case3", "case4"]))
    assert found.not_predicted == ["case0", "case3"]
    assert found.note == "case0 and case3 are not compared: predict them first."


def test_unknown_slides_and_models_are_named(compared):
    with pytest.raises(ProjectError, match="case9"):
        find(compared, slides=["case9"])
    with pytest.raises(BundleError, match="m009"):
        find(compared, model="m009")


def test_slide_whose_prediction_is_damaged_is_left_out_with_a_sentence(compared):
    chunks = compared.prediction_path("m001", "case4") / "classes" / "c" / "0" / "0"
    chunks.write_bytes(b"not a chunk")
    notes = []
    places = run(disagreements(compared), on_event=notes.append).places
    assert [place.slide for place in places] == ["case1"]
    assert any("case4 is left out" in getattr(note, "text", "") for note in notes)


def test_stopped_search_returns_what_it_has_found(compared):
    assert run(disagreements(compared), lambda _: Stop(now=True)).places == []
    assert run(disagreements(compared), lambda _: Stop()).places == []


def test_command_lists_disagreements_and_writes_them_for_qupath(compared, tmp_path, capsys):
    folder = str(compared.folder)
    assert main(["queue", folder, "--disagreements", "--count", "1", "--out", str(tmp_path / "check"), "--json"]) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert answer["not_predicted"] == ["case0", "case3"]
    assert "case0 and case3 are not compared" in printed.err
    (place,) = answer["places"]
    assert (place["labelled"], place["predicted"], place["model"]) == ("Background", "Tumour", "m001")
    assert (place["confidence"], place["learnt"]) == (pytest.approx(0.98, abs=0.005), False)
    (frame,) = read_contours(tmp_path / "check" / "case4.geojson")
    assert frame.class_name == f"Check: {place['reason']}"
    top, left, height, width = place["region"]
    assert np.ptp(frame.exterior, axis=0).tolist() == [height, width]
    assert frame.exterior.min(axis=0).tolist() == [top - 0.5, left - 0.5]


def test_error_planted_in_a_held_out_slide_is_the_first_that_a_trained_model_finds(trained, tmp_path):
    source, _, bundle = trained
    shutil.copytree(source.folder, tmp_path / "planted.pathseg")
    project = Project.open(tmp_path / "planted.pathseg")
    (slide,) = bundle.val
    rows, columns = np.nonzero(GroundTruth(project, project.slide(slide)).labels(WHOLE) == TUMOUR)
    missed = Region(int(rows.min()) + 5, int(columns.min()) + 5, 60, 40)
    with project.open_mask(slide) as mask:
        mask.edit(missed, np.full((60, 40), BACKGROUND, np.uint8), np.full((60, 40), 3, np.uint8))
    run(predict(project, PredictConfig(), slides=list(project.slides)))
    first = find(project)[0]
    assert (first.slide, first.labelled, first.predicted, first.learnt) == (slide, "Background", "Tumour", False)
    assert first.region.intersect(missed) == missed
