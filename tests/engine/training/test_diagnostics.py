import numpy as np

from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.training.diagnostics import TrainingDiagnostics

NAMES = ["Background", "Tumour"]
ONE_CLASS = Confusion(np.array([[90, 0], [10, 0]], np.int64))
GOOD = Confusion(np.array([[80, 5], [5, 10]], np.int64))


def test_a_network_that_sees_one_class_only_is_told_of_with_a_remedy():
    text = TrainingDiagnostics(NAMES).check(ONE_CLASS, 0.0, step=100)
    assert "calls everything Background" in text
    assert "class_weights" in text


def test_it_is_told_once():
    alarm = TrainingDiagnostics(NAMES)
    assert alarm.check(ONE_CLASS, None, 100)
    assert alarm.check(ONE_CLASS, None, 200) is None


def test_the_first_steps_alarm_nobody():
    assert TrainingDiagnostics(NAMES).check(ONE_CLASS, None, step=20) is None


def test_slides_of_one_class_alarm_nobody():
    assert TrainingDiagnostics(NAMES).check(Confusion(np.array([[100, 0], [0, 0]], np.int64)), None, 100) is None


def test_validation_far_below_training_is_told_of():
    text = TrainingDiagnostics(NAMES).check(GOOD, 0.95, step=100)
    assert "by heart" in text
    assert "0.95" in text
    assert TrainingDiagnostics(NAMES).check(GOOD, 0.7, step=100) is None
