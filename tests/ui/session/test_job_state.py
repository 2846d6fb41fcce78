import json
from dataclasses import replace

import pytest

from napari_pathseg.engine.events import SCORING, Progress, Started, Trial, Validated, ValidationSamplesReady
from napari_pathseg.ui.session.formatting import dice_legend, format_job, format_trials
from napari_pathseg.ui.session.job_state import JobKind, JobState, load_run


def progress(fraction, **others):
    shared = {"fraction": fraction, "seconds": 60 * fraction, "seconds_left": 30, "loss": 1.0}
    return Progress("Training", **shared | others)


def validated(seconds, **dice):
    return Validated(1, seconds, 0.5, dice, sum(dice.values()) / len(dice), best=True)


def trial(number, score=None, problem="", **settings):
    return Trial(number, 3, f"m{number:03}", settings, score, problem)


def after(run, *events):
    for event in events:
        run = run.after(event)
    return run


def test_classes_have_separate_curves():
    run = after(JobState(JobKind.TRAIN), validated(4, Tumour=0.5, Stroma=0.7), validated(8, Tumour=0.6, Stroma=0.8))
    assert run.dices_by_class == {"Tumour": ((4, 0.5), (8, 0.6)), "Stroma": ((4, 0.7), (8, 0.8))}
    assert [value for _, value in run.dices] == pytest.approx([0.6, 0.7])


def test_accuracy_and_validation_loss_have_curves_and_old_logs_have_none():
    old, new = validated(4, Tumour=0.5), replace(validated(8, Tumour=0.6), accuracy=0.9, validation_loss=0.3)
    run = after(JobState(JobKind.TUNE), Started("r1", "m1", None, [], []), old, new)
    assert (run.accuracies, run.validation_losses) == (((8, 0.9),), ((8, 0.3),))
    legend = dice_legend(run, {})
    assert "accuracy&nbsp;0.90" in legend
    assert "error&nbsp;0.30" in legend
    assert "accuracy" not in dice_legend(after(JobState(JobKind.TRAIN), old), {})
    following = after(run, Started("r2", "m2", None, [], []))
    assert (following.accuracies, following.validation_losses, following.dices) == ((), (), ())


def test_legend_says_on_how_many_held_out_tiles_the_scores_are():
    sampled = replace(validated(4, Tumour=0.5), tiles=32)
    assert "on&nbsp;32&nbsp;held-out&nbsp;tiles" in dice_legend(after(JobState(JobKind.TRAIN), sampled), {})
    assert "held-out" not in dice_legend(after(JobState(JobKind.TRAIN), validated(4, Tumour=0.5)), {})


def test_legend_of_an_ended_training_has_the_scores_of_the_model_that_is_kept():
    best = replace(validated(4, Background=0.9, Tumour=0.7), accuracy=0.8, validation_loss=0.3, tiles=3)
    worse = replace(validated(8, Background=0.5, Tumour=0.3), accuracy=0.4, validation_loss=2.3, tiles=3, best=False)
    run = after(JobState(JobKind.TRAIN, model="m002"), best, worse)
    assert "mean&nbsp;0.40" in dice_legend(run, {})
    legend = dice_legend(replace(run, active=False), {}).replace("&nbsp;", " ")
    assert all(text in legend for text in ("Tumour 0.70", "mean 0.80", "accuracy 0.80", "error 0.30"))
    assert "m002 on 3 held-out tiles" in legend


def test_class_that_does_not_occur_has_a_dash_and_no_curve():
    run = after(JobState(JobKind.TRAIN), Validated(1, 4.0, 0.5, {"Tumour": 0.5, "Necrosis": None}, 0.5, best=True))
    assert run.dices_by_class == {"Tumour": ((4.0, 0.5),), "Necrosis": ()}
    assert "Necrosis&nbsp;–" in dice_legend(run, {})


def test_stopped_training_can_be_stopped_again_while_it_scores_its_model():
    run = replace(after(JobState(JobKind.TRAIN), progress(0.5)), stopping=True)
    assert run.after(Progress("Training", 0.6, 1.0)).stopping
    assert not run.after(Progress(SCORING, 0.1, 1.0)).stopping


def test_learning_rate_is_kept_while_no_event_reports_it():
    run = after(JobState(JobKind.TRAIN, minutes=1), progress(0.1, rate=3e-4), progress(0.2, rate=None))
    assert run.rate == 3e-4
    assert run.losses == ((6, 1.0), (12, 1.0))


def test_long_curves_are_thinned_out_but_keep_their_ends():
    run = JobState(JobKind.TRAIN, minutes=1)
    for number in range(5000):
        run = run.after(progress(number / 5000, loss=number))
    assert len(run.losses) <= 2000
    assert (run.losses[0][1], run.losses[-1][1]) == (0, 4999)


