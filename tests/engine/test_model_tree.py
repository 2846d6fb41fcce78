import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.engine.bundle import find_bundle, lineage, reserve_run
from napari_pathseg.engine.evaluation.before_after import choose_current
from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.engine.model_tree import model_tree
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.errors import BundleError, ProjectError
from napari_pathseg.projects.model_versions import make_current, remove_models


@pytest.fixture
def models(project):
    """Models of which the second and the fourth were trained from the first, and the third from the second."""
    for name, parent in (("m001", None), ("m002", "m001"), ("m003", "m002"), ("m004", "m001"), ("m005", None)):
        save_model(project, make_bundle(name, parent=parent))
    return project


def _tree(project):
    return [(depth, bundle.id) for depth, bundle in model_tree(project)]


def test_newest_child_continues_the_line_and_others_are_branches(models):
    assert _tree(models) == [(0, "m001"), (1, "m002"), (1, "m003"), (0, "m004"), (0, "m005")]


def test_children_of_a_removed_model_continue_the_line_of_its_parent(models):
    remove_models(models, ["m002"])
    assert _tree(models) == [(0, "m001"), (1, "m003"), (0, "m004"), (0, "m005")]
    remove_models(models, ["m001"])
    assert _tree(models) == [(0, "m003"), (0, "m004"), (0, "m005")]


def test_models_trained_one_after_the_other_stay_at_the_left(models):
    for number in range(6, 200):
        save_model(models, make_bundle(f"m{number:03}", parent=f"m{number - 1:03}"))
    assert {depth for depth, _ in model_tree(models)} == {0, 1}


def test_models_that_name_each_other_as_parent_are_listed_once(project):
    save_model(project, make_bundle("m001", parent="m002"))
    save_model(project, make_bundle("m002", parent="m001"))
    assert _tree(project) == [(0, "m001"), (0, "m002")]


def test_removed_model_still_counts_in_what_its_children_have_learnt(models):
    remove_models(models, ["m001", "m002"])
    assert [bundle.id for bundle in lineage(models, "m003")] == ["m003", "m002", "m001"]


def test_model_in_use_is_the_current_one_unless_another_is_named(models):
    make_current(models, "m002")
    assert find_bundle(models).name == "m002"
    assert find_bundle(models, "m004").name == "m004"
    remove_models(models, ["m004"])
    with pytest.raises(BundleError, match="m004 was removed"):
        find_bundle(models, "m004")


def test_number_of_a_removed_model_is_not_given_again(models):
    remove_models(models, ["m005"])
    assert reserve_run(models)[0] == "006"


def test_run_of_a_removed_model_is_not_resumed(project):
    save_model(project, make_bundle("m001", finished=False))
    (project.folder / "runs" / "r001").mkdir(parents=True)
    (project.folder / "runs" / "r001" / "config.json").write_text("{}")
    assert find_resumable_run(project).name == "r001"
    remove_models(project, ["m001"])
    with pytest.raises(ProjectError, match="no interrupted training"):
        find_resumable_run(project)


def _trained(project, before, after):
    """Return a second model, compared with the first on one slide."""
    save_model(project, make_bundle("m001"))
    scores = {name: {"case0": SlideScore([dice, dice], "labels")} for name, dice in (("base", before), ("own", after))}
    bundle = make_bundle("m002", base="m001", base_scores=scores["base"], slide_scores=scores["own"])
    return save_model(project, bundle)


def test_better_model_becomes_current_also_where_another_was_chosen(project):
    bundle = _trained(project, 0.7, 0.8)
    make_current(project, "m001")
    assert not choose_current(project, bundle).worse
    assert project.current_model == "m002"


def test_worse_model_leaves_the_one_before_current(project):
    compared = choose_current(project, _trained(project, 0.8, 0.7))
    assert project.current_model == "m001"
    assert compared.warning == "m002 is worse than m001 by more than noise, so m001 stays the current model."


def test_little_worse_than_before_is_noise(project):
    assert choose_current(project, _trained(project, 0.8, 0.79)).warning == ""
    assert project.current_model == "m002"


def test_worse_model_than_a_removed_one_is_current(project):
    bundle = _trained(project, 0.8, 0.7)
    remove_models(project, ["m001"])
    choose_current(project, bundle)
    assert project.current_model == "m002"
