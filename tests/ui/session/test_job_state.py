import pytest

from napari_pathseg.engine.events import Progress, Started, Trial, Validated
from napari_pathseg.ui.session.formatting import dice_legend, format_job, format_trials
from napari_pathseg.ui.session.job_state import JobKind, JobState


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


def test_each_class_has_a_curve_of_its_own():
    run = after(JobState(JobKind.TRAIN), validated(4, Tumour=0.5, Stroma=0.7), validated(8, Tumour=0.6, Stroma=0.8))
    assert run.dices_by_class == {"Tumour": ((4, 0.5), (8, 0.6)), "Stroma": ((4, 0.7), (8, 0.8))}
    assert [value for _, value in run.dices] == pytest.approx([0.6, 0.7])


def test_the_step_size_stays_known_while_nothing_is_said_of_it():
    run = after(JobState(JobKind.TRAIN, minutes=1), progress(0.1, rate=3e-4), progress(0.2, rate=None))
    assert run.rate == 3e-4
    assert run.losses == ((6, 1.0), (12, 1.0))


def test_hours_of_curves_stay_short_and_keep_their_ends():
    run = JobState(JobKind.TRAIN, minutes=1)
    for number in range(5000):
        run = run.after(progress(number / 5000, loss=number))
    assert len(run.losses) <= 2000
    assert (run.losses[0][1], run.losses[-1][1]) == (0, 4999)


def test_the_time_left_of_a_tuning_counts_the_trials_to_come():
    run = after(JobState(JobKind.TUNE, minutes=1, model="m002"), trial(1, 0.5), trial(2), progress(0.5))
    assert run.fraction == pytest.approx(0.5)
    assert run.seconds_left == 90
    assert format_job(run) == "Finding settings m002 · 2 of 3 · 1:30 left"


def test_where_no_time_left_is_known_the_share_of_the_run_is_told():
    assert (
        format_job(after(JobState(JobKind.TRAIN, model="m001"), progress(0.25, seconds_left=0.0)))
        == "Training m001 · 25%"
    )
    assert format_job(after(JobState(JobKind.TRAIN, model="m001"), progress(0.25))) == "Training m001 · 0:30 left"


def test_a_trial_that_ends_takes_the_place_of_its_beginning():
    run = after(JobState(JobKind.TUNE), trial(1, batch=4), trial(1, 0.8, batch=4))
    assert [found.score for found in run.trials] == [0.8]


def test_each_trial_has_curves_of_its_own():
    run = after(JobState(JobKind.TUNE, minutes=1), progress(0.5), Started("r002", "m002", None, [], []))
    assert run.losses == ()


def test_the_legend_names_the_mean_where_there_are_more_classes_than_one_to_find():
    two = after(JobState(JobKind.TRAIN), validated(4, Background=0.9, Tumour=0.5))
    three = after(JobState(JobKind.TRAIN), validated(4, Background=0.9, Tumour=0.5, Stroma=0.7))
    assert "mean" not in dice_legend(two, {})
    assert "mean&nbsp;0.70" in dice_legend(three, {})


def test_a_class_name_is_text_in_the_legend_whatever_it_holds():
    assert "&lt;b&gt;" in dice_legend(after(JobState(JobKind.TRAIN), validated(4, **{"<b>": 0.5})), {})


def test_the_number_of_trials_is_told_before_they_begin():
    assert format_trials({}, 0, 1) == "Name values to try."
    assert format_trials({"batch": "2, 4, 8", "tile": "128, 256"}, 4, 1) == "4 trials of 6 combinations, about 4 min"
    assert format_trials({"learning_rate": "1e-5..1e-2"}, 0, 1) == "20 trials, about 20 min"
