import time

import pytest

from napari_pathseg.engine.training.budget import Clock


def test_by_minutes_the_share_of_a_stage_follows_the_clock():
    clock = Clock(minutes=1, steps=0, elapsed=30)
    clock.begin_stage(0)
    assert clock.share(99) == pytest.approx(0, abs=0.01)
    assert clock.fraction(99) == pytest.approx(0.5, abs=0.01)
    assert clock.seconds_left(99) == pytest.approx(30, abs=1)


def test_by_steps_the_clock_does_not_count():
    clock = Clock(minutes=0.0001, steps=15)
    clock.begin_stage(5)
    time.sleep(0.01)
    assert clock.share(10) == 0.5
    assert clock.fraction(10) == pytest.approx(10 / 15)
    assert clock.share(15) == 1


def test_without_a_stage_before_it_all_steps_are_of_the_last_stage():
    clock = Clock(minutes=1, steps=10)
    clock.begin_stage(0)
    assert clock.share(5) == clock.fraction(5) == 0.5
    assert clock.fraction(10) == 1


def test_by_steps_the_time_left_is_told_by_the_pace_of_the_last_stage_alone():
    clock = Clock(minutes=1, steps=20, elapsed=30)
    assert clock.seconds_left(8) == 0  # not known
    clock.begin_stage(10)
    assert clock.seconds_left(10) == 0  # not yet
    clock.stage_began = clock.elapsed - 8, 10
    assert clock.seconds_left(14) == pytest.approx(8 / 4 * 6, abs=0.5)
    assert clock.seconds_left(20) == 0


@pytest.mark.parametrize("steps", [0, 20])
def test_when_learning_is_over_nothing_is_known_to_be_left(steps):
    clock = Clock(minutes=1, steps=steps, elapsed=30)
    clock.begin_stage(0)
    clock.end()
    assert (clock.fraction(10), clock.seconds_left(10)) == (1, 0)


def test_a_resumed_run_has_only_the_time_that_was_left():
    assert Clock(minutes=1, steps=0, elapsed=45).left == pytest.approx(15, abs=1)
