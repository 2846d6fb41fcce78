"""A project made by version 0.1.0 opens, predicts, scores, resumes and tunes as it did there."""

import json
import os
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_pathseg.cli import main
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project

ARCHIVE = Path(__file__).parent / "old_project" / "project_0_1.zip"
WHOLE = Region(0, 0, 192, 192)
AN_HOUR = 3600


@pytest.fixture
def old(tmp_path):
    """The unpacked project's folder, what the old version answered, and its arrays; files are an hour old."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    then = time.time() - AN_HOUR
    for path in tmp_path.rglob("*"):
        os.utime(path, (then, then))
    answers = json.loads((tmp_path / "expected.json").read_text(encoding="utf8"))
    return SimpleNamespace(folder=tmp_path / "old.pathseg", answers=answers, arrays=np.load(tmp_path / "expected.npz"))


@pytest.fixture
def pathseg(capsys):
    """Run a command that must succeed; return its JSON answer."""

    def call(*arguments):
        code = main([str(argument) for argument in (*arguments, "--json")])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return json.loads(captured.out.strip().splitlines()[-1])

    return call


def test_old_project_keeps_its_list_and_settings(old):
    project = Project.open(old.folder)
    assert list(project.slides) == [f"case{number}" for number in range(6)]
    assert project.classes.names == ("Background", "Tumour", "Stroma")
    assert [project.slide(name).complete for name in ("case0", "case5")] == [True, False]
    assert project.model_ids() == ["m001", "m002", "m003", "m004"]
    for name in project.slides:
        with project.open_slide(name) as slide:
            assert slide.shape == (192, 192)


def test_old_masks_keep_every_stroke_and_their_undo_history(old):
    project = Project.open(old.folder)  # repairs what a killed program left in a journal
    for name in project.slides:
        with project.open_mask(name) as mask:
            labels, provenance = mask.read(WHOLE)
        np.testing.assert_array_equal(labels, old.arrays[f"labels_{name}"])
        np.testing.assert_array_equal(provenance, old.arrays[f"provenance_{name}"])
    with project.open_mask("case5") as mask:
        for step in range(old.answers["undo_steps"]):
            assert not mask.undo().empty
            np.testing.assert_array_equal(mask.read(WHOLE)[0], old.arrays[f"undo_{step}"])
        assert mask.undo().empty
        for _ in range(old.answers["redo_steps"]):
            assert not mask.redo().empty
        np.testing.assert_array_equal(mask.read(WHOLE)[0], old.arrays["labels_case5"])


def test_old_versions_are_listed_and_restored(old, pathseg):
    answer = pathseg("versions", old.folder)
    assert answer == old.answers["versions"]
    pathseg("versions", old.folder, "--slide", "case5", "--restore", 1)
    stroma = 3
    with Project.open(old.folder).open_mask("case5") as mask:
        assert not (mask.read(WHOLE)[0] == stroma).any()


def test_old_model_predicts_as_it_did(old, pathseg):
    pathseg("predict", old.folder, "--model", "m001", "--slide", "case4")
    prediction = Project.open(old.folder).find_prediction("m001", "case4")
    assert np.mean(prediction.read(WHOLE) == old.arrays["prediction"]) > 0.999


def test_old_model_scores_as_it_did(old, pathseg):
    answer = pathseg("score", old.folder, "--model", "m001", "--role", "all")
    for name, scores in old.answers["scores"]["scores"].items():
        assert answer["scores"][name] == pytest.approx(scores, abs=2e-3)


def test_old_models_know_their_settings_under_the_new_names(old):
    config = TrainConfig.from_json(load_bundle(old.folder / "models" / "m001").config)
    assert (config.ema_decay, config.gradient_clip_norm) == (0.9, 2.0)
    assert (config.decoder_learning_rate, config.encoder_lr_scale, config.flip_rotate) == (0.004, 0.5, False)


def test_old_interrupted_training_goes_on_to_its_end(old, pathseg):
    answer, before = pathseg("train", old.folder, "--resume"), old.answers["resume"]
    assert (answer["model"], answer["parent"], answer["run"]) == ("m004", None, "r004")
    for name in ("Background", "Tumour"):
        assert answer["scores"][name]["dice"] == pytest.approx(before["scores"][name]["dice"], abs=0.05)
    assert load_bundle(old.folder / "models" / "m004").finished


def test_old_tuning_is_known_under_old_and_new_names_alike(old, pathseg):
    options = "--architecture segformer --encoder test_efficientnet --weights none --tile 64 --batch 4 --precision fp32"
    options = (*options.split(), "--cached-tiles", "24", "--steps", "20", "--name", "old")
    for name in ("averaging", "ema_decay"):
        answer = pathseg("tune", old.folder, "--vary", f"{name}=0.9,0.95", *options)
        assert [trial["score"] for trial in answer["trials"]] == [t["score"] for t in old.answers["tune"]["trials"]]
        assert [trial["seconds"] for trial in answer["trials"]] == [t["seconds"] for t in old.answers["tune"]["trials"]]
        assert answer["best"]["model"] == "m002"
