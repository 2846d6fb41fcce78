import csv
from types import SimpleNamespace

import numpy as np
import pytest

from napari_pathseg.classes import class_table
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.events import Validated, run
from napari_pathseg.engine.training.run_history import RunHistory, TrainingDiagnostics, dice_columns
from napari_pathseg.engine.training.training import train

NAMES = ["Background", "Tumour"]
ONE_CLASS = Confusion(np.array([[90, 0], [10, 0]], np.int64))
GOOD = Confusion(np.array([[80, 5], [5, 10]], np.int64))


@pytest.mark.parametrize("name", ["loss", "Step", "dice"])
def test_class_named_like_a_column_of_the_curves_gets_a_column_of_its_own(project, name):
    project.change_classes(class_table([("Background", None), (name, None)]))
    config = TrainConfig(steps=2, tile=64, batch=2, encoder="mobilenetv3_small_050", weights="none")
    events = []
    bundle = run(train(project, config, None), events.append)
    path = project.folder / "models" / bundle.id / "curves.csv"
    last = list(csv.DictReader(path.open(encoding="utf-8")))[-1]
    validated = [event for event in events if isinstance(event, Validated)][-1]
    found = [float(last[column]) for column in ("step", "loss", "dice", f"dice of {name}")]
    assert found == [validated.step, validated.loss, validated.mean_dice, validated.dice[name]]


def test_other_classes_keep_their_names_as_columns_of_the_curves():
    names = ["Background", "Tumour", "loss", "dice of loss"]
    assert list(dice_columns(names).values()) == ["Background", "Tumour", "dice of dice of loss", "dice of loss"]


def test_curves_of_an_older_version_resume_with_the_dice_of_a_class_in_its_own_column(project):
    history = RunHistory(project, SimpleNamespace(model_id="m001", class_names=["Background", "loss"]))
    old = {"step": 3, "loss": 0.75, "dice": 0.75, "Background": 0.5}  # of a class "loss": the loss itself is lost
    new = {"step": 6, "loss": 1.5, "dice": 0.8, "Background": 0.6, "dice of loss": 0.8}
    history.load_numbers({"best": [[1, 0], [0, 1]], "best_step": 3, "stale": 0, "curves": [old, new]})
    assert history.curves == [{"step": 3, "dice of loss": 0.75, "dice": 0.75, "Background": 0.5}, new]


def test_collapse_is_reported_at_the_end_however_few_the_steps_and_again():
    diagnostics = TrainingDiagnostics(NAMES)
    assert diagnostics.check(ONE_CLASS, None, step=100)
    assert "everything is Background" in diagnostics.check_final(ONE_CLASS)
    assert diagnostics.check_final(GOOD) is None


def test_diagnostics_report_a_single_predicted_class_with_a_remedy():
    text = TrainingDiagnostics(NAMES).check(ONE_CLASS, 0.0, step=100)
    assert "one class only, Background" in text
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
