"""The live model as the window keeps it: one bundle without a number, which is replaced as a whole."""

import json
import os

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.config import LINEAR, LiveConfig, TrainConfig
from napari_pathseg.engine import bundle
from napari_pathseg.engine.bundle import find_bundle, keeps_live_model, lineage, load_bundle, make_newest
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.events import run
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.engine.training import kept_live
from napari_pathseg.engine.training.kept_live import keep_live_model
from napari_pathseg.engine.training.kept_model import load_kept_live
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import BundleError, NothingToLearnError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint
from napari_pathseg.projects.model_weights import LIVE_MODEL
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.project_state import TrainingChoices

CONFIG = LiveConfig()
CORNER = Region(0, 0, 20, 20)


@pytest.fixture
def features(project):
    features = KeptFeatures(project, CONFIG)
    features.load_encoder()
    return features


@pytest.fixture
def kept(project, features):
    return run(keep_live_model(project, features, CONFIG))


def files_of(project):
    folder = project.folder / "models" / "live"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def draw(project, slide="case0"):
    with project.open_mask(slide) as mask:
        paint(mask, CORNER, np.full((20, 20), 2, np.uint8))


def test_it_is_the_model_that_a_training_with_the_preset_live_makes(project, kept):
    trained = run(train(project, TrainConfig(preset="live")))
    made = load_bundle(project.folder / "models" / "live")
    assert made == kept.bundle
    assert made.network == trained.network
    assert made.network.architecture == LINEAR
    assert (made.train, made.val, made.classes) == (trained.train, trained.val, trained.classes)
    assert made.mean_dice == pytest.approx(trained.mean_dice, abs=0.01)
    assert (made.parent, made.run, made.finished) == (None, "", True)
    assert score(project, "val", "live")["mean_dice"] == pytest.approx(made.mean_dice, abs=0.01)


def test_it_has_no_number_and_no_run_and_assigns_no_role(project, kept):
    assert project.model_ids() == []
    assert not any((project.folder / "runs").iterdir())
    assert {record.role for record in Project.open(project.folder).slides.values()} == {"auto", "test"}
    with pytest.raises(BundleError, match="has no model yet"):
        find_bundle(project)
    save_model(project, make_bundle("m001"))
    assert find_bundle(project).name == "m001"
    assert find_bundle(project, "live").name == "live"
    assert [one.id for one in lineage(project, "live")] == ["live"]
    with pytest.raises(BundleError, match='no model "m002". It has: m001, live.'):
        find_bundle(project, "m002")


def test_it_scores_on_the_first_tiles_as_a_training_samples_them(kept):
    assert len(kept.dice) == kept.bundle.held_out_tiles
    assert kept.dice_on(len(kept.dice)) == kept.bundle.mean_dice
    assert kept.dice_on(1) == kept.dice[0]
    assert kept.dice_on(0) is kept.dice_on(10**6) is None


def test_it_is_made_again_only_when_a_mask_was_written(project, features, kept):
    before = files_of(project)
    assert run(keep_live_model(project, features, CONFIG)) == kept
    assert list(keep_live_model(project, features, CONFIG)) == []
    with project.open_mask("case0"):
        pass
    assert list(keep_live_model(project, features, CONFIG)) == []
    draw(project)
    again = run(keep_live_model(project, features, CONFIG))
    assert again.labels != kept.labels
    after = files_of(project)
    assert after["weights.safetensors"] != before["weights.safetensors"]
    assert load_kept_live(project) == again


def test_whoever_ends_it_early_leaves_the_one_before(project, features, kept):
    draw(project)
    steps = len(list(keep_live_model(project, features, CONFIG)))
    draw(project, "case1")
    before = files_of(project)
    for count in range(steps):
        keeping = keep_live_model(project, features, CONFIG)
        for _ in range(count):
            next(keeping)
        keeping.close()
    assert files_of(project) == before
    assert os.listdir(project.folder / "models") == ["live"]


def test_disk_that_refuses_leaves_the_one_before(project, features, kept, monkeypatch):
    before = files_of(project)
    draw(project)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_live, "save_bundle", refuse)
    with pytest.raises(ProjectError, match="No space left on device"):
        run(keep_live_model(project, features, CONFIG))
    assert files_of(project) == before
    assert os.listdir(project.folder / "models") == ["live"]


def test_one_that_was_being_replaced_when_the_program_was_killed_is_back_once_the_project_is_open(project, kept):
    models = project.folder / "models"
    (models / "live").rename(models / ".live.former")
    with project.write_lock():
        assert find_bundle(project, "live") == models / "live"
        assert load_kept_live(project) == kept


def test_whoever_reads_one_that_is_being_replaced_moves_nothing(project, kept):
    models = project.folder / "models"
    with project.write_lock():
        (models / "live").rename(models / ".live.former")
        assert load_kept_live(project) is None
        assert not keeps_live_model(project)
        assert os.listdir(models) == [".live.former"]


