import time

import pytest

from napari_pathseg.engine.training.trainer import TrainingBudget


def test_by_minutes_the_share_of_a_stage_follows_the_clock():
    budget = TrainingBudget(minutes=1, steps=0, elapsed=30)
    budget.begin_stage(0)
    assert budget.stage_progress(99) == pytest.approx(0, abs=0.01)
    assert budget.progress(99) == pytest.approx(0.5, abs=0.01)
    assert budget.seconds_left(99) == pytest.approx(30, abs=1)


def test_by_steps_the_clock_does_not_count():
    budget = TrainingBudget(minutes=0.0001, steps=15)
    budget.begin_stage(5)
    time.sleep(0.01)
    assert budget.stage_progress(10) == 0.5
    assert budget.progress(10) == pytest.approx(10 / 15)
    assert budget.stage_progress(15) == 1


def test_without_a_stage_before_it_all_steps_are_of_the_last_stage():
    budget = TrainingBudget(minutes=1, steps=10)
    budget.begin_stage(0)
    assert budget.stage_progress(5) == budget.progress(5) == 0.5
    assert budget.progress(10) == 1


def test_by_steps_the_time_left_is_told_by_the_pace_of_the_last_stage_alone():
    budget = TrainingBudget(minutes=1, steps=20, elapsed=30)
    assert budget.seconds_left(8) == 0  # not known
    budget.begin_stage(10)
    assert budget.seconds_left(10) == 0  # not yet
    budget.stage_began = budget.elapsed - 8, 10
    assert budget.seconds_left(14) == pytest.approx(8 / 4 * 6, abs=0.5)
    assert budget.seconds_left(20) == 0


@pytest.mark.parametrize("steps", [0, 20])
def test_when_learning_is_over_nothing_is_known_to_be_left(steps):
    budget = TrainingBudget(minutes=1, steps=steps, elapsed=30)
    budget.begin_stage(0)
    budget.finish()
    assert (budget.progress(10), budget.seconds_left(10)) == (1, 0)


def test_a_resumed_run_has_only_the_time_that_was_left():
    assert TrainingBudget(minutes=1, steps=0, elapsed=45).left == pytest.approx(15, abs=1)
