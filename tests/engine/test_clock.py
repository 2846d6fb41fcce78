import time

import pytest

from napari_pathseg.engine.clock import Clock


def test_by_minutes_the_share_of_a_stage_follows_the_clock():
    clock = Clock(minutes=1, steps=0, elapsed=30)
    clock.begin_stage(0)
    assert clock.share(99) == pytest.approx(0, abs=0.01)
    assert clock.fraction(99) == pytest.approx(0.5, abs=0.01)
    assert clock.seconds_left(99) == pytest.approx(30, abs=1)


def test_by_steps_the_clock_does_not_count():
    clock = Clock(minutes=0.0001, steps=10, steps_before=5)
    clock.begin_stage(5)
    time.sleep(0.01)
    assert clock.share(10) == 0.5
    assert clock.fraction(10) == pytest.approx(10 / 15)
    assert clock.share(15) == 1


def test_a_resumed_run_has_only_the_time_that_was_left():
    assert Clock(minutes=1, steps=0, elapsed=45).left == pytest.approx(15, abs=1)
