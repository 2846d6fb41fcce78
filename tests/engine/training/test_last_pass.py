import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.bundle_io import check_weights, load_network
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.events import LAST_PASS, Note, Progress, Stop, Validated, run
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.training import last_pass, trainer
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import BundleError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.model_weights import ALL_WEIGHTS, WEIGHTS
from napari_pathseg.projects.project import Project

WHOLE = Region(0, 0, 192, 192)  # of a slide
LONG = TrainConfig(steps=60, tile=64, batch=2, cached_tiles=8, precision="fp32")


@pytest.fixture(autouse=True)
def few_validations(monkeypatch):
    monkeypatch.setattr(trainer, "_VALIDATIONS", 4)


def weights(project, model, name=WEIGHTS):
    return load_file(project.folder / "models" / model / name)


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_held_out_slides_are_learnt_in_a_last_pass_by_weights_of_their_own(project):
    events = []
    bundle = run(train(project, LONG), events.append)
    assert bundle.last_pass
    assert bundle.steps == 60
    assert load_bundle(project.folder / "models" / "m001") == bundle
    stages = [event.stage for event in events if isinstance(event, Progress)]
    assert stages.count(LAST_PASS) == 15
    assert list(dict.fromkeys(stages))[-1] == LAST_PASS
    assert not equal(weights(project, "m001"), weights(project, "m001", ALL_WEIGHTS))
    (note,) = [event.text for event in events if isinstance(event, Note) and "last pass" in event.text]
    assert bundle.val[0] in note
    # what it was scored with has not seen the last pass
    best = max(event.mean_dice for event in events if isinstance(event, Validated))
    assert bundle.mean_dice == best


def test_last_pass_starts_from_the_last_weights_and_steps_on_four_tiles(project, monkeypatch):
    begun_from_last, tiles = [], []
    restart, step = TrainState.restart_from, TrainState.training_step

    def restart_noted(self, given):
        begun_from_last.append(equal(given, self.ema_model.state_dict()))
        restart(self, given)

    def step_noted(self, batches, learning_rate):
        tiles.append(sum(len(batch.pixels) for batch in batches))
        return step(self, batches, learning_rate)

    monkeypatch.setattr(TrainState, "restart_from", restart_noted)
    monkeypatch.setattr(TrainState, "training_step", step_noted)
    # At this rate the first validation is the best one.
    assert run(train(project, LONG.replace(learning_rate=0.1, decoder_seconds=0))).steps == 60
    assert begun_from_last == [True]
    assert (set(tiles[:-15]), set(tiles[-15:])) == ({2}, {4})


def test_held_out_slides_are_predicted_by_the_weights_that_have_not_learnt_them(project):
    bundle = run(train(project, LONG))
    whole = PredictConfig(tile=512, halo=0)
    run(predict(project, whole, bundle.id))

    def answer(slide, name):
        network = load_network(project.folder / "models" / bundle.id, weights=name).eval()
        with project.open_slide(slide) as opened, torch.inference_mode():
            pixels = opened.read(WHOLE)
            return network(torch.from_numpy(pixels).movedim(-1, 0)[None])[0].argmax(0).numpy() + 1

    for slide in project.slides:
        found = Prediction(project.prediction_path(bundle.id, slide)).read(WHOLE)
        held_out = slide in bundle.val
        expected, other = (answer(slide, name) for name in ((WEIGHTS, ALL_WEIGHTS)[:: 1 if held_out else -1]))
        assert np.mean(found == expected) > 0.999
        assert np.mean(found == expected) >= np.mean(found == other)


def test_scores_and_further_trainings_are_of_the_weights_before_the_last_pass(project):
    first = run(train(project, LONG))
    (project.folder / "models" / "m001" / ALL_WEIGHTS).write_bytes(
        (project.folder / "models" / "m001" / WEIGHTS).read_bytes()
    )
    scored = score(project, model="m001")
    events = []
    run(train(project, LONG.replace(steps=8), first.id), events.append)
    begun = next(event for event in events if isinstance(event, Validated))
    assert begun.mean_dice == pytest.approx(first.mean_dice, abs=0.002)
    assert scored["mean_dice"] == pytest.approx(first.mean_dice, abs=0.002)


@pytest.mark.parametrize("off", [{"last_pass": False}, {"preset": "thorough"}, {"steps": 20}])
def test_without_a_last_pass_a_model_has_one_set_of_weights(project, off):
    bundle = run(train(project, LONG.replace(**off)))
    assert not bundle.last_pass
    assert not (project.folder / "models" / bundle.id / ALL_WEIGHTS).exists()


def test_stop_in_the_last_pass_keeps_the_model_from_before_it(project):
    job = train(project, LONG)
    for event in job:
        if isinstance(event, Progress) and event.stage == LAST_PASS:
            break
    with pytest.raises(StopIteration) as end:
        job.send(Stop())
    assert end.value.value.finished
    assert not end.value.value.last_pass


def test_last_pass_that_loses_what_was_known_is_dropped(project, monkeypatch):
    monkeypatch.setattr(last_pass, "_TOLERANCE", -2.0)  # each is worse than that
    bundle = run(train(project, LONG))
    assert not bundle.last_pass
    assert bundle.mean_dice > 0.5


def test_run_that_was_killed_in_its_last_pass_resumes_to_one(project, monkeypatch):
    calls = []

    def die(self, *args):
        calls.append(1)
        if len(calls) > 50:
            raise KeyboardInterrupt
        return step(self, *args)

    step = TrainState.training_step
    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "training_step", die)
        with pytest.raises(KeyboardInterrupt):
            run(train(project, LONG.replace(decoder_seconds=0)))
    assert not load_bundle(project.folder / "models" / "m001").finished
    resumed = Project.open(project.folder)
    bundle = run(train(resumed, resume=""))
    assert bundle.last_pass
    assert bundle.steps == 60


def test_damaged_weights_of_the_last_pass_are_named(project):
    bundle = run(train(project, LONG))
    folder = project.folder / "models" / bundle.id
    save_file({"other": torch.zeros(1)}, folder / ALL_WEIGHTS)
    with pytest.raises(BundleError, match=ALL_WEIGHTS):
        check_weights(folder)
    with pytest.raises(BundleError, match=ALL_WEIGHTS):
        run(predict(project, PredictConfig(role="test")))
