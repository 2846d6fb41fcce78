import csv
import math
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.validation import Validator
from napari_pathseg.engine.events import (
    Note,
    PreviewReady,
    Progress,
    RequestPreview,
    Started,
    Stop,
    Validated,
    ValidationSamplesReady,
    run,
)
from napari_pathseg.engine.networks.weights import lite0_weights
from napari_pathseg.engine.training import live_preview, trainer
from napari_pathseg.engine.training.checkpoint import load_checkpoint
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import BundleError, NothingToLearnError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project

SHORT = TrainConfig(steps=12, tile=64, batch=2, cached_tiles=8)
TIMED = SHORT.replace(steps=0, minutes=0.06, decoder_seconds=1)


@pytest.fixture(autouse=True)
def few_validations(monkeypatch):
    """Validate four times in a training of a few steps, instead of after each step."""
    monkeypatch.setattr(trainer, "_VALIDATIONS", 4)


def test_a_short_training_finds_the_dark_squares(trained):
    _, _, bundle = trained
    assert bundle.mean_dice > 0.8
    assert bundle.scores["Tumour"]["dice"] == bundle.mean_dice


def test_events_name_the_slides_and_the_progress(trained):
    _, events, _ = trained
    (started,) = [event for event in events if isinstance(event, Started)]
    assert (len(started.train), len(started.val)) == (4, 1)
    assert "case5" not in started.train + started.val
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    stages = [event.stage for event in events if isinstance(event, Progress)]
    assert list(dict.fromkeys(stages)) == ["Reading", "Quick look", "Training"]


def test_bundle_has_the_score_of_the_best_validation(trained):
    _, events, bundle = trained
    assert bundle.mean_dice == max(event.mean_dice for event in events if isinstance(event, Validated))


def test_bundle_on_disk_rebuilds_the_network_and_holds_its_curves(trained):
    project, _, bundle = trained
    folder = project.folder / "models" / "m001"
    assert load_bundle(folder) == bundle
    assert bundle.finished
    assert bundle.parent is None
    assert load_network(folder).surroundings is None
    rows = list(csv.DictReader((folder / "curves.csv").open()))
    assert float(rows[-1]["dice"]) <= bundle.mean_dice
    assert {"step", "seconds", "loss", "Tumour"} <= set(rows[0])


@pytest.fixture
def step_clock(monkeypatch):
    """Let the budget run on a clock that only steps advance, by a tenth of a second each."""
    now = [0.0]

    def timed(step):
        def advance(*args):
            now[0] += 0.1
            return step(*args)

        return advance

    for name in ("training_step", "decoder_step"):
        monkeypatch.setattr(TrainState, name, timed(getattr(TrainState, name)))
    monkeypatch.setattr(trainer, "TrainingBudget", partial(trainer.TrainingBudget, clock=lambda: now[0]))


@pytest.mark.usefixtures("step_clock")
def test_training_keeps_to_its_minutes(project):
    bundle = run(train(project, TIMED))
    assert bundle.seconds == pytest.approx(60 * TIMED.minutes, abs=0.11)
    assert bundle.steps == pytest.approx(36, abs=1)


def test_stop_ends_at_the_next_step_and_keeps_the_best(project):
    job = train(project, SHORT.replace(steps=1000))
    while not isinstance(next(job), Validated):
        pass
    after = [job.send(Stop()), *job]
    assert sum(isinstance(event, Progress) and event.stage != "Scoring" for event in after) <= 1
    assert project.model_ids() == ["m001"]
    assert load_bundle(project.folder / "models" / "m001").finished


def test_live_preview_shows_the_view_during_training(project, monkeypatch):
    monkeypatch.setattr(live_preview, "_REFRESH_SECONDS", 0.0)
    job = train(project, SHORT.replace(steps=40))
    next(job)
    job.send(RequestPreview("case5", Region(16, 0, 100, 150)))
    views = [(event, np.load(event.path)) for event in job if isinstance(event, PreviewReady)]
    assert len(views) >= 2
    event, classes = views[-1]
    assert (event.slide, event.region) == ("case5", Region(16, 0, 100, 150))
    assert classes.shape == (100, 150)
    assert set(np.unique(classes)) <= {1, 2}
    assert len({event.path for event, _ in views}) == len(views)  # none is overwritten while it is read


def test_live_preview_of_an_unknown_slide_does_not_end_training(project, caplog):
    job = train(project, SHORT)
    next(job)
    job.send(RequestPreview("came later", Region(0, 0, 64, 64)))
    assert run(job).finished
    assert "came later" in caplog.text


