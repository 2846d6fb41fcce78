import numpy as np

from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.training.run_history import TrainingDiagnostics

NAMES = ["Background", "Tumour"]
ONE_CLASS = Confusion(np.array([[90, 0], [10, 0]], np.int64))
GOOD = Confusion(np.array([[80, 5], [5, 10]], np.int64))


def test_diagnostics_report_a_single_predicted_class_with_a_remedy():
    text = TrainingDiagnostics(NAMES).check(ONE_CLASS, 0.0, step=100)
    assert "predicts only Background" in text
    assert "class_weights" in text


def test_diagnostics_report_each_problem_once():
    diagnostics = TrainingDiagnostics(NAMES)
    assert diagnostics.check(ONE_CLASS, None, 100)
    assert diagnostics.check(ONE_CLASS, None, 200) is None


def test_diagnostics_ignore_the_first_steps():
    assert TrainingDiagnostics(NAMES).check(ONE_CLASS, None, step=20) is None


def test_diagnostics_ignore_slides_of_one_class():
    assert TrainingDiagnostics(NAMES).check(Confusion(np.array([[100, 0], [0, 0]], np.int64)), None, 100) is None


def test_diagnostics_report_overfitting():
    text = TrainingDiagnostics(NAMES).check(GOOD, 0.95, step=100)
    assert "overfits" in text
    assert "0.95" in text
    assert TrainingDiagnostics(NAMES).check(GOOD, 0.7, step=100) is None
