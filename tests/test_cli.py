import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import napari_pathseg as ps
from napari_pathseg.cli import main
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import read_contours, write_contours
from napari_pathseg.projects.exporting.export import EXPORT_FORMATS
from napari_pathseg.projects.project import Project


@pytest.fixture
def pathseg(capsys):
    """Run a command in this process; return its exit code, its JSON answer and stderr."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        lines = captured.out.strip().splitlines()
        answer = json.loads(lines[-1]) if lines and "--json" in arguments else None
        return code, answer, captured.err

    return call


def test_command_line_covers_the_whole_workflow(pathseg, slides, tmp_path):
    folder, contours = tmp_path / "p.pathseg", slides[0].parent
    assert pathseg("new", folder, "--class", "Background", "--class", "Lesion=#112233", "--json")[0] == 0
    _, added, _ = pathseg("add", folder, *slides[:5], "--contours", contours, "--json")
    known = {"slide": "case0", "patient": "case0", "role": "auto", "complete": True, "mpp": None, "added": True}
    assert added["slides"][0] == {**known, "contours": "case0.svg", "classes": ["Background", "Lesion"]}
    pathseg("add", folder, slides[5], "--contours", slides[0].with_suffix(".svg"), "--role", "test", "--json")
    code, checked, _ = pathseg("check", folder, "--json")
    assert (code, checked["ready"], checked["problems"]) == (0, True, [])
    assert set(checked["estimate"]) == {"minutes", "memory_gb", "text"}
    assert checked["review"]["text"] == "Nothing unreviewed"
    first = checked["review"]["slides"][0]
    assert set(first) == {"slide", "state", "reviewed", "unreviewed_pixels", "unreviewed_mm2"}
    options = ("--minutes", 0.05, "--tile", 64, "--batch", 2, "--decoder-seconds", 2, "--json")
    _, trained, _ = pathseg("train", folder, *options)
    assert (trained["model"], trained["parent"]) == ("m001", None)
    assert {"scores", "steps", "seconds", "run"} <= set(trained)
    code, predicted, _ = pathseg("predict", folder, "--role", "test", "--json")
    assert (code, predicted["slides"][0]["slide"], predicted["slides"][0]["pixels"]) == (0, "case5", 192 * 192)
    _, scored, _ = pathseg("score", folder, "--json")
    assert {"dice", "iou", "precision", "recall", "f1", "nsd", "hd95"} <= set(scored["scores"]["Lesion"])
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
    code, _, message = pathseg("convert", tmp_path / "a.png", tmp_path / "c.svg")
    assert (code, "Name the slide" in message) == (1, True)


def test_contours_of_a_smaller_copy_are_converted_with_the_remedy_named(pathseg, slides, tmp_path):
    (tmp_path / "a.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96"><rect x="10" y="10" width="50" height="50"/></svg>'
    )
    convert = ("convert", tmp_path / "a.svg", tmp_path / "a.png", "--slide", slides[0])
    code, _, message = pathseg(*convert)
    assert (code, "with --scale 2," in message) == (1, True)
    assert pathseg(*convert, "--scale", 2)[0] == 0
    with Image.open(tmp_path / "a.png") as image:
        assert np.count_nonzero(image) == 100**2
    Image.fromarray(np.pad(np.full((30, 40), 2, np.uint8), ((10, 56), (20, 36)))).save(tmp_path / "b.png")
    convert = ("convert", tmp_path / "b.png", tmp_path / "b.geojson", "--slide", slides[0])
    code, _, message = pathseg(*convert)
    assert (code, "with --scale 2," in message) == (1, True)
    assert pathseg(*convert, "--scale", 2)[0] == 0
    [contour] = read_contours(tmp_path / "b.geojson")
    assert [*contour.exterior.min(axis=0), *contour.exterior.max(axis=0)] == [19.5, 39.5, 79.5, 119.5]


@pytest.mark.parametrize("scale", [0, -1, "nan"])
def test_scale_that_is_none_is_refused(scale, pathseg, slides, tmp_path):
    pathseg("new", tmp_path / "p.pathseg")
    code, _, message = pathseg("add", tmp_path / "p.pathseg", slides[0], "--scale", scale)
    assert (code, "it must lie in 0.001 to 1000" in message) == (1, True)


def test_map_and_scale_options_fix_names_and_size_of_contours(pathseg, slides, tmp_path):
    square = np.array([[1.5, 1.5], [1.5, 11.5], [11.5, 11.5], [11.5, 1.5]])
    write_contours(tmp_path / "case0.geojson", [Contour(square, class_name="lesion")])
    folder = tmp_path / "p.pathseg"
    pathseg("new", folder)
    add = ("add", folder, slides[0], "--contours", tmp_path / "case0.geojson")
    code, _, message = pathseg(*add)
    assert (code, 'class "lesion" is unknown' in message) == (1, True)
    code, _, message = pathseg(*add, "--map", "lesion=Nothing")
    assert (code, "is not a class" in message) == (1, True)
    assert pathseg(*add, "--map", "lesion=Tumour", "--scale", 4)[0] == 0
    assert Project.open(folder).counts("case0")[2].sum() == 1600


def test_slides_are_split_and_relinked(pathseg, project, tmp_path):
    code, answer, _ = pathseg("split", project.folder, "--train", 60, "--val", 20, "--test", 20, "--json")
    assert code == 0
    assert sorted(slide for slides in answer["roles"].values() for slide in slides) == [f"case{n}" for n in range(6)]
    file = project.find_file(project.slide("case2"))
    (tmp_path / "moved").mkdir()
    file.rename(tmp_path / "moved" / file.name)
    code, answer, _ = pathseg("relink", project.folder, tmp_path, "--json")
    assert (code, list(answer["found"]), answer["missing"]) == (0, ["case2"], [])


def test_every_export_format_is_listed_and_written(pathseg, project, tmp_path, capsys):
    for kind in EXPORT_FORMATS:
        if kind != "ndpa":  # which needs a pixel size
            code, answer, message = pathseg(
                "export", project.folder, "--format", kind, "--out", tmp_path / kind, "--json"
            )
            assert (code, len(answer["files"])) == (0, 5), message
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    help_text = capsys.readouterr().out
    assert [kind for kind in EXPORT_FORMATS if kind not in help_text] == []


def test_user_error_is_one_message_and_exit_code_1(pathseg, tmp_path):
    code, _, message = pathseg("check", tmp_path)
    assert code == 1
    assert message.count("\n") == 1
    assert "is not a project" in message


def test_check_fails_for_a_project_without_annotations(pathseg, tmp_path):
    Project.create(tmp_path / "p.pathseg")
    code, answer, message = pathseg("check", tmp_path / "p.pathseg", "--json")
    assert code == 1
    assert not answer["ready"]
    assert "has a contour" in message


def test_setting_beyond_its_limits_is_exit_code_1(pathseg, project):
    code, _, message = pathseg("train", project.folder, "--batch", -1)
    assert code == 1
    assert message.strip() == "batch is -1; it must lie between 0 and 256."


@pytest.mark.parametrize(
    "arguments", [["train"], ["paint"], ["new", "x", "--mpp", "wide"], ["train", "p", "--batch", "few"]]
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: pathseg" in capsys.readouterr().err


def test_tuning_prints_a_table_and_resumes(pathseg, project, capsys):
    shared = ("--minutes", 0.06, "--tile", 64, "--batch", 2, "--steps", 2, "--weights", "none", "--name", "t")
    command = ("tune", project.folder, "--vary", "learning_rate=1e-4,1e-3", "weight-decay=0", *shared)
    code, answer, _ = pathseg(*command, "--json")
    assert (code, answer["name"], len(answer["trials"])) == (0, "t", 2)
    assert answer["best"] == answer["trials"][0]
    assert {"model", "score", "steps", "seconds", "settings"} <= set(answer["best"])
    assert main([str(argument) for argument in command]) == 0
    header, best, other, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["model", "dice", "steps", "seconds", "learning_rate", "weight_decay"]
    assert best.split()[0] == answer["best"]["model"]
    assert header.index("learning_rate") == other.index(str(answer["trials"][1]["settings"]["learning_rate"]))


def test_varied_value_beyond_its_limits_is_exit_code_1(pathseg, project):
    code, _, message = pathseg("tune", project.folder, "--vary", "batch=2,300")
    assert (code, message.strip()) == (1, "batch is 300; it must lie between 0 and 256.")
    assert not list((project.folder / "runs").iterdir())


def test_predict_with_a_bundle_needs_an_output_folder(pathseg, tmp_path):
    code, _, message = pathseg("predict", "a.tif", "--bundle", tmp_path)
    assert code == 1
    assert message.startswith("out is missing")


def _run_python(code, *arguments):
    """Run code in a process of its own; return the words that it printed."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_what_is_known_beforehand_is_said_before_torch_is_loaded(project, slides, tmp_path):
    empty = Project.create(tmp_path / "empty.pathseg").folder
    code = (
        "import json, sys; from napari_pathseg.cli import main; "
        "print([main(command) for command in json.loads(sys.argv[1])], 'torch' in sys.modules)"
    )
    folder = str(project.folder)
    commands = [
        ["train", str(empty)],
        ["train", folder, "--from", "m009"],
        ["train", folder, "--resume"],
        ["tune", str(empty), "--vary", "batch=2,4"],
        ["predict", folder],
        ["score", folder],
        ["export", folder, "--format", "mask", "--what", "prediction", "--out", str(tmp_path / "out")],
        ["predict", str(slides[0]), "--bundle", str(tmp_path / "none"), "--out", str(tmp_path / "out")],
    ]
    done = _run_python(code, json.dumps(commands))
    assert done.stdout.strip() == f"{[1] * len(commands)} False"
    assert done.stderr.count("\n") == len(commands)