def test_damaged_one_is_made_again(project, features, kept):
    (project.folder / "models" / "live" / "kept.json").write_text("{}")
    assert load_kept_live(project) is None
    assert run(keep_live_model(project, features, CONFIG)).labels == kept.labels
    assert load_kept_live(project) is not None


def test_copy_with_the_next_number_is_the_newest_model(project, kept):
    save_model(project, make_bundle("m001"))
    (project.folder / "models" / "m001" / "weights.safetensors").write_bytes(b"others")
    assert make_newest(project, LIVE_MODEL) == "m002"
    copy = load_bundle(find_bundle(project))
    assert (copy.id, copy.scores, copy.train) == ("m002", kept.bundle.scores, kept.bundle.train)
    assert "kept.json" not in os.listdir(project.folder / "models" / "m002")
    assert make_newest(project, LIVE_MODEL) == "m002"
    assert not any((project.folder / "runs").iterdir())


def test_copy_of_one_that_is_replaced_meanwhile_is_of_one_piece(project, features, kept, monkeypatch):
    copy, copies = bundle.copy_bundle, []

    def copy_and_replace(folder, target):
        copy(folder, target)
        if not copies:
            draw(project)
            run(keep_live_model(project, features, CONFIG))
        copies.append(target)

    monkeypatch.setattr(bundle, "copy_bundle", copy_and_replace)
    make_newest(project, LIVE_MODEL)
    assert len(copies) == 2
    made, newest = files_of(project), project.folder / "models" / "m001"
    assert (newest / "weights.safetensors").read_bytes() == made["weights.safetensors"]
    assert load_bundle(newest).scores == load_bundle(newest.with_name("live")).scores


def test_it_has_the_encoder_that_the_live_model_uses_until_that_starts_again(project, features):
    with project.edit_state() as state:
        state.training_choices = TrainingChoices(TrainConfig(encoder="resnet18").to_json())
    kept = run(keep_live_model(project, features, CONFIG))
    assert kept.bundle.network.encoder == kept.bundle.config["encoder"] == features.chosen[0] != "resnet18"


def test_no_training_starts_from_it(project, kept):
    with pytest.raises(BundleError, match="live is replaced as you draw"):
        run(train(project, TrainConfig(steps=1), LIVE_MODEL))


def test_without_a_slide_to_score_it_holds_out_the_parts_that_a_training_does(project, features):
    for slide in ("case1", "case2", "case3", "case4"):
        project.update_slide(slide, role="test")
    project.update_slide("case0", role="train")
    config = TrainConfig(tile=64, steps=1, batch=1, decoder_seconds=0)
    with project.edit_state() as state:
        state.training_choices = TrainingChoices(config.to_json())
    kept = run(keep_live_model(project, features, CONFIG))
    started = next(train(project, config, None))
    stored = json.loads((project.folder / "runs" / started.run / "config.json").read_text())
    assert kept.bundle.val == stored["val"] == ["case0"]
    assert kept.bundle.held_out == stored["held_out"] != {}


def test_it_does_without_slides_that_are_far_too_coarse_or_cannot_be_read(project, features):
    for slide, role in (("case0", "train"), ("case1", "train"), ("case2", "train"), ("case3", "val"), ("case4", "val")):
        project.update_slide(slide, role=role)
    project.update_slide("case1", mpp=40.0)
    project.update_slide("case3", mpp=40.0)
    project.find_file(project.slide("case2")).unlink()
    made = run(keep_live_model(project, features, CONFIG)).bundle
    assert (made.train, made.val, made.held_out) == (["case0"], ["case4"], {})


def test_without_a_slide_to_score_that_can_be_read_it_holds_out_parts(project, features):
    for slide in ("case0", "case1", "case2", "case3"):
        project.update_slide(slide, role="train")
    project.update_slide("case4", role="val")
    project.update_slide("case4", mpp=40.0)
    made = run(keep_live_model(project, features, CONFIG)).bundle
    assert "case4" not in made.val
    assert made.held_out != {}


def test_nothing_is_kept_where_no_training_slide_can_be_read(project, features):
    for slide in project.slides:
        project.update_slide(slide, mpp=40.0)
    with pytest.raises(NothingToLearnError, match="No training slide of test.pathseg can be read, or all are far too"):
        run(keep_live_model(project, features, CONFIG))


def test_nothing_is_kept_where_a_a_training_would_have_nothing_to_learn(project, features):
    for slide in project.slides:
        project.update_slide(slide, role="test")
    with pytest.raises(NothingToLearnError):
        run(keep_live_model(project, features, CONFIG))
    assert os.listdir(project.folder / "models") == []
