import csv
import math
import shutil
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_pathseg.classes import class_table
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.validation import Validator
from napari_pathseg.engine.evaluation.verdict import judge
from napari_pathseg.engine.events import (
    SCORING,
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
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.engine.networks.weights import lite0_weights
from napari_pathseg.engine.training import live_preview, train_state, trainer
from napari_pathseg.engine.training.checkpoint import load_checkpoint, save_checkpoint
from napari_pathseg.engine.training.train_state import TrainState
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import BundleError, NothingToLearnError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint
from napari_pathseg.projects.project import Project

SHORT = TrainConfig(steps=12, tile=64, batch=2, cached_tiles=8, decoder_seconds=8, augment_ramp=0)
TIMED = SHORT.replace(steps=0, minutes=0.06, decoder_seconds=1)


@pytest.fixture(autouse=True)
def few_validations(monkeypatch):
    """Validate four times in a training of a few steps, instead of after each step."""
    monkeypatch.setattr(trainer, "_VALIDATIONS", 4)


def test_short_training_finds_the_dark_squares(trained):
    _, _, bundle = trained
    assert bundle.mean_dice > 0.8
    dice = [scores["dice"] for scores in bundle.scores.values()]
    assert bundle.mean_dice == pytest.approx(sum(dice) / 2)


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


def test_curves_hold_accuracy_and_loss_of_training_and_held_out_tiles(trained):
    project, events, bundle = trained
    folder = project.folder / "models" / bundle.id
    rows = list(csv.DictReader((folder / "curves.csv").open()))
    validated = [event for event in events if isinstance(event, Validated)]
    assert [float(row["accuracy"]) for row in rows] == [event.accuracy for event in validated]
    assert [float(row["validation_loss"]) for row in rows] == [event.validation_loss for event in validated]
    assert 0.8 < float(rows[-1]["accuracy"]) <= 1
    assert 0 < float(rows[-1]["training_accuracy"]) <= 1
    assert Image.open(folder / "curves.png").size == (1760, 600)
    assert (folder / "curves.svg").read_text().count("<polyline") > 4


def test_best_validation_loss_and_accuracy_are_those_of_the_model_on_the_held_out_slide(trained):
    project, events, bundle = trained
    best = max((event for event in events if isinstance(event, Validated)), key=lambda event: event.mean_dice)
    network = load_network(project.folder / "models" / bundle.id).eval()
    (slide,) = bundle.val
    with project.open_slide(slide) as opened:
        pixels = opened.read(Region(0, 0, 192, 192))
    labels = torch.from_numpy(np.where(pixels.mean(axis=-1) < 150, 1, 0))  # the dark square is the tumour
    with torch.inference_mode():
        margin = np.pad(pixels, ((64, 64), (64, 64), (0, 0)), mode="reflect")
        logits = network(torch.from_numpy(margin).movedim(-1, 0)[None])[..., 64:-64, 64:-64]
    p, truth = logits.softmax(1)[0], torch.nn.functional.one_hot(labels).movedim(-1, 0)
    dice = (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)
    expected = torch.nn.functional.cross_entropy(logits, labels[None]) + 1 - dice.mean()
    assert best.validation_loss == pytest.approx(float(expected), rel=0.05)  # bfloat16 where that is faster
    assert best.accuracy == pytest.approx(float((p.argmax(0) == labels).float().mean()), abs=0.01)


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


def test_training_goes_on_after_a_class_was_renamed_and_another_added(project):
    first = run(train(project, SHORT))
    classes = class_table([("Background", None), ("Carcinoma", None), ("Stroma", None)])
    project.change_classes(classes)
    with project.write_lock(), project.open_mask("case0") as mask:
        paint(mask, Region(0, 0, 30, 30), np.full((30, 30), 3, np.uint8))
    assert run(predict(project, model=first.id, slides=["case5"]))
    second = run(train(project, SHORT))
    assert (second.parent, second.class_names) == (first.id, ["Background", "Carcinoma", "Stroma"])
    assert score(project, "val", first.id)["scores"].keys() == set(classes.names)


def test_run_killed_before_its_first_step_is_not_the_newest_model(project):
    first = run(train(project, SHORT))
    job = train(project, SHORT)
    while not isinstance(next(job), Validated):  # of the parent
        pass
    del job
    assert project.model_ids() == [first.id]


def test_training_that_finds_nothing_better_copies_and_says_so_once(project, monkeypatch):
    run(train(project, SHORT))
    real, scored = Validator.score, []

    def worse_each_time(self, network, device, seconds, on_tile):
        scored.append(real(self, network, device, seconds, on_tile))
        return Confusion(np.array([[90, len(scored)], [len(scored), 90]], np.int64))

    monkeypatch.setattr(Validator, "score", worse_each_time)
    notes = [event.text for event in train(project, SHORT) if isinstance(event, Note)]
    first, second = (load_file(project.folder / "models" / name / "weights.safetensors") for name in ("m001", "m002"))
    assert len(scored) > 1
    assert notes == []
    text = judge(project, load_bundle(project.folder / "models" / "m002")).text
    assert text.startswith("Nothing learnt scored better than m001, so m002 is a copy of it: Dice 0.9")
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_training_that_finds_something_better_keeps_it(project, monkeypatch):
    run(train(project, SHORT))
    scored = []

    def better_each_time(self, network, device, seconds, on_tile):
        scored.append(network)
        return Confusion(np.array([[90, 90 - len(scored)], [90 - len(scored), 90]], np.int64))

    monkeypatch.setattr(Validator, "score", better_each_time)
    assert not [event for event in train(project, SHORT) if isinstance(event, Note)]
    assert not load_bundle(project.folder / "models" / "m002").is_copy
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


def test_settings_of_another_network_than_the_parents_are_not_ignored_in_silence(trained, tmp_path):
    original, _, bundle = trained
    project = Project.open(shutil.copytree(original.folder, tmp_path / "p.pathseg"))
    kept = bundle.network
    config = SHORT.replace(architecture="fcn8s", encoder=kept.encoder, context=kept.context)
    job = train(project, config, parent=bundle.id)
    notes = [event.text for event, _ in zip(job, range(5), strict=False) if isinstance(event, Note)]
    job.close()
    said = (
        f"{bundle.id} keeps its network (architecture {kept.architecture}); for architecture fcn8s, train from scratch."
    )
    assert said in notes


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


def test_whole_network_trains_from_the_first_step(project):
    config = SHORT.replace(steps=4, decoder_seconds=TrainConfig().decoder_seconds)
    stages = {event.stage for event in train(project, config, None) if isinstance(event, Progress)}
    assert stages == {"Training"}


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


def test_run_of_an_older_version_resumes_and_gets_the_new_columns_of_its_curves(project, monkeypatch):
    monkeypatch.setattr(trainer, "_CHECKPOINT_COST", 0)
    job, folder = train(project, SHORT.replace(steps=11, weights="none", batch=8), None), project.folder / "runs/r001"
    while (checkpoint := load_checkpoint(folder)) is None or checkpoint.numbers["step"] < 5:
        next(job)
    del job
    numbers, new = dict(checkpoint.numbers), ("accuracy", "training_accuracy", "validation_loss")
    numbers.pop("training_accuracy")
    numbers["curves"] = [{name: row[name] for name in row if name not in new} for row in numbers["curves"]]
    save_checkpoint(folder, checkpoint.tensors, numbers)
    bundle = run(train(project, resume=""))
    rows = list(csv.DictReader((project.folder / "models" / bundle.id / "curves.csv").open()))
    assert rows[0]["accuracy"] == ""
    assert float(rows[-1]["accuracy"]) > 0
    assert float(rows[-1]["validation_loss"]) > 0


def test_run_killed_before_its_first_checkpoint_restarts(project):
    job = train(project, SHORT, None)
    next(job)
    del job
    assert run(train(project, resume="")).id == "m001"


def _two_held_out(project):
    for number in range(5):
        project.update_slide(f"case{number}", role="val" if number > 2 else "train")
    return project


def test_model_is_scored_on_all_held_out_slides_though_validation_samples_them(project):
    events = []
    bundle = run(train(_two_held_out(project), SHORT.replace(validation_tiles=1), None), events.append)
    assert {event.tiles for event in events if isinstance(event, Validated)} == {1}
    fractions = [event.fraction for event in events if isinstance(event, Progress) and event.stage == SCORING]
    assert fractions == [0.5, 1.0]
    assert (bundle.scored_tiles, bundle.held_out_tiles, bundle.caveat) == (2, 2, "")
    again = score(project, "val", bundle.id)["scores"]  # of a prediction, whose margin is wider than a validation's
    assert {name: again[name]["dice"] for name in again} == pytest.approx(
        {name: bundle.scores[name]["dice"] for name in again}, abs=2e-3
    )


def test_training_limited_by_time_is_scored_on_all_held_out_slides_and_foretells_how_long_it_takes(project):
    events = []
    job = train(_two_held_out(project), SHORT.replace(steps=0, minutes=0.05, validation_tiles=1), None)
    assert run(job, events.append).scored_tiles == 2
    steps = [event for event in events if isinstance(event, Progress) and event.stage == "Training"]
    assert all(event.seconds + event.seconds_left > 3.005 for event in steps if event.seconds < 3)


def test_training_that_validates_on_all_held_out_tiles_has_no_scoring_to_foretell(project):
    events = []
    run(train(_two_held_out(project), SHORT.replace(steps=0, minutes=0.05), None), events.append)
    steps = [event for event in events if isinstance(event, Progress) and event.stage == "Training"]
    assert all(
        event.seconds + event.seconds_left == pytest.approx(3, abs=0.002) for event in steps if event.seconds < 3
    )


@pytest.mark.parametrize(("stop", "scored"), [(Stop(), 2), (Stop(now=True), 1)])
def test_stopped_training_scores_its_model_unless_it_has_to_end_now(project, stop, scored):
    notes = []

    def stop_at_once(event):
        notes.extend([event.text] if isinstance(event, Note) else [])
        return stop if isinstance(event, Validated) else None

    bundle = run(train(_two_held_out(project), SHORT.replace(validation_tiles=1), None), stop_at_once)
    assert bundle.scored_tiles == scored
    assert any("was scored on 1 of 2 held-out tiles" in text for text in notes) == (scored == 1)


def test_second_stop_ends_the_scoring(project):
    def stop_scoring(event):
        return Stop() if isinstance(event, Progress) and event.stage == SCORING else None

    bundle = run(train(_two_held_out(project), SHORT.replace(validation_tiles=1), None), stop_scoring)
    assert bundle.finished
    assert bundle.caveat == "was scored on 1 of 2 held-out tiles"
    assert bundle.scores["Tumour"]["dice"] > 0


def test_collapsed_model_is_announced_and_marked(project, monkeypatch):
    everything_background = Confusion(np.array([[90, 0], [10, 0]], np.int64))
    monkeypatch.setattr(Validator, "score", lambda *_: everything_background)
    notes = [event.text for event in train(project, SHORT, None) if isinstance(event, Note)]
    assert any("one class only: everything is Background" in text for text in notes)
    assert load_bundle(project.folder / "models" / "m001").caveat == "has collapsed: it calls everything Background"


def test_run_that_cannot_begin_leaves_nothing_behind(project):
    file = project.find_file(project.slide("case0"))
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UnsupportedSlideError, match=file.name):
        next(train(project, SHORT, None))
    assert not list((project.folder / "runs").glob("*"))


def test_each_validation_sees_the_latest_steps_though_the_ema_is_updated_rarely(project, monkeypatch):
    monkeypatch.setattr(train_state, "_PARAMETERS_PER_STEP", 100_000)  # as if the network were as large as FCN-8s
    validated = [event for event in train(project, SHORT, None) if isinstance(event, Validated)]
    assert len(validated) > 2
    assert len({event.validation_loss for event in validated}) == len(validated)


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
