import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.model_tree import model_tree
from napari_pathseg.engine.rounds import drop_round, fold_round
from napari_pathseg.projects.model_versions import remove_models, rename_model


@pytest.fixture
def rounds(project):
    """A model that a person trained, and two rounds that went on from it, with their runs."""
    for number, parent in ((1, None), (2, "m001"), (3, "m002")):
        save_model(project, make_bundle(f"m00{number}", parent=parent, base=parent or "", train=["case0"]))
        (project.folder / "runs" / f"r00{number}").mkdir(parents=True)
    (project.folder / "predictions" / "m002" / "case0.zarr").mkdir(parents=True)
    return project


def test_round_takes_the_place_of_the_one_before_in_the_tree(rounds):
    assert fold_round(rounds, "m002")
    assert [(depth, bundle.id, bundle.parent) for depth, bundle in model_tree(rounds)] == [
        (0, "m001", None),
        (0, "m003", "m001"),
    ]
    left = {str(path.relative_to(rounds.folder)) for path in rounds.folder.glob("*/?00*")}
    assert left == {"models/m001", "models/m003", "runs/r001", "runs/r003"}


def test_round_that_was_named_or_trained_from_stays(rounds):
    rename_model(rounds, "m002", "the good one")
    assert not fold_round(rounds, "m002")
    rename_model(rounds, "m002", "")
    save_model(rounds, make_bundle("m004", parent="m002", train=["case0"]))
    assert not fold_round(rounds, "m002")
    assert rounds.model_ids() == ["m001", "m002", "m003", "m004"]


def test_round_stays_that_a_removed_model_was_trained_from(rounds):
    save_model(rounds, make_bundle("m004", parent="m002", train=["case0"]))
    remove_models(rounds, ["m004"])
    assert not fold_round(rounds, "m002")
    remove_models(rounds, ["m002"])
    assert not fold_round(rounds, "m002")
    assert rounds.stored_models() == ["m001", "m002", "m003", "m004"]


def test_slides_that_a_round_has_learnt_are_not_forgotten_with_it(project):
    save_model(project, make_bundle("m001", train=["case0", "case1"]))
    save_model(project, make_bundle("m002", parent="m001", train=["case0"]))
    assert not fold_round(project, "m001")
    assert load_bundle(project.folder / "models" / "m002").parent == "m001"


def test_round_that_is_not_kept_leaves_nothing_behind(rounds):
    drop_round(rounds, "m003")
    assert rounds.model_ids() == ["m001", "m002"]
    assert not (rounds.folder / "runs" / "r003").exists()
