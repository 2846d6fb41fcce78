import numpy as np
import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.evaluation.before_after import before_after
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.events import Started, Stop, run
from napari_pathseg.engine.training import base_scores, trainer
from napari_pathseg.engine.training.training import train
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint

TINY = TrainConfig(
    steps=4, tile=64, batch=2, encoder="mobilenetv3_small_050", weights="none", cached_tiles=4, precision="fp32"
)


@pytest.fixture(autouse=True)
def few_validations(monkeypatch):
    monkeypatch.setattr(trainer, "_VALIDATIONS", 2)


@pytest.fixture
def scored_again(monkeypatch):
    """The slides on which a model was scored again, one list for each time."""
    again, found = base_scores._score_again, []
    monkeypatch.setattr(base_scores, "_score_again", lambda *args: found.append(args[3]) or again(*args))
    return found


def _paint_on(project, slide):
    with project.write_lock(), project.open_mask(slide) as mask:
        paint(mask, Region(0, 0, 40, 40), np.full((40, 40), 2, np.uint8))


def test_stored_scores_of_the_parent_are_those_of_the_next_model_s_beginning(project, scored_again):
    first = run(train(project, TINY, None))
    second = run(train(project, TINY))
    assert (second.parent, second.base) == ("m001", "m001")
    assert second.base_scores == first.slide_scores
    assert first.base == ""
    assert scored_again == []
    compared = before_after(project, second)
    assert [pair.slide for pair in compared.pairs] == second.val
    assert second.labels == first.labels


def test_scores_of_each_slide_are_those_of_its_stored_prediction(project):
    bundle = run(train(project, TINY, None))
    (slide,) = score(project, "val")["slides"]
    found = [scores["dice"] for scores in slide["scores"].values()]
    assert bundle.slide_scores[slide["slide"]].dice == pytest.approx(found, abs=0.02)  # halos differ


def test_parent_is_scored_again_where_the_labels_have_changed(project, scored_again):
    first = run(train(project, TINY, None))
    (held_out,) = first.val
    _paint_on(project, held_out)
    second = run(train(project, TINY))
    assert scored_again == [[held_out]]
    assert second.base_scores[held_out].truth == second.slide_scores[held_out].truth
    assert second.base_scores[held_out] != first.slide_scores[held_out]
    assert second.labels != first.labels


def test_model_from_scratch_is_compared_with_the_one_before_it(project):
    run(train(project, TINY, None))
    other = run(train(project, TINY.replace(architecture="unet-classic", encoder=TINY.encoder), None))
    assert (other.parent, other.base) == (None, "m001")
    assert before_after(project, other) is not None


def test_model_that_has_learnt_what_is_held_out_is_not_compared(project):
    first = run(train(project, TINY, None))
    (held_out,) = first.val
    project.update_slide(held_out, role="train")
    project.update_slide(first.train[0], role="val")
    second = run(train(project, TINY, None))
    assert second.val == [first.train[0]]
    assert (second.base, second.base_scores) == ("", {})


def test_damaged_model_before_is_compared_with_nothing(project):
    first = run(train(project, TINY, None))
    _paint_on(project, first.val[0])
    (project.folder / "models" / "m001" / "weights.safetensors").write_bytes(b"none")
    assert run(train(project, TINY, None)).base_scores == {}


def test_copy_of_its_parent_differs_by_nothing(project, monkeypatch):
    run(train(project, TINY, None))
    second = run(train(project, TINY.replace(steps=1, learning_rate=1e-6)))
    if not second.is_copy:  # a step of nearly nothing can still win by a pixel
        pytest.skip("the step was better")
    assert before_after(project, second).mean == 0


def test_stop_while_the_model_before_is_scored_ends_that(project):
    first = run(train(project, TINY, None))
    _paint_on(project, first.val[0])
    stages = set()

    def stop(event):
        stages.add(getattr(event, "stage", ""))
        return Stop() if "Scoring" in stages and not isinstance(event, Started) else None

    bundle = run(train(project, TINY), stop)
    assert "Scoring" in stages
    assert bundle.finished
    assert bundle.base_scores == {}
    assert load_bundle(project.folder / "models" / bundle.id) == bundle


def test_resumed_training_has_the_scores_of_its_slides(project):
    run(train(project, TINY, None))
    job = train(project, TINY.replace(steps=60))
    for event in job:
        if getattr(event, "step", 0) > 30:
            break
    job.close()
    bundle = run(train(project, resume=""))
    assert bundle.id == "m002"
    assert set(bundle.slide_scores) == set(bundle.base_scores) == set(bundle.val)
