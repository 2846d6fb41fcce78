"""What is said of a model's scores: the headline, whether the model can be trusted, what to do if not."""

from functools import partial

import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.engine.bundle import comparable_slides, learnt_slides
from napari_pathseg.engine.evaluation.verdict import headline, is_reliable, judge, same_evidence
from napari_pathseg.errors import BundleError
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides


def scores(**dice):
    return {name: {"dice": value} for name, value in dice.items()}


def model(name="m001", mean=0.9, **fields):
    defaults = {"scores": scores(Background=mean, Tumour=mean), "mean_dice": mean, "val": ["case4"]}
    return make_bundle(name, **defaults | fields)


@pytest.fixture
def save(project):
    """Give the project a model without weights."""

    return partial(save_model, project)


def test_headline_is_the_mean_over_the_classes_that_occur_and_names_them():
    text = headline(scores(Background=0.0, Tumour=0.89, Necrosis=None))
    assert text == "Dice 0.45 (mean of Background 0.00 and Tumour 0.89)"
    many = headline(scores(a=0.9, b=0.8, c=0.7, d=0.6, e=0.1))
    assert many == "Dice 0.62 (mean of 5 classes, from e 0.10 up)"


def test_model_that_calls_everything_tumour_is_announced_as_collapsed(project):
    collapsed = model(scores=scores(Background=0.0, Tumour=0.89), mean_dice=0.445, collapsed="Tumour")
    verdict = judge(project, collapsed)
    assert verdict.text.startswith("m001 has collapsed: it calls everything Tumour. Dice 0.4")
    assert "Outline more Background" in verdict.text
    assert "ready" not in verdict.text
    assert not verdict.reliable


@pytest.mark.parametrize(
    ("dice", "reliable"), [((0.2, 0.26), False), ((0.95, 0.45), False), ((0.65, 0.7), False), ((0.8, 0.9), True)]
)
def test_predictions_are_for_accepting_only_from_a_reliable_model(project, dice, reliable):
    found = model(scores=scores(Background=dice[0], Tumour=dice[1]), mean_dice=sum(dice) / 2)
    assert is_reliable(found) == reliable
    text = judge(project, found).text
    assert ("is ready" in text) == reliable
    assert ("Outline more where it is wrong" in text) != reliable


def test_scores_on_parts_are_said_to_be_weaker_evidence(project):
    text = judge(project, model(held_out={"case4": [[0, 0, 50, 50]]})).text
    assert "on held-out parts of case4" in text
    assert "weaker evidence than another patient" in text


def test_absent_class_is_named_instead_of_scored(project):
    text = judge(project, model(scores=scores(Background=0.9, Tumour=0.9, Necrosis=None))).text
    assert "Dice 0.90 (mean of Background 0.90 and Tumour 0.90)" in text
    assert "Necrosis does not occur there." in text


def test_scores_on_other_slides_are_not_compared_but_an_offer_is_made(project, save):
    save(model("m001", 0.94, val=["case3"]))
    other = judge(project, model("m002", 0.48, parent="m001"))
    assert "The Dice 0.94 of m001 is of case3: the two do not compare." in other.text
    assert "scores both on the same slides" in other.text
    assert not other.comparable
    same = judge(project, model("m003", 0.8, parent="m001", val=["case3"]))
    assert same.comparable
    assert "0.94" not in same.text


def test_model_has_learnt_what_those_before_it_learnt():
    first, second = model("m001", train=["a", "b"]), model("m002", train=["c"], parent="m001")
    assert learnt_slides([second, first], ["a", "c", "d"], {}) == ["a", "c"]
    assert learnt_slides([second], ["a", "c", "d"], {}) == ["c"]


def test_model_has_not_learnt_the_parts_that_its_training_held_out():
    boxes = {"a": [[0, 0, 64, 64]]}
    held = model(train=["a"], val=["a"], held_out=boxes)
    assert learnt_slides([held], ["a"], held.parts) == []
    assert learnt_slides([held], ["a"], {}) == ["a"]
    assert learnt_slides([model(train=["a"])], ["a"], held.parts) == ["a"]


def test_models_are_compared_on_slides_that_neither_has_learnt(project, save):
    for slide in ("case3", "case4"):
        change_slides(project, [slide], SlideChanges(role="val"))
    first = save(model("m001", train=["case0", "case3"], val=["case4"]))
    second = save(model("m002", train=["case0"], val=["case3", "case4"]))
    assert not same_evidence(first, second)
    assert comparable_slides(project, ["m001", "m002"]) == ["case4"]
    save(model("m003", train=["case3", "case4"], parent="m002"))
    with pytest.raises(
        BundleError, match=r"cannot be compared: m003 learnt from what is held out now \(case3 and case4\)"
    ):
        comparable_slides(project, ["m002", "m003"])


def test_models_of_different_parts_are_not_compared(tmp_path, project, save):
    save(model("m001", train=["case0"], val=["case0"], held_out={"case0": [[0, 0, 64, 64]]}))
    save(model("m002", train=["case0"], val=["case0"], held_out={"case0": [[90, 0, 64, 64]]}))
    with pytest.raises(BundleError, match="no slide is held out from both"):
        comparable_slides(Project.open(project.folder), ["m001", "m002"])