@pytest.mark.parametrize("command", ["open", "demo"])
def test_window_without_qt_is_refused_in_a_sentence(command):
    code = (
        "import sys; sys.modules['qtpy.QtWidgets'] = None; from napari_pathseg.cli import main; "
        "print(main(sys.argv[1:]), 'napari' in sys.modules)"
    )
    done = _run_python(code, command)
    assert done.stdout.split() == ["1", "False"]
    assert done.stderr.startswith("The window needs Qt, which cannot be loaded here")
    assert 'pip install "napari-pathseg[all]"' in done.stderr


def test_public_names_are_listed_and_can_all_be_loaded():
    names = {"errors", "events", "add_slides", "AddOptions", "export", "ExportOptions", "train", "predict", "Project"}
    assert names <= set(dir(ps))
    assert all(getattr(ps, name) is not None for name in dir(ps))


def test_installed_command_starts():
    command = Path(sys.executable).with_name("pathseg")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    for name in ("new", "add", "check", "train", "tune", "predict", "score", "export", "open", "demo"):
        assert name in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl+C differently")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_training_keeps_its_best_model(project, number, code):
    command = Path(sys.executable).with_name("pathseg")
    options = ("--minutes", "10", "--tile", "64", "--batch", "2", "--decoder-seconds", "1", "--json")
    run = subprocess.Popen(
        [command, "train", project.folder, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in run.stderr:
        if "held-out tile" in line:
            break
    run.send_signal(number)
    out, errors = run.communicate(timeout=240)
    assert run.returncode == code
    assert json.loads(out.splitlines()[-1])["model"] == "m001"
    assert "Stopped early; what was done until then is kept." in errors
    assert json.loads((project.folder / "runs" / "r001" / "status.json").read_text())["state"] == "stopped"
    bundle = json.loads((project.folder / "models" / "m001" / "bundle.json").read_text())
    assert bundle["steps"] > 0
    assert "train" in bundle["origin"]["command"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_files_of_a_model_can_be_read_by_colleagues(trained, tmp_path):
    project, _, bundle = trained
    plain = tmp_path / "plain"
    plain.touch()
    for file in (project.folder / "models" / bundle.id).iterdir():
        assert file.stat().st_mode == plain.stat().st_mode


def test_convert_weights_writes_safetensors(pathseg, tmp_path):
    import torch
    from safetensors.torch import load_file

    torch.save({"features.0.weight": torch.ones(2, 3)}, tmp_path / "in.pth")
    code, answer, _ = pathseg("convert-weights", tmp_path / "in.pth", tmp_path / "out.safetensors", "--json")
    assert (code, answer["files"]) == (0, [str(tmp_path / "out.safetensors")])
    assert torch.equal(load_file(tmp_path / "out.safetensors")["features.0.weight"], torch.ones(2, 3))
