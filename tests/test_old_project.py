"""A project made by version 0.1.0 opens, predicts, scores, resumes and tunes as it did there."""

import json

import numpy as np
import pytest

from napari_pathseg.cli import main
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project

WHOLE = Region(0, 0, 192, 192)


@pytest.fixture
def pathseg(capsys):
    """Run a command that must succeed; return its JSON answer."""

    def call(*arguments):
        code = main([str(argument) for argument in (*arguments, "--json")])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return json.loads(captured.out.strip().splitlines()[-1])

    return call


def test_old_project_keeps_its_list_and_settings(old_project):
    project = Project.open(old_project.folder)
    assert list(project.slides) == [f"case{number}" for number in range(6)]
    assert project.classes.names == ("Background", "Tumour", "Stroma")
    assert [project.slide(name).complete for name in ("case0", "case5")] == [True, False]
    assert project.model_ids() == ["m001", "m002", "m003", "m004"]
    for name in project.slides:
        with project.open_slide(name) as slide:
            assert slide.shape == (192, 192)


def test_old_masks_keep_every_stroke_and_their_undo_history(old_project):
    project = Project.open(old_project.folder)  # repairs what a killed program left in a journal
    for name in project.slides:
        with project.open_mask(name) as mask:
            labels, provenance = mask.read(WHOLE)
        np.testing.assert_array_equal(labels, old_project.arrays[f"labels_{name}"])
        np.testing.assert_array_equal(provenance, old_project.arrays[f"provenance_{name}"])
    with project.open_mask("case5") as mask:
        for step in range(old_project.answers["undo_steps"]):
            assert not mask.undo().empty
            np.testing.assert_array_equal(mask.read(WHOLE)[0], old_project.arrays[f"undo_{step}"])
        assert mask.undo().empty
        for _ in range(old_project.answers["redo_steps"]):
            assert not mask.redo().empty
        np.testing.assert_array_equal(mask.read(WHOLE)[0], old_project.arrays["labels_case5"])


def test_old_versions_are_listed_and_restored(old_project, pathseg):
    answer, expected = pathseg("versions", old_project.folder), old_project.answers["versions"]
    for slide in expected["slides"][:5]:  # complete slides: all their other pixels are Background, which 0.1.0 left out
        (version,) = slide["versions"]
        assert version["areas"]["Background"]["pixels"] == 0
        version["areas"]["Background"]["pixels"] = 192 * 192 - version["areas"]["Tumour"]["pixels"]
    assert answer == expected
    pathseg("versions", old_project.folder, "--slide", "case5", "--restore", 1)
    stroma = 3
    with Project.open(old_project.folder).open_mask("case5") as mask:
        assert not (mask.read(WHOLE)[0] == stroma).any()


def test_old_model_predicts_as_it_did(old_project, pathseg):
    pathseg("predict", old_project.folder, "--model", "m001", "--slide", "case4", "--halo", "64")
    prediction = Project.open(old_project.folder).find_prediction("m001", "case4")
    # Deep layers see mirrored features beyond the slide, where 0.1.0 had mirrored pixels with nothing beyond them; both
    # differ from the answer with a margin of 512 pixels in 0.3 % of the labels.
    assert np.mean(prediction.read(WHOLE) == old_project.arrays["prediction"]) > 0.998


def test_old_model_scores_as_it_did(old_project, pathseg):
    pathseg("predict", old_project.folder, "--model", "m001", "--halo", "64")  # the margin of then
    answer = pathseg("score", old_project.folder, "--model", "m001", "--role", "all")
    for name, scores in old_project.answers["scores"]["scores"].items():
        found = {metric: answer["scores"][name][metric] for metric in scores}  # others came later
        assert found == pytest.approx(scores, abs=4e-3)


def test_old_models_know_their_settings_under_the_new_names(old_project):
    config = TrainConfig.from_json(load_bundle(old_project.folder / "models" / "m001").config)
    assert (config.ema_decay, config.gradient_clip_norm) == (0.9, 2.0)
    assert (config.decoder_learning_rate, config.encoder_lr_scale, config.flip_rotate) == (0.004, 0.5, False)


def test_old_interrupted_training_is_resumed(old_project, pathseg):
    answer, before = pathseg("train", old_project.folder, "--resume"), old_project.answers["resume"]
    assert (answer["model"], answer["parent"], answer["run"]) == ("m004", None, "r004")
    for name in ("Background", "Tumour"):
        assert answer["scores"][name]["dice"] == pytest.approx(before["scores"][name]["dice"], abs=0.05)
    assert load_bundle(old_project.folder / "models" / "m004").finished


def test_old_tuning_is_known_under_old_and_new_names_alike(old_project, pathseg):
    options = "--architecture segformer --encoder test_efficientnet --weights none --tile 64 --batch 4 --precision fp32"
    options = (*options.split(), "--cached-tiles", "24", "--decoder-seconds", "8", "--steps", "20", "--name", "old")
    for name in ("averaging", "ema_decay"):
        answer = pathseg("tune", old_project.folder, "--vary", f"{name}=0.9,0.95", *options)
        assert [trial["score"] for trial in answer["trials"]] == [
            t["score"] for t in old_project.answers["tune"]["trials"]
        ]
        assert [trial["seconds"] for trial in answer["trials"]] == [
            t["seconds"] for t in old_project.answers["tune"]["trials"]
        ]
        assert answer["best"]["model"] == "m002"
