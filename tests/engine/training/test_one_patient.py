"""Training on the slides of one patient: parts are held out, kept with the run, and scored again alike."""

import json

import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import learnt_slides, lineage, load_bundle
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.events import Note, Started, run
from napari_pathseg.engine.training.plan import plan_of_run, plan_training
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.held_out_parts import parts_to_json
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.model_weights import ALL_WEIGHTS, WEIGHTS
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides

CONFIG = TrainConfig(steps=12, tile=64, batch=2, cached_tiles=8, precision="fp32")


def one_patient(folder, slides):
    project = Project.create(folder / "one.pathseg")
    add_slides(project, slides, AddOptions(contours=slides[0].parent, patient="case"))
    return project


@pytest.fixture
def single(tmp_path, slides):
    """A project of a single slide."""
    return one_patient(tmp_path, slides[:1])


def test_single_slide_is_learnt_and_scored_on_parts_that_are_kept(single):
    job, events = train(single, CONFIG, None), []
    while True:
        try:
            events.append(next(job))
        except StopIteration as end:
            bundle = end.value
            break
    (started,) = [event for event in events if isinstance(event, Started)]
    assert (started.train, started.val, started.parts) == (["case0"], ["case0"], True)
    assert any("weaker evidence" in event.text for event in events if isinstance(event, Note))
    assert bundle.held_out["case0"]
    assert load_bundle(single.folder / "models" / "m001").held_out == bundle.held_out
    run = json.loads((single.folder / "runs" / "r001" / "config.json").read_text())
    assert run["held_out"] == bundle.held_out
    answer = score(single, "val")
    assert answer["held_out_parts"] == bundle.held_out
    assert answer["learnt"] == []
    for name, values in bundle.scores.items():
        assert answer["scores"][name]["dice"] == pytest.approx(values["dice"], abs=0.02)
    scored = sum(map(sum, answer["confusion"]))
    assert scored == sum(height * width for _, _, height, width in bundle.held_out["case0"])


def test_last_pass_learns_the_parts_for_all_slides_but_their_own(single):
    bundle = run(train(single, CONFIG.replace(steps=40)))
    assert bundle.last_pass
    assert bundle.weights_for("case0") == WEIGHTS
    assert bundle.weights_for("another") == ALL_WEIGHTS


def test_next_training_holds_out_the_same_parts(single):
    first = plan_training(single, CONFIG, None)
    boxes = parts_to_json(first.held_out)
    save_model(single, make_bundle("m001", train=["case0"], val=["case0"], held_out=boxes))
    assert plan_training(single, CONFIG, None).held_out == first.held_out


def test_resumed_run_has_the_parts_that_it_began_with(single):
    plan = plan_training(single, CONFIG, None)
    again = plan_of_run(single, plan.run)
    assert (again.held_out, again.val, again.config.tile) == (plan.held_out, plan.val, plan.config.tile)
    change_slides(single, ["case0"], SlideChanges(role="test"))
    with pytest.raises(ProjectError, match="no longer in the role train"):
        plan_of_run(single, plan.run)


def test_slides_of_one_patient_are_learnt_but_for_those_held_out(tmp_path, slides):
    project = one_patient(tmp_path, slides[:5])
    plan = plan_training(project, CONFIG, None)
    learnt, held_out = {record.id for record in plan.train}, {record.id for record in plan.val}
    assert held_out == set(plan.held_out)
    assert learnt | held_out == {f"case{n}" for n in range(5)}
    assert len(held_out) < 3


def test_slide_of_another_patient_is_scored_instead_of_parts(tmp_path, slides):
    project = one_patient(tmp_path, slides[:1])
    add_slides(project, slides[1:2], AddOptions(contours=slides[0].parent, patient="other.*|case1"))
    plan = plan_training(project, CONFIG, None)
    assert plan.held_out == {}
    assert len(plan.val) == 1


def test_parent_that_has_learnt_a_held_out_slide_is_remembered(project):
    first = plan_training(project, CONFIG, None)
    held_out = first.val[0].id
    save_model(project, make_bundle("m001", train=[held_out], val=["case5"]))
    save_model(project, make_bundle("m002", train=["case1"], parent="m001"))
    assert learnt_slides(lineage(project, "m002"), [held_out], {}) == [held_out]
