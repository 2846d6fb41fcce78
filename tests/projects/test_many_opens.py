import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def soak(monkeypatch):
    """The benchmark module, which opens and predicts as often as it is told."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("soak_opens")


@pytest.mark.parametrize("step", ["open_all", "predict_once"])
def test_opening_and_predicting_leave_no_file_open(soak, tmp_path, step):
    project = soak.make_project(tmp_path)
    found = soak.grow(getattr(soak, step), project, 40)
    assert found["files"] <= 0
    assert found["mib"] < 50
