import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.model_versions import (
    make_current,
    remove_models,
    removed_models,
    rename_model,
    restore_models,
)
from napari_pathseg.projects.project import Project


@pytest.fixture
def versions(project):
    """A project with three models, the third trained from the first."""
    for name, parent in (("m001", None), ("m002", "m001"), ("m003", "m001")):
        save_model(project, make_bundle(name, parent=parent, train=["case0"] if name == "m001" else ["case1"]))
    return project


def _again(project):
    return Project.open(project.folder)


def test_newest_model_is_current_until_another_is_chosen(versions):
    assert _again(versions).current_model == "m003"
    make_current(versions, "m002")
    assert _again(versions).current_model == "m002"
    save_model(versions, make_bundle("m004"))
    assert _again(versions).current_model == "m002"
    assert _again(versions).preferred_models() == ["m002", "m004", "m003", "m001"]


def test_choosing_the_newest_lets_the_next_one_be_current(versions):
    make_current(versions, "m001")
    make_current(versions, "m003")
    assert "current_model" not in _again(versions).state.values
    save_model(versions, make_bundle("m004"))
    assert versions.current_model == "m004"


def test_project_without_models_has_no_current_one(project):
    assert project.current_model is None
    assert project.preferred_models() == []


def test_the_thousandth_model_is_newer_than_those_before_it(versions):
    save_model(versions, make_bundle("m999"))
    save_model(versions, make_bundle("m1000"))
    assert _again(versions).model_ids()[-2:] == ["m999", "m1000"]
    assert _again(versions).current_model == "m1000"


def test_removed_model_returns_as_it_was(versions):
    files = sorted(path for path in (versions.folder / "models").rglob("*"))
    remove_models(versions, ["m003"])
    assert _again(versions).model_ids() == ["m001", "m002"]
    assert _again(versions).current_model == "m002"
    assert removed_models(_again(versions)) == ["m003"]
    assert sorted(path for path in (versions.folder / "models").rglob("*")) == files
    restore_models(versions, ["m003"])
    assert _again(versions).model_ids() == ["m001", "m002", "m003"]


def test_removing_the_chosen_model_leaves_the_newest_current(versions):
    make_current(versions, "m001")
    remove_models(versions, ["m001"])
    assert versions.current_model == "m003"


def test_name_is_shown_beside_the_model_and_can_be_taken_away(versions):
    rename_model(versions, "m002", "  after   the second batch ")
    assert _again(versions).state.model_names == {"m002": "after the second batch"}
    rename_model(versions, "m002", "")
    assert _again(versions).state.model_names == {}


@pytest.mark.parametrize("name", ["m003", "LIVE", "Best", "x" * 61, "a\u202eb"])
def test_name_that_would_mislead_is_refused(versions, name):
    rename_model(versions, "m001", "best")
    with pytest.raises(ProjectError):
        rename_model(versions, "m002", name)
    assert versions.state.model_names == {"m001": "best"}


@pytest.mark.parametrize("act", [make_current, lambda project, model: remove_models(project, ["m001", model])])
def test_unknown_live_and_removed_models_are_named_and_nothing_changes(versions, act):
    remove_models(versions, ["m002"])
    for model, text in (("m009", "no model"), ("live", "replaced as you draw"), ("m002", "was removed")):
        with pytest.raises(ProjectError, match=text):
            act(versions, model)
    assert versions.model_ids() == ["m001", "m003"]
    with pytest.raises(ProjectError, match='No model "m001" was removed'):
        restore_models(versions, ["m001"])
