import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from napari_pathseg.cli.output import SHOWN
from napari_pathseg.cli.parser import build_parser
from napari_pathseg.projects.project import Project

TINY = ("--tile", 64, "--batch", 2, "--steps", 2, "--weights", "none")


def cells(line):
    return re.split(r"  +", line)


def no_json(lines):
    return not any(mark in line for line in lines for mark in '{}[]"')


def test_every_command_has_an_answer_for_people():
    (commands,) = (action.choices for action in build_parser()._actions if action.choices)
    assert set(SHOWN) == set(commands)


def test_a_new_project_says_its_classes_and_what_comes_next(said, tmp_path):
    _, out, err = said("new", tmp_path / "p.pathseg", "--class", "Background", "--class", "Lesion")
    assert out[0] == f"{tmp_path / 'p.pathseg'} was created with the classes Background, Lesion."
    assert out[1].startswith("Next: pathseg add ")
    assert err == []


def test_a_training_and_what_follows_it_are_told_in_tables_and_sentences(said, project):
    code, out, _ = said("train", project.folder, *TINY)
    assert code == 0
    assert cells(out[0]) == ["class", "Dice", "IoU", "precision", "recall", "F1"]
    assert [cells(line)[0] for line in out[1:3]] == ["Background", "Tumour"]
    assert out[3].startswith(
        "Pooled over the held-out slides (val). Model m001, trained without an earlier model: 2 steps"
    )
    assert out[4] == f"It lies in {project.folder / 'models' / 'm001'}."
    assert no_json(out)

    held_out = [entry.id for entry in Project.open(project.folder).slides_with_role("val")]
    code, out, _ = said("score", project.folder, "--role", "val")
    assert code == 0
    assert [cells(line)[0] for line in out[:3]] == ["class", "Background", "Tumour"]
    assert cells(out[4]) == ["Dice of", "Background", "Tumour"]
    assert [cells(line)[0] for line in out[5:-2]] == held_out
    assert cells(out[5])[1:] == [cells(out[1])[1], cells(out[2])[1]]  # one slide alone is all that is pooled
    assert f"Model m001 on {len(held_out)} slide of the role val" in out[-1]
    assert no_json(out)

    _, out, _ = said("predict", project.folder, "--slide", "case4", "--slide", "case5")
    assert cells(out[1])[0::3] == ["case4", "not changed, the slide is complete"]
    assert cells(out[2])[0::3] == ["case5", "filled where unlabelled"]
    assert out[3] == "2 slides predicted with m001."
    assert Project.open(project.folder).counts("case5")[:, 1].sum() == 192 * 192
    assert Project.open(project.folder).counts("case4")[:, 1].sum() == 0


def test_a_class_that_occurs_nowhere_has_no_score():
    one = {"dice": 1.0, "iou": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    both = {"scores": {"Background": one, "Tumour": one}, "confusion": [[7, 0], [0, 0]]}
    answer = {**both, "classes": ["Background", "Tumour"], "model": "m001", "role": "all", "pixel_error": 0.0}
    out = SHOWN["score"]({**answer, "slides": [{"slide": "a", **both}]})
    assert cells(out[2]) == ["Tumour", "-", "-", "-", "-", "-"]
    assert cells(out[5]) == ["a", "1.0000", "-"]


def test_files_that_were_written_are_listed(said, project, tmp_path):
    _, out, _ = said("export", project.folder, "--format", "geojson", "--out", tmp_path / "o")
    assert out[0] == str(tmp_path / "o" / "case0.geojson")
    assert out[-1] == "5 files written."
    _, out, _ = said("convert", tmp_path / "o" / "case0.geojson", tmp_path / "a.svg")
    assert out == [f"1 contour written to {tmp_path / 'a.svg'}: 1 Tumour."]


def test_a_division_says_who_is_where_and_refuses_shares_of_no_whole(said, project):
    code, out, _ = said("split", project.folder, "--train", 60, "--val", 20, "--test", 20)
    assert code == 0
    assert cells(out[0]) == ["slide", "role"]
    roles = dict(cells(line) for line in out[1:-1])
    assert roles == {entry.id: entry.role for entry in Project.open(project.folder).slides.values()}
    assert out[-1] == "4 train, 1 val, 1 test."
    code, out, err = said("split", project.folder, "--train", 3, "--val", 1, "--test", 1)
    assert (code, out) == (1, [])
    assert "add up to 5" in err[0]


def test_a_check_says_each_problem_once(said, project, slides):
    slides[2].unlink()
    code, out, err = said("check", project.folder)
    assert code == 1
    assert out == ["Not ready to train (1 in the way):"]
    assert len(err) == 1
    assert "case2" in err[0]
    assert "pathseg relink PROJECT FOLDER" in err[0]


def test_a_check_of_a_sound_project_says_what_a_training_takes(said, project):
    code, (line,), err = said("check", project.folder)
    assert (code, err) == (0, [])
    assert re.fullmatch(r"Ready to train: about 2 min, .* GB .*\.", line)


def test_a_search_says_what_it_found_and_what_is_still_missing(said, project, slides, tmp_path):
    assert said("relink", project.folder, tmp_path) == (0, ["No slide is missing: all files are where they were."], [])
    (tmp_path / "moved").mkdir()
    slides[1].rename(tmp_path / "moved" / "other.tif")
    slides[3].rename(tmp_path / "kept.bin")
    code, out, err = said("relink", project.folder, tmp_path / "moved")
    assert code == 1
    assert cells(out[1]) == ["case1", str(tmp_path / "moved" / "other.tif")]
    assert out[2] == "1 slide found and linked again."
    assert len(err) == 1
    assert err[0].startswith(f"Still missing: case3; nothing in {tmp_path / 'moved'} or below it")
    code, out, err = said("relink", project.folder, tmp_path / "moved")
    assert (code, out, len(err)) == (1, [], 1)
    (tmp_path / "kept.bin").rename(tmp_path / "moved" / "case3.tif")
    code, out, err = said("relink", project.folder, tmp_path / "moved")
    assert (code, err) == (0, [])
    assert out[-1] == "1 slide found and linked again; none is missing now."


def test_a_tuning_that_fails_says_with_which_settings():
    trial = {"model": "", "score": None, "steps": 0, "seconds": 0.0, "state": "failed", "problem": "No memory."}
    lines = SHOWN["tune"]({"name": "t", "best": None, "trials": [{**trial, "settings": {"batch": 2, "tile": 64}}]})
    assert lines[2] == "batch 2, tile 64: No memory."


def test_the_demo_says_how_well_both_models_do():
    scores = {"first": {"Background": 0.99, "Tumour": 0.5}, "second": {"Background": 0.99, "Tumour": 0.75}}
    left = {"screenshots": ["a.png"], "exported": ["b.svg"], "strokes": 4, "seconds": 90.0, "project": "p"}
    lines = SHOWN["demo"]({"scores": scores, **left})
    assert cells(lines[2]) == ["the second model", "0.9900", "0.7500"]
    assert lines[3:] == ["a.png", "b.svg", "The project lies in p; it took 90 s."]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_names_that_a_console_cannot_show_end_in_no_traceback(project, slides, tmp_path, encoding):
    command = Path(sys.executable).with_name("pathseg")
    moved = slides[0].with_name("症例.tif")
    slides[0].rename(moved)
    done = subprocess.run(
        [command, "relink", project.folder, tmp_path],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert rb"\u75c7\u4f8b.tif" in done.stdout
