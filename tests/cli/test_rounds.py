import csv
import json

import pytest

from napari_pathseg.projects.annotation_log import Score, Work, log_begun, log_learnt, log_scores, log_work


@pytest.fixture
def worked(project):
    """A project of two rounds: the first is learnt by a model that gained 0.02, the other is open."""
    log_work(project, "case0", Work(3, 90.0, 5000, 0.5))
    log_work(project, "case1", Work(1, 30.0, 1000, 0.1))
    log_scores(project, {"case0": Score("m001", 0.75, 0.4, 4000)})
    log_begun(project, "m002")
    log_learnt(project, "m002", 0.81, 0.02)
    log_work(project, "case0", Work(2, 10.0, 100, 0.01))
    return project


def test_rounds_are_listed_with_their_work_and_what_they_gained(worked, run_pathseg):
    code, lines, _ = run_pathseg("rounds", worked.folder)
    assert code == 0
    assert lines[1].split() == ["m002", "4", "2.0", "0.6", "0.7500", "0.8100", "+0.020"]
    assert lines[2].split() == ["next", "2", "0.2", "0.01", *"–––"]


def test_rounds_as_json_say_the_seconds_of_work_per_slide(worked, run_pathseg):
    _, lines, _ = run_pathseg("rounds", worked.folder, "--json")
    first, last = json.loads(lines[-1])["rounds"]
    assert (first["seconds_per_slide"], first["dice_before_learning"]) == (60.0, 0.75)
    assert last["model"] is None


def test_csv_has_a_row_for_each_slide_of_a_round(worked, run_pathseg, tmp_path):
    run_pathseg("rounds", worked.folder, "--out", tmp_path / "rounds.csv")
    with (tmp_path / "rounds.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["round"], row["slide"], row["strokes"]) for row in rows] == [
        ("1", "case0", "3"),
        ("1", "case1", "1"),
        ("2", "case0", "2"),
    ]
    assert (rows[0]["dice_before_learning"], rows[1]["dice_before_learning"]) == ("0.75", "")
