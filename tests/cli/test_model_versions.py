import json

import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.projects.project import Project


@pytest.fixture
def models(project):
    """Two models, the second trained from the first and better on two slides."""
    save_model(project, make_bundle("m001", mean_dice=0.8))
    base, own = ({name: SlideScore([dice, dice], name) for name in ("case0", "case1")} for dice in (0.8, 0.85))
    save_model(project, make_bundle("m002", parent="m001", base="m001", base_scores=base, slide_scores=own))
    return project


def test_models_are_listed_as_a_tree_with_the_current_one_marked(run_pathseg, models):
    code, out, _ = run_pathseg("model", models.folder, "list")
    assert code == 0
    assert out[1].split() == ["m001", "–", "0.8000", "–"]
    assert out[2].split() == ["*", "m002", "m001", "0.8000", "+0.050"]
    assert out[2].index("m002") == out[1].index("m001")
    assert out[3] == "m002 (*) is used where no model is named."


def test_actions_change_the_models_and_can_be_taken_back(run_pathseg, models):
    for arguments in (("current", "m001"), ("rename", "m001", "first"), ("remove", "m002")):
        code, out, _ = run_pathseg("model", models.folder, *arguments)
        assert code == 0
    assert out[1].split() == ["*", "m001", "–", "0.8000", "–", "first"]
    assert out[-1] == "Removed: m002; restore brings them back."
    assert Project.open(models.folder).current_model == "m001"
    assert run_pathseg("model", models.folder, "restore", "m002")[0] == 0
    assert Project.open(models.folder).model_ids() == ["m001", "m002"]


def test_json_holds_lineage_labels_and_the_comparison(run_pathseg, models):
    _, out, _ = run_pathseg("model", models.folder, "--json")
    answer = json.loads(out[-1])
    assert answer["current"] == "m002"
    second = answer["models"][1]
    assert (second["parent"], second["depth"], second["current"]) == ("m001", 0, True)
    assert second["before_after"]["mean_difference"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("current",), "current has 0 names; it takes ID."),
        (("list", "m001"), "list has 1 names; it takes none."),
        (("remove", "m009"), 'no model "m009"'),
    ],
)
def test_wrong_use_is_said(run_pathseg, models, arguments, text):
    code, _, err = run_pathseg("model", models.folder, *arguments)
    assert code == 1
    assert text in err[-1]


def test_project_without_a_model_says_so(run_pathseg, project):
    assert run_pathseg("model", project.folder)[1] == ["There is no model yet."]


TINY = ("--steps", 2, "--tile", 64, "--batch", 2, "--encoder", "mobilenetv3_small_050", "--weights", "none")


def test_training_that_ends_worse_than_the_model_before_leaves_that_one_current(run_pathseg, project):
    assert run_pathseg("train", project.folder, *TINY)[0] == 0
    path = project.folder / "models" / "m001" / "bundle.json"
    perfect = json.loads(path.read_text())
    for score in perfect["slide_scores"].values():
        score["dice"] = [1.0, 1.0]
    path.write_text(json.dumps(perfect))
    code, out, _ = run_pathseg("train", project.folder, *TINY, "--from", "none", "--json")
    answer = json.loads(out[-1])
    assert (code, answer["model"], answer["current"]) == (0, "m002", "m001")
    assert answer["before_after"]["worse"]
    assert answer["before_after"]["interval"] is None
    assert answer["warnings"][-1] == (
        "m002 is worse than m001 by more than noise, so m001 stays the current model. "
        f"To use m002: pathseg model {project.folder} current m002"
    )
    assert Project.open(project.folder).current_model == "m001"
    assert f"against m001: Dice {answer['before_after']['mean_difference']:+.3f}" in answer["before_after"]["text"]
