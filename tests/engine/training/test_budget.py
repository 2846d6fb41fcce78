import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.training.budget import TrainingBudget, last_pass_share


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_budget_in_minutes_follows_the_clock(clock):
    budget = TrainingBudget(minutes=1, steps=0, elapsed=30, clock=clock)
    budget.begin_stage(0)
    assert (budget.stage_progress(99), budget.progress(99), budget.seconds_left(99)) == (0, 0.5, 30)
    clock.now += 15
    assert (budget.stage_progress(99), budget.progress(99), budget.seconds_left(99)) == (0.5, 0.75, 15)
    clock.now += 15
    assert (budget.stage_progress(99), budget.progress(99), budget.seconds_left(99)) == (1, 1, 0)


def test_budget_in_steps_ignores_the_clock(clock):
    budget = TrainingBudget(minutes=0.0001, steps=15, clock=clock)
    budget.begin_stage(5)
    clock.now += 3600
    assert budget.stage_progress(10) == 0.5
    assert budget.progress(10) == pytest.approx(10 / 15)
    assert budget.stage_progress(15) == 1


def test_budget_without_an_earlier_stage_gives_all_steps_to_the_last():
    budget = TrainingBudget(minutes=1, steps=10)
    budget.begin_stage(0)
    assert budget.stage_progress(5) == budget.progress(5) == 0.5
    assert budget.progress(10) == 1


def test_budget_in_steps_estimates_time_by_the_pace_of_the_last_stage(clock):
    budget = TrainingBudget(minutes=1, steps=20, elapsed=30, clock=clock)
    assert budget.seconds_left(8) == 0  # unknown before the last stage
    budget.begin_stage(10)
    assert budget.seconds_left(10) == 0  # unknown before its first step
    clock.now += 8
    assert budget.seconds_left(14) == 8 / 4 * 6
    assert budget.seconds_left(20) == 0


@pytest.mark.parametrize("steps", [0, 20])
def test_finished_budget_has_nothing_left(steps):
    budget = TrainingBudget(minutes=1, steps=steps, elapsed=30)
    budget.begin_stage(0)
    budget.finish()
    assert (budget.progress(10), budget.seconds_left(10)) == (1, 0)


def test_budget_of_a_resumed_run_is_what_was_left(clock):
    assert TrainingBudget(minutes=1, steps=0, elapsed=45, clock=clock).left == 15


def test_reserve_is_left_until_it_is_used(clock):
    budget = TrainingBudget(minutes=1, steps=0, clock=clock, reserve=0.25)
    budget.begin_stage(0)
    clock.now += 45
    assert (budget.stage_progress(9), budget.progress(9), budget.left) == (1, 0.75, 15)
    budget.use_reserve(9)
    assert (budget.stage_progress(9), budget.reserve) == (0, 0)
    clock.now += 15
    assert (budget.stage_progress(9), budget.progress(9)) == (1, 1)


def test_reserve_shrinks_with_stages_that_end_early(clock):
    timed = TrainingBudget(minutes=1, steps=0, clock=clock, reserve=0.25)
    counted = TrainingBudget(minutes=1, steps=100, clock=clock, reserve=0.25)
    clock.now += 30
    for budget in (timed, counted):
        budget.use_reserve(30)
    assert timed.left == 10
    assert counted.stage_progress(40) == 1


def test_only_normal_trainings_of_some_length_end_with_a_last_pass():
    config = TrainConfig()
    assert last_pass_share(config) == last_pass_share(config.replace(steps=40)) == 0.25
    assert last_pass_share(config.replace(minutes=50)) == 0.1
    for other in ({"preset": "quick"}, {"preset": "thorough"}, {"devices": 2}, {"steps": 30}, {"last_pass": False}):
        assert last_pass_share(config.replace(**other)) == 0
