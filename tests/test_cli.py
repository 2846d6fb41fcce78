import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_pathseg.cli import main
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import write_contours
from napari_pathseg.projects.exporting.export import EXPORT_FORMATS
from napari_pathseg.projects.project import Project


@pytest.fixture
def pathseg(capsys):
    """Run a command in this process; return its exit code, its last line and what it complained of."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        lines = captured.out.strip().splitlines()
        answer = json.loads(lines[-1]) if lines and "--json" in arguments else None
        return code, answer, captured.err

    return call


def test_the_whole_loop_on_the_command_line(pathseg, slides, tmp_path):
    folder, contours = tmp_path / "p.pathseg", slides[0].parent
    assert pathseg("new", folder, "--class", "Background", "--class", "Lesion=#112233", "--json")[0] == 0
    _, added, _ = pathseg("add", folder, *slides[:5], "--contours", contours, "--json")
    known = {"slide": "case0", "patient": "case0", "role": "auto", "complete": True, "mpp": None}
    assert added["slides"][0] == {**known, "contours": "case0.svg", "classes": ["Background", "Lesion"]}
    pathseg("add", folder, slides[5], "--contours", slides[0].with_suffix(".svg"), "--role", "test", "--json")
    code, checked, _ = pathseg("check", folder, "--json")
    assert (code, checked["ready"], checked["problems"]) == (0, True, [])
    assert set(checked["estimate"]) == {"minutes", "memory_gb", "text"}
    options = ("--minutes", 0.05, "--tile", 64, "--batch", 2, "--decoder-seconds", 2, "--json")
    _, trained, _ = pathseg("train", folder, *options)
    assert (trained["model"], trained["parent"]) == ("m001", None)
    assert {"scores", "steps", "seconds", "run"} <= set(trained)
    code, predicted, _ = pathseg("predict", folder, "--role", "test", "--json")
    assert (code, predicted["slides"][0]["slide"], predicted["slides"][0]["pixels"]) == (0, "case5", 192 * 192)
    _, scored, _ = pathseg("score", folder, "--json")
    assert set(scored["scores"]["Lesion"]) == {"dice", "iou", "precision", "recall", "f1"}
    _, out, _ = pathseg("export", folder, "--format", "mask", "--what", "prediction", "--out", tmp_path / "o", "--json")
    assert out["files"] == [str(tmp_path / "o" / "case5.png")]
    _, again, _ = pathseg("train", folder, *options)
    assert (again["model"], again["parent"]) == ("m002", "m001")


def test_contours_and_label_images_are_converted(pathseg, slides, tmp_path):
    source = slides[0].with_suffix(".svg")
    code, answer, _ = pathseg("convert", source, tmp_path / "a.geojson", "--json")
    assert (code, answer["contours"]) == (0, 1)
    pathseg("convert", tmp_path / "a.geojson", tmp_path / "a.xml", "--format", "aperio")
    code, answer, _ = pathseg("convert", tmp_path / "a.xml", tmp_path / "a.png", "--slide", slides[0], "--json")
    assert (code, answer["contours"]) == (0, 1)
    code, answer, _ = pathseg("convert", tmp_path / "a.png", tmp_path / "b.json", "--slide", slides[0], "--json")
    assert (code, answer["classes"]) == (0, {"2": 1})
    code, _, said = pathseg("convert", tmp_path / "a.png", tmp_path / "c.svg")
    assert (code, "Name the slide" in said) == (1, True)


def test_names_and_scale_of_contours_are_told_where_the_file_is_of_another_mind(pathseg, slides, tmp_path):
    square = np.array([[1.5, 1.5], [1.5, 11.5], [11.5, 11.5], [11.5, 1.5]])
    write_contours(tmp_path / "case0.geojson", [Contour(square, class_name="lesion")])
    folder = tmp_path / "p.pathseg"
    pathseg("new", folder)
    add = ("add", folder, slides[0], "--contours", tmp_path / "case0.geojson")
    code, _, said = pathseg(*add)
    assert (code, 'class "lesion" is unknown' in said) == (1, True)
    code, _, said = pathseg(*add, "--map", "lesion=Nothing")
    assert (code, "is not a class" in said) == (1, True)
    assert pathseg(*add, "--map", "lesion=Tumour", "--scale", 4)[0] == 0
    assert Project.open(folder).counts("case0")[2].sum() == 1600


def test_slides_are_divided_and_found_again(pathseg, project, tmp_path):
    code, answer, _ = pathseg("split", project.folder, "--train", 60, "--val", 20, "--test", 20, "--json")
    assert code == 0
    assert sorted(slide for slides in answer["roles"].values() for slide in slides) == [f"case{n}" for n in range(6)]
    file = project.find_file(project.slide("case2"))
    (tmp_path / "moved").mkdir()
    file.rename(tmp_path / "moved" / file.name)
    code, answer, _ = pathseg("relink", project.folder, tmp_path, "--json")
    assert (code, list(answer["found"]), answer["missing"]) == (0, ["case2"], [])


def test_every_format_that_is_offered_is_written(pathseg, project, tmp_path, capsys):
    for kind in EXPORT_FORMATS:
        if kind != "ndpa":  # which needs a pixel size
            code, answer, said = pathseg("export", project.folder, "--format", kind, "--out", tmp_path / kind, "--json")
            assert (code, len(answer["files"])) == (0, 5), said
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    told = capsys.readouterr().out
    assert [kind for kind in EXPORT_FORMATS if kind not in told] == []


def test_what_the_user_can_fix_is_one_message_and_exit_code_1(pathseg, tmp_path):
    code, _, said = pathseg("check", tmp_path)
    assert code == 1
    assert said.count("\n") == 1
    assert "is not a project" in said


def test_a_project_that_cannot_be_learnt_from_fails_its_check(pathseg, tmp_path):
    Project.create(tmp_path / "p.pathseg")
    code, answer, said = pathseg("check", tmp_path / "p.pathseg", "--json")
    assert code == 1
    assert not answer["ready"]
    assert "has a contour" in said


def test_a_setting_beyond_its_limits_is_exit_code_1(pathseg, project):
    code, _, said = pathseg("train", project.folder, "--batch", 0)
    assert code == 1
    assert said.strip() == "batch is 0; it must lie between 1 and 256."


@pytest.mark.parametrize(
    "arguments", [["train"], ["paint"], ["new", "x", "--mpp", "wide"], ["train", "p", "--batch", "few"]]
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: pathseg" in capsys.readouterr().err


def test_tuning_prints_a_table_and_goes_on_where_it_stopped(pathseg, project, capsys):
    shared = ("--minutes", 0.06, "--tile", 64, "--batch", 2, "--steps", 2, "--weights", "none", "--name", "t")
    command = ("tune", project.folder, "--vary", "learning_rate=1e-4,1e-3", "weight-decay=0", *shared)
    code, answer, _ = pathseg(*command, "--json")
    assert (code, answer["name"], len(answer["trials"])) == (0, "t", 2)
    assert answer["best"] == answer["trials"][0]
    assert {"model", "score", "steps", "seconds", "settings"} <= set(answer["best"])
    assert main([str(argument) for argument in command]) == 0
    heads, best, other, *_ = capsys.readouterr().out.splitlines()
    assert heads.split() == ["model", "dice", "steps", "seconds", "learning_rate", "weight_decay"]
    assert best.split()[0] == answer["best"]["model"]
    assert heads.index("learning_rate") == other.index(str(answer["trials"][1]["settings"]["learning_rate"]))


def test_a_setting_that_cannot_be_varied_is_exit_code_1(pathseg, project):
    code, _, said = pathseg("tune", project.folder, "--vary", "batch=2,300")
    assert (code, said.strip()) == (1, "batch is 300; it must lie between 1 and 256.")
    assert not list((project.folder / "runs").iterdir())


def test_a_bundle_needs_a_folder_for_its_label_images(pathseg, tmp_path):
    code, _, said = pathseg("predict", "a.tif", "--bundle", tmp_path)
    assert code == 1
    assert said.startswith("out is missing")


def test_the_installed_command_starts():
    command = Path(sys.executable).with_name("pathseg")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    for name in ("new", "add", "check", "train", "tune", "predict", "score", "export", "open", "demo"):
        assert name in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C is sent otherwise there")
def test_ctrl_c_ends_a_training_and_keeps_the_best(project):
    command = Path(sys.executable).with_name("pathseg")
    options = ("--minutes", "10", "--tile", "64", "--batch", "2", "--decoder-seconds", "1", "--json")
    run = subprocess.Popen(
        [command, "train", project.folder, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in run.stderr:
        if "held-out slides" in line:
            break
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    assert json.loads(out.splitlines()[-1])["model"] == "m001"


def test_weights_of_a_torch_file_become_safetensors(pathseg, tmp_path):
    import torch
    from safetensors.torch import load_file

    torch.save({"features.0.weight": torch.ones(2, 3)}, tmp_path / "in.pth")
    code, answer, _ = pathseg("convert-weights", tmp_path / "in.pth", tmp_path / "out.safetensors", "--json")
    assert (code, answer["files"]) == (0, [str(tmp_path / "out.safetensors")])
    assert torch.equal(load_file(tmp_path / "out.safetensors")["features.0.weight"], torch.ones(2, 3))
