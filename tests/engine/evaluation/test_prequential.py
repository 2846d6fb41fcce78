import json
import shutil
import time

import numpy as np
import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.evaluation import prequential
from napari_pathseg.engine.evaluation.prequential import prequential_scores
from napari_pathseg.engine.events import run
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.training import train
from napari_pathseg.masks import edits
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.annotation_log import read_rounds
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.versions import TRAINING, create_versions, versions

TINY = TrainConfig(steps=8, tile=64, batch=2, precision="fp32")
WHOLE = Region(0, 0, 192, 192)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(prequential, "_LONGEST_S", 60.0)  # a busy machine takes long for little


@pytest.fixture
def predicted(trained, tmp_path):
    """A project whose model says Tumour on the left half of an unlabelled slide, and Background on the rest."""
    folder = tmp_path / "next.pathseg"
    shutil.copytree(trained[0].folder, folder)
    project = Project.open(folder)
    project.update_slide("case5", role="train")
    answer = np.full((192, 192), 1, np.uint8)
    answer[:, :96] = 2
    probabilities = np.stack([answer == 1, answer == 2]).astype(np.uint8) * 255
    create_prediction(project.prediction_path("m001", "case5"), (192, 192), ["Background", "Tumour"]).write(
        WHOLE, probabilities
    )
    with project.write_lock(), project.open_mask("case5") as mask:
        edits.fill_from_model(mask, WHOLE, answer)
    return project


def paint(project, region, label):
    with project.write_lock(), project.open_mask("case5") as mask:
        edits.paint(mask, region, np.full((region.height, region.width), label, np.uint8))


def test_model_is_scored_in_the_places_that_a_person_corrects(predicted):
    paint(predicted, Region(0, 0, 64, 64), 1)  # it had said Tumour
    (score,) = prequential_scores(predicted, "m001").values()
    assert (score.model, score.right, score.pixels) == ("m001", 0.0, 64 * 64)
    said, left = 128 * 96, 128 * 96 - 64 * 64  # Tumour in the place of 128 x 128: the model's, and what stays of it
    background = 128 * 32
    dice = [2 * background / (2 * background + 64 * 64), 2 * left / (said + left)]
    assert score.dice == pytest.approx(np.mean(dice))


def test_what_a_person_accepts_counts_for_the_model(predicted):
    with predicted.write_lock(), predicted.open_mask("case5") as mask:
        mask.run(edits.accept(Region(0, 0, 100, 192)))
    (score,) = prequential_scores(predicted, "m001").values()
    assert (score.dice, score.right, score.pixels) == (1.0, 1.0, 100 * 192)


def test_labels_that_the_model_has_learnt_do_not_count(predicted):
    paint(predicted, Region(0, 0, 64, 64), 1)
    create_versions(predicted, TRAINING)
    bundle = predicted.folder / "models" / "m001" / "bundle.json"
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    text = bundle.read_text(encoding="utf8")
    began = text.split('"date": "')[1].split('"')[0]
    bundle.write_text(text.replace(began, now), encoding="utf8")
    assert not prequential_scores(predicted, "m001")
    paint(predicted, Region(128, 0, 32, 32), 2)
    assert predicted.counts("case5")[2, 5] == 0  # the model was right there, and what is right is not corrected
    paint(predicted, Region(128, 100, 32, 32), 2)
    (score,) = prequential_scores(predicted, "m001").values()
    assert score.right < 1


def test_slide_has_no_score_once_the_version_from_when_the_training_began_is_deleted(predicted):
    for count in range(1, 4):
        paint(predicted, Region(0, 0, 16 * count, 64), 1)
        create_versions(predicted, TRAINING)
    _, middle, oldest = versions(predicted, "case5")
    stored = json.loads((oldest.folder / "version.json").read_text(encoding="utf8"))
    (oldest.folder / "version.json").write_text(json.dumps(stored | {"when": "2020-01-01T00:00:00+00:00"}))
    began = predicted.folder / "models" / "m001" / "bundle.json"
    bundle = json.loads(began.read_text(encoding="utf8"))
    bundle["origin"]["date"] = "2021-01-01T00:00:00+00:00"
    began.write_text(json.dumps(bundle))
    (score,) = prequential_scores(predicted, "m001").values()
    assert score.pixels == 64 * 32
    shutil.rmtree(middle.folder)
    assert not prequential_scores(predicted, "m001")


def test_slide_that_the_model_has_not_predicted_has_no_score(predicted):
    with predicted.write_lock(), predicted.open_mask("case0") as mask:
        edits.paint(mask, Region(0, 0, 32, 32), np.full((32, 32), 2, np.uint8))
    assert not prequential_scores(predicted, "m001")


def test_slide_that_was_labelled_before_has_no_score_without_the_version_from_then(predicted):
    answer = np.full((2, 192, 192), 255, np.uint8)
    create_prediction(predicted.prediction_path("m001", "case0"), (192, 192), ["Background", "Tumour"]).write(
        WHOLE, answer
    )
    assert predicted.counts("case0")[1:].any()
    assert not prequential_scores(predicted, "m001")


def test_training_notes_how_the_model_before_it_did_and_what_it_gained(predicted):
    paint(predicted, Region(0, 0, 64, 64), 1)
    expected = prequential_scores(predicted, "m001")
    bundle = run(train(predicted, TINY, "m001"))
    learnt = read_rounds(predicted)[0]
    assert (learnt.model, learnt.scores) == (bundle.id, expected)
    assert learnt.held_out == pytest.approx(bundle.mean_dice)
    assert learnt.gain is not None
    assert learnt.dice == expected["case5"].dice