def test_second_model_starts_from_the_first_and_is_no_worse(project):
    first = run(train(project, SHORT))
    second = run(train(project, SHORT))
    assert second.parent == first.id
    assert second.mean_dice >= first.mean_dice - 0.002  # the best is chosen on some tiles, the score is of all
    assert second.val == first.val
    assert run(train(project, SHORT, parent=None)).parent is None


def test_training_that_finds_nothing_better_says_so_and_copies(project, monkeypatch):
    run(train(project, SHORT))
    real, scored = Validator.score, []

    def worse_each_time(self, network, device):
        scored.append(real(self, network, device))
        return Confusion(np.array([[90, len(scored)], [len(scored), 90]], np.int64))

    monkeypatch.setattr(Validator, "score", worse_each_time)
    notes = [event.text for event in train(project, SHORT) if isinstance(event, Note)]
    first, second = (load_file(project.folder / "models" / name / "weights.safetensors") for name in ("m001", "m002"))
    assert len(scored) > 1
    assert notes == ["No weights scored better than m001 in validation; m002 is a copy of it."]
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_training_that_finds_something_better_keeps_it(project, monkeypatch):
    run(train(project, SHORT))
    scored = []

    def better_each_time(self, network, device):
        scored.append(network)
        return Confusion(np.array([[90, 90 - len(scored)], [90 - len(scored), 90]], np.int64))

    monkeypatch.setattr(Validator, "score", better_each_time)
    assert not [event for event in train(project, SHORT) if isinstance(event, Note)]
    first, second = (load_file(project.folder / "models" / name / "weights.safetensors") for name in ("m001", "m002"))
    assert not all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_killed_training_leaves_its_best_model_intact(project):
    job = train(project, SHORT)
    while not isinstance(next(job), Validated):
        pass
    del job  # as if the process had died: nothing after the validation is written
    reopened = Project.open(project.folder)
    assert not load_bundle(project.folder / "models" / "m001").finished
    assert reopened.model_ids() == ["m001"]
    load_network(project.folder / "models" / "m001")


