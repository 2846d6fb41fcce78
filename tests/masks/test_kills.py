import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def kill_strokes(monkeypatch):
    """The benchmark module, which paints in child processes."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("kill_strokes")


def test_ten_kills_while_painting_lose_no_stroke(kill_strokes, tmp_path):
    project = kill_strokes.make_project(tmp_path, short=True)
    found = kill_strokes.kill_often(project, kills=10, longest=0.5, control=False)
    assert found == {"kills": 10, "unreadable": 0, "oldest_lost_s": 0.0, "history_lost": 0, "losses": 0}


def test_ten_kills_lose_strokes_of_a_mask_written_in_place(kill_strokes, tmp_path):
    project = kill_strokes.make_project(tmp_path, short=True)
    assert kill_strokes.kill_often(project, kills=10, longest=0.5, control=True)["losses"] > 0
