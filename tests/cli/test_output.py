import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from napari_pathseg.cli.parser import build_parser
from napari_pathseg.cli.shown import SHOWN
from napari_pathseg.projects.project import Project

TINY = ("--tile", 64, "--batch", 2, "--steps", 2, "--weights", "none")


def cells(line):
    return re.split(r"  +", line)


def contains_no_json(lines):
    return not any(mark in line for line in lines for mark in '{}[]"')


def test_every_command_has_a_formatter():
    (commands,) = (action.choices for action in build_parser()._actions if action.choices)
    assert set(SHOWN) == set(commands)


def test_new_project_prints_its_classes_and_the_next_command(run_pathseg, tmp_path):
    _, out, err = run_pathseg("new", tmp_path / "p.pathseg", "--class", "Background", "--class", "Lesion")
    assert out[0] == f"{tmp_path / 'p.pathseg'} was created with the classes Background, Lesion."
    assert out[1].startswith("Next: pathseg add ")
    assert err == []


def test_train_score_and_predict_print_tables_and_sentences(run_pathseg, project):
    code, out, _ = run_pathseg("train", project.folder, *TINY)
    assert code == 0
    assert cells(out[0]) == ["class", "Dice", "IoU", "precision", "recall", "F1"]
    assert [cells(line)[0] for line in out[1:3]] == ["Background", "Tumour"]
    assert out[3].startswith(
        "Pooled over the held-out slides (val). Model m001, trained without an earlier model: 2 steps"
    )
    assert out[4] == f"Saved in {project.folder / 'models' / 'm001'}."
    assert contains_no_json(out)

    held_out = [record.id for record in Project.open(project.folder).slides_with_role("val")]
    code, out, _ = run_pathseg("score", project.folder, "--role", "val")
    assert code == 0
    assert [cells(line)[0] for line in out[:3]] == ["class", "Background", "Tumour"]
    assert cells(out[4]) == ["pixels of", "TP", "FP", "FN", "TN"]
    by_slide = next(number for number, line in enumerate(out) if line.startswith("Dice of"))
    end = out.index("", by_slide)
    assert [cells(line)[0] for line in out[by_slide + 1 : end]] == held_out
    assert out[end + 1].startswith("Tumour: Dice ")
    assert cells(out[by_slide + 1])[1:] == [cells(out[1])[1], cells(out[2])[1]]  # pooled over this one slide
    assert f"Model m001 on {len(held_out)} slide of the role val" in out[-1]
    assert contains_no_json(out)

    _, out, _ = run_pathseg("predict", project.folder, "--slide", "case4", "--slide", "case5")
    assert cells(out[1])[0::3] == ["case4", "unchanged: the slide is complete"]
    assert cells(out[2])[0::3] == ["case5", "filled where unlabelled"]
    assert out[3] == "2 slides predicted with m001."
    assert Project.open(project.folder).counts("case5")[:, 1].sum() == 192 * 192
    assert Project.open(project.folder).counts("case4")[:, 1].sum() == 0