def test_project_without_contours_makes_no_run(tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    with pytest.raises(NothingToLearnError):
        run(train(project, SHORT))
    assert not list((project.folder / "runs").iterdir())


def test_unknown_parent_is_refused_with_the_known_ones(trained):
    project, _, _ = trained
    with pytest.raises(BundleError, match='has no model "m077". It has: m001'):
        run(train(project, SHORT, parent="m077"))


@pytest.mark.usefixtures("step_clock")
def test_quick_look_takes_its_seconds_and_leaves_the_encoder_alone(project):
    config = TIMED.replace(preset="quick", minutes=0.1)
    bundle = run(train(project, config))
    assert bundle.seconds == pytest.approx(6, abs=0.11)
    assert bundle.mean_dice > 0.6
    kept = load_network(project.folder / "models" / bundle.id).encoder.model.state_dict()
    assert torch.equal(kept["conv_stem.weight"], lite0_weights()["conv_stem.weight"])


def test_normal_training_starts_from_the_quick_look(project):
    quick = run(train(project, SHORT.replace(preset="quick")))
    stages = {event.stage for event in train(project, SHORT) if isinstance(event, Progress)}
    normal = load_bundle(project.folder / "models" / "m002")
    assert normal.parent == quick.id
    assert "Quick look" not in stages
    assert normal.mean_dice >= quick.mean_dice


def test_thorough_training_searches_the_learning_rate_and_reports_it(project):
    config = SHORT.replace(preset="thorough", steps=12, cached_tiles=4)
    notes = [event.text for event in train(project, config) if isinstance(event, Note)]
    (note,) = [text for text in notes if text.startswith("The learning rate is")]
    assert note.count("with") == 3
    assert load_bundle(project.folder / "models" / "m001").steps == 12


@pytest.mark.parametrize(
    ("preset", "steps", "stages"),
    [
        ("normal", 8, {"Quick look": 2, "Training": 6}),
        ("normal", 3, {"Training": 3}),
        ("quick", 5, {"Quick look": 5}),
        ("thorough", 24, {"Quick look": 4, "Searching the learning rate": 6, "Training": 14}),
    ],
)
def test_steps_count_all_stages_together(project, preset, steps, stages):
    config = SHORT.replace(preset=preset, steps=steps, cached_tiles=4)
    events = [event for event in train(project, config, None) if isinstance(event, Progress)]
    reported = [event for event in events if event.stage != "Reading"]
    assert Counter(event.stage for event in reported) == stages
    assert [event.step for event in reported] == list(range(1, steps + 1))
    assert [event.fraction for event in reported] == pytest.approx([step / steps for step in range(1, steps + 1)])
    last = list(stages)[-1]
    assert not any(event.seconds_left for event in reported if event.stage != last)
    assert any(event.seconds_left for event in reported if event.stage == last)


def test_seed_repeats_a_run_with_limited_steps(project):
    config = SHORT.replace(steps=8, cached_tiles=4, geometric_p=1.0, degrade_p=1.0)
    first, second = (run(train(project, config, None)) for _ in range(2))
    third = run(train(project, config.replace(seed=1), None))
    weights = [load_file(project.folder / "models" / b.id / "weights.safetensors") for b in (first, second, third)]
    assert first.steps == second.steps == 8
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert any(not torch.equal(tensor, weights[2][name]) for name, tensor in weights[0].items())


def test_resumed_run_ends_like_an_uninterrupted_one(project, monkeypatch):
    monkeypatch.setattr(trainer, "_CHECKPOINT_COST", 0)  # a state after each pass, however long it takes to write
    config = SHORT.replace(steps=11, weights="none", batch=8)  # five steps are a pass over the slides
    whole = run(train(project, config, None))
    job, folder = train(project, config, None), project.folder / "runs" / "r002"
    while (checkpoint := load_checkpoint(folder)) is None or checkpoint.numbers["step"] < 5:
        next(job)
    del job  # as if it had been killed
    resumed = run(train(project, resume=""))
    assert resumed.id == "m002"
    assert resumed.steps == whole.steps
    weights = [load_file(project.folder / "models" / b.id / "weights.safetensors") for b in (whole, resumed)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    curves = [list(csv.DictReader((project.folder / "models" / b.id / "curves.csv").open())) for b in (whole, resumed)]
    assert [row["step"] for row in curves[0]] == [row["step"] for row in curves[1]]
    assert load_checkpoint(folder) is None


def test_run_killed_before_its_first_checkpoint_restarts(project):
    job = train(project, SHORT, None)
    next(job)
    del job
    assert run(train(project, resume="")).id == "m001"


def test_stop_during_final_scoring_keeps_the_scores_so_far(project):
    for number in range(5):
        project.update_slide(f"case{number}", role="val" if number > 2 else "train")
    job, stopped = train(project, SHORT.replace(validation_tiles=1), None), False
    event = next(job)
    try:
        while True:
            stops = isinstance(event, Progress) and event.stage == "Scoring"
            stopped = stopped or stops
            event = job.send(Stop() if stops else None)
    except StopIteration as end:
        bundle = end.value
    assert stopped
    assert bundle.finished
    assert bundle.scores["Tumour"]["dice"] > 0


def test_run_that_cannot_begin_leaves_nothing_behind(project):
    file = project.find_file(project.slide("case0"))
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UnsupportedSlideError, match=file.name):
        next(train(project, SHORT, None))
    assert not list((project.folder / "runs").glob("*"))


def test_nan_loss_restarts_from_the_best_weights(project, monkeypatch):
    real, rates = TrainState.training_step, []

    def broken(self, batches, rate):
        rates.append(rate)
        return math.nan if 3 <= len(rates) < 6 else real(self, batches, rate)

    monkeypatch.setattr(TrainState, "training_step", broken)
    config = SHORT.replace(steps=8, schedule="constant", warm_up=0, cached_tiles=4)
    (note,) = [event.text for event in train(project, config) if isinstance(event, Note) and event.warning]
    assert "restarted from its best weights" in note
    assert rates[-1] == rates[0] / 2
    assert load_bundle(project.folder / "models" / "m001").finished


def test_out_of_memory_halves_the_batch_and_says_so(project, monkeypatch):
    real = TrainState.training_step

    def starved(self, batches, rate):
        if len(batches[0].pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batches, rate)

    monkeypatch.setattr(TrainState, "training_step", starved)
    notes = [event.text for event in train(project, SHORT) if isinstance(event, Note)]
    assert "Memory ran out; the batch size is now 1." in notes


def test_validation_samples_are_written_as_an_image(trained):
    _, events, _ = trained
    (path,) = {event.path for event in events if isinstance(event, ValidationSamplesReady)}
    with Image.open(path) as picture:
        assert picture.size == (3 * 196, 196)  # the one held-out slide is a single patch
