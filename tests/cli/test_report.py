import json
from pathlib import Path


def test_report_lists_its_files(trained, run_pathseg, tmp_path):
    project, _, bundle = trained
    code, lines, _ = run_pathseg("report", project.folder, "--out", tmp_path / "new", "--model", bundle.id, "--json")
    files = [Path(name) for name in json.loads(lines[-1])["files"]]
    assert code == 0
    assert {path.name for path in files} >= {"report.html", "report.json"}
    assert all(path.is_file() for path in files)


def test_report_of_an_unknown_model_is_refused(trained, run_pathseg, tmp_path):
    code, _, errors = run_pathseg("report", trained[0].folder, "--out", tmp_path, "--model", "m099")
    assert code == 1
    assert 'has no model "m099"' in errors[-1]


def test_tolerance_outside_its_limits_is_refused(trained, run_pathseg):
    code, _, errors = run_pathseg("score", trained[0].folder, "--role", "val", "--tolerance-um", "0")
    assert code == 1
    assert "tolerance_um is 0" in errors[-1]


def test_place_to_open_needs_its_slide(run_pathseg, tmp_path):
    code, _, errors = run_pathseg("open", tmp_path, "--region", "1,2,3,4")
    assert (code, errors) == (1, ["region needs --slide, the slide that it lies on."])