def test_absent_class_has_no_score():
    perfect = {"dice": 1.0, "iou": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    slide = {"scores": {"Background": perfect, "Tumour": dict.fromkeys(perfect)}, "confusion": [[7, 0], [0, 0]]}
    answer = {**slide, "classes": ["Background", "Tumour"], "model": "m001", "role": "all", "pixel_error": 0.0}
    out = SHOWN["score"]({**answer, "objects": {"Tumour": None}, "slides": [{"slide": "a", **slide}]})
    assert cells(out[2]) == ["Tumour", *["–"] * 5]
    assert cells(out[9]) == ["a", "1.0000", "–"]


def test_score_table_shows_outcomes_in_pixels_and_the_scores_of_objects():
    scores = dict.fromkeys(("dice", "iou", "precision", "recall", "f1"), 0.5)
    metrics = {
        "v_rand": 0.91,
        "rand_split": 0.9,
        "rand_merge": 0.92,
        "v_info": 0.81,
        "info_split": 0.8,
        "info_merge": 0.82,
    }
    part = {"scores": {"Background": scores, "Tumour": scores}, "confusion": [[1000, 20], [3, 40]]}
    answer = {**part, "classes": ["Background", "Tumour"], "model": "m001", "role": "val", "pixel_error": 0.02}
    out = SHOWN["score"]({**answer, "objects": {"Tumour": metrics}, "slides": [{"slide": "a", **part}]})
    assert cells(out[5]) == ["Background", "1,000", "3", "20", "40"]
    assert cells(out[6]) == ["Tumour", "40", "20", "3", "1,000"]
    assert cells(out[8]) == ["objects of", "V_rand", "split", "merge", "V_info", "split", "merge"]
    assert cells(out[9]) == ["Tumour", "0.9100", "0.9000", "0.9200", "0.8100", "0.8000", "0.8200"]


def test_export_and_convert_list_the_written_files(run_pathseg, project, tmp_path):
    _, out, _ = run_pathseg("export", project.folder, "--format", "geojson", "--out", tmp_path / "o")
    assert out[0] == str(tmp_path / "o" / "case0.geojson")
    assert out[-1] == "5 files written."
    _, out, _ = run_pathseg("convert", tmp_path / "o" / "case0.geojson", tmp_path / "a.svg")
    assert out == [f"1 contour written to {tmp_path / 'a.svg'}: 1 Tumour."]


def test_split_lists_roles_and_rejects_shares_that_do_not_add_up(run_pathseg, project):
    code, out, _ = run_pathseg("split", project.folder, "--train", 60, "--val", 20, "--test", 20)
    assert code == 0
    assert cells(out[0]) == ["slide", "role"]
    roles = dict(cells(line) for line in out[1:-1])
    assert roles == {record.id: record.role for record in Project.open(project.folder).slides.values()}
    assert out[-1] == "4 train, 1 val, 1 test."
    code, out, err = run_pathseg("split", project.folder, "--train", 3, "--val", 1, "--test", 1)
    assert (code, out) == (1, [])
    assert "add up to 5" in err[0]


def test_check_prints_each_problem_once(run_pathseg, project, slides):
    slides[2].unlink()
    code, out, err = run_pathseg("check", project.folder)
    assert code == 1
    assert out == ["Not ready to train (1 blocking problem):"]
    assert len(err) == 1
    assert "case2" in err[0]
    assert "pathseg relink PROJECT FOLDER" in err[0]


def test_check_of_a_ready_project_prints_the_cost_of_a_training(run_pathseg, project):
    code, (line, learnt), err = run_pathseg("check", project.folder)
    assert (code, err) == (0, [])
    assert re.fullmatch(r"Learns from 4 slides; held out to score it: case\d\. Learnt: .*\.", learnt)
    assert re.fullmatch(r"Ready to train: about 2 min, .* GB .*\.", line)


def test_relink_lists_found_and_missing_slides(run_pathseg, project, slides, tmp_path):
    assert run_pathseg("relink", project.folder, tmp_path) == (
        0,
        ["No slide is missing: every file is where the project expects it."],
        [],
    )
    (tmp_path / "moved").mkdir()
    slides[1].rename(tmp_path / "moved" / "other.tif")
    slides[3].rename(tmp_path / "elsewhere.bin")
    code, out, err = run_pathseg("relink", project.folder, tmp_path / "moved")
    assert code == 1
    assert cells(out[1]) == ["case1", str(tmp_path / "moved" / "other.tif")]
    assert out[2] == "1 slide found and relinked."
    assert len(err) == 1
    assert err[0].startswith(f"Still missing: case3; no file in {tmp_path / 'moved'} or its subfolders")
    code, out, err = run_pathseg("relink", project.folder, tmp_path / "moved")
    assert (code, out, len(err)) == (1, [], 1)
    (tmp_path / "elsewhere.bin").rename(tmp_path / "moved" / "case3.tif")
    code, out, err = run_pathseg("relink", project.folder, tmp_path / "moved")
    assert (code, err) == (0, [])
    assert out[-1] == "1 slide found and relinked; none is missing now."


def test_failed_trial_is_listed_with_its_settings():
    trial = {"model": "", "score": None, "steps": 0, "seconds": 0.0, "state": "failed", "problem": "No memory."}
    lines = SHOWN["tune"]({"name": "t", "best": None, "trials": [{**trial, "settings": {"batch": 2, "tile": 64}}]})
    assert lines[2] == "batch 2, tile 64: No memory."


def test_demo_prints_the_scores_of_both_models():
    scores = {"first": {"Background": 0.99, "Tumour": 0.5}, "second": {"Background": 0.99, "Tumour": 0.75}}
    outputs = {"screenshots": ["a.png"], "exported": ["b.svg"], "strokes": 4, "seconds": 90.0, "project": "p"}
    lines = SHOWN["demo"]({"scores": scores, **outputs})
    assert cells(lines[2]) == ["the second model", "0.9900", "0.7500"]
    assert lines[3:] == ["a.png", "b.svg", "The project is in p. The demo took 90 s."]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_names_that_the_console_cannot_encode_are_escaped(project, slides, tmp_path, encoding):
    command = Path(sys.executable).with_name("pathseg")
    moved = slides[0].with_name("症例.tif")
    slides[0].rename(moved)
    done = subprocess.run(
        [command, "relink", project.folder, tmp_path],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u75c7\u4f8b.tif" in done.stdout