def test_time_left_of_a_tuning_includes_the_remaining_trials():
    run = after(JobState(JobKind.TUNE, minutes=1, model="m002"), trial(1, 0.5), trial(2), progress(0.5))
    assert run.fraction == pytest.approx(0.5)
    assert run.seconds_left == 90
    assert format_job(run) == "Finding settings · 2 of 3 · 1:30 left"


def test_time_left_of_a_tuning_includes_the_scoring_of_each_model():
    training = Progress("Training", 0.5, seconds_left=50.0, seconds=30.0)  # 20 s longer than the minute
    run = after(JobState(JobKind.TUNE, minutes=1), trial(1), training)
    assert run.seconds_left == 50 + 2 * 80
    assert run.after(Progress(SCORING, 0.5, seconds_left=10.0)).seconds_left == 10 + 2 * 80


def test_progress_in_percent_is_shown_if_the_time_left_is_unknown():
    assert (
        format_job(after(JobState(JobKind.TRAIN, model="m001"), progress(0.25, seconds_left=0.0)))
        == "Training m001 · 25%"
    )
    assert format_job(after(JobState(JobKind.TRAIN, model="m001"), progress(0.25))) == "Training m001 · 0:30 left"


def test_finished_trial_replaces_its_running_entry():
    run = after(JobState(JobKind.TUNE), trial(1, batch=4), trial(1, 0.8, batch=4))
    assert [found.score for found in run.trials] == [0.8]


def test_trials_have_separate_curves():
    run = after(JobState(JobKind.TUNE, minutes=1), progress(0.5), Started("r002", "m002", None, [], []))
    assert run.losses == ()


def test_legend_shows_the_mean_of_the_classes_that_occur():
    one = after(JobState(JobKind.TRAIN), validated(4, Tumour=0.5))
    three = after(JobState(JobKind.TRAIN), validated(4, Background=0.9, Tumour=0.5, Stroma=0.7))
    assert "mean" not in dice_legend(one, {})
    assert "mean&nbsp;0.70" in dice_legend(three, {})


def test_class_name_is_escaped_in_the_legend():
    assert "&lt;b&gt;" in dice_legend(after(JobState(JobKind.TRAIN), validated(4, **{"<b>": 0.5})), {})


def test_number_of_trials_is_shown_before_the_search():
    assert format_trials({}, 0, 1) == "Enter values to try."
    assert format_trials({"batch": "2, 4, 8", "tile": "128, 256"}, 4, 1) == "4 trials of 6 combinations, about 4 min"
    assert format_trials({"learning_rate": "1e-5..1e-2"}, 0, 1) == "20 trials, about 20 min"


STARTED = Started("r001", "m001", None, [], [])


def logged_step(number):
    return Progress("Training", number / 3000, 9.0, number, 1 / (number + 1), 1e-3, float(number))


def logged_score(seconds, dice):
    return Validated(3, seconds, 0.5, {"Tumour": dice}, dice, best=True)


def write(folder, *events, end=""):
    text = "".join(json.dumps({"time": 1.0, **event.to_json()}) + "\n" for event in events)
    (folder / "events.jsonl").write_text(text + end, encoding="utf8")


def test_state_is_rebuilt_from_the_event_log(tmp_path):
    (tmp_path / "examples.png").touch()
    events = [STARTED, logged_step(1), logged_score(2.0, 0.5), logged_step(3), ValidationSamplesReady("elsewhere.png")]
    write(tmp_path, *events)
    live = JobState(JobKind.TRAIN)
    for event in events:
        live = live.after(event)
    expected = replace(live, active=False, fraction=1.0, samples_path=str(tmp_path / "examples.png"))
    assert load_run(tmp_path) == expected


def test_long_log_is_thinned_out_but_keeps_every_score(tmp_path):
    steps = [logged_step(number) for number in range(3000)]
    write(tmp_path, STARTED, *steps[:1500], logged_score(1500.0, 0.4), *steps[1500:], logged_score(3000.0, 0.6))
    run = load_run(tmp_path)
    assert 500 < len(run.losses) < 1001
    assert run.dices == ((1500.0, 0.4), (3000.0, 0.6))


def test_half_written_line_of_a_killed_process_is_skipped(tmp_path):
    write(tmp_path, STARTED, logged_step(1), end='{"time": 3.0, "event": "prog')
    assert len(load_run(tmp_path).losses) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00",
        b"[1]",
        b"[" * 100_000,
        b'{"event": "progress", "stage": 5, "fraction": "a", "seconds_left": []}',
    ],
    ids=["bytes", "no object", "deep", "wrong types"],
)
def test_damaged_line_of_a_log_is_skipped(tmp_path, line):
    write(tmp_path, STARTED, logged_step(1))
    with (tmp_path / "events.jsonl").open("ab") as log:
        log.write(line + b"\n")
    assert len(load_run(tmp_path).losses) == 1


def test_log_without_curves_gives_no_state(tmp_path):
    assert load_run(tmp_path) is None
    write(tmp_path, STARTED)
    assert load_run(tmp_path) is None
