import pytest

from napari_pathseg.cli.progress import follow
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Progress
from napari_pathseg.engine.training.budget import TrainingBudget
from napari_pathseg.engine.training.training import train


@pytest.fixture
def line(capsys):
    """Return the line that is printed for an event."""

    def show(event):
        follow(event for event in [event])
        return capsys.readouterr().err.strip()

    return show


def test_line_shows_the_progress_and_the_remaining_time(line):
    assert line(Progress("Training", 0.25, 90.0, 40, 0.5, 1e-3, 30.0)) == "Training: 25%, 90 s left, loss 0.500"
    assert line(Progress("Training", 0.1, 1080.0, 40, None, 1e-3, 120.0)) == "Training: 10%, 18 min left"
    assert line(Progress("Predicting a", 0.5, 12.4)) == "Predicting a: 50%, 12 s left"


def test_elapsed_time_is_shown_if_the_remaining_time_is_unknown(line):
    assert line(Progress("Reading", 0.0, 0.0, 0, None, None, 7.2)) == "Reading: 0%, 7 s so far"
    assert line(Progress("Scoring case1", 0.5, 0.0)) == "Scoring case1: 50%"


def test_quick_look_of_a_training_by_steps_shows_elapsed_time(line):
    budget = TrainingBudget(2.0, 100, elapsed=2.0)
    event = Progress("Quick look", budget.progress(5), budget.seconds_left(5), 5, 0.4, 1e-3, budget.elapsed)
    assert line(event) == "Quick look: 5%, 2 s so far, loss 0.400"


def test_quick_look_of_a_training_by_minutes_shows_remaining_time(line):
    budget = TrainingBudget(2.0, 0, elapsed=30.0)
    event = Progress("Quick look", budget.progress(5), budget.seconds_left(5), 5, 0.4, 1e-3, budget.elapsed)
    assert line(event) == "Quick look: 25%, 90 s left, loss 0.400"


def test_training_by_steps_never_shows_zero_seconds_left(project, line):
    config = TrainConfig(tile=64, batch=2, cached_tiles=12, steps=8, decoder_seconds=8)
    lines = [line(event) for event in train(project, config) if isinstance(event, Progress)]
    stages = dict.fromkeys(text.split(":")[0] for text in lines)
    assert list(stages) == ["Reading", "Quick look", "Training"]
    assert not any(" 0 s left" in text for text in lines)
    assert not any("left" in text for text in lines if text.startswith(("Reading", "Quick look")))
