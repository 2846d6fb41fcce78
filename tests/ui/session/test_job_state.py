import json
from dataclasses import replace

import pytest

from napari_pathseg.engine.events import Progress, Started, Trial, Validated, ValidationSamplesReady
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
    assert format_job(run) == "Finding settings m002 · 2 of 3 · 1:30 left"


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


def test_legend_shows_the_mean_of_two_or_more_target_classes():
    two = after(JobState(JobKind.TRAIN), validated(4, Background=0.9, Tumour=0.5))
    three = after(JobState(JobKind.TRAIN), validated(4, Background=0.9, Tumour=0.5, Stroma=0.7))
    assert "mean" not in dice_legend(two, {})
    assert "mean&nbsp;0.70" in dice_legend(three, {})


def test_class_name_is_escaped_in_the_legend():
    assert "&lt;b&gt;" in dice_legend(after(JobState(JobKind.TRAIN), validated(4, **{"<b>": 0.5})), {})


def test_number_of_trials_is_shown_before_the_search():
    assert format_trials({}, 0, 1) == "Name values to try."
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


def test_log_without_curves_gives_no_state(tmp_path):
    assert load_run(tmp_path) is None
    write(tmp_path, STARTED)
    assert load_run(tmp_path) is None
