"""`pathseg list`, `show` and `clean`: what is in a project, and what it can do without."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import clear
from napari_pathseg.projects.model_versions import remove_models, removed_models
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.removed_slides import remove_slides
from napari_pathseg.projects.versions import BY_HAND, IMPORT, TRAINING, create_version, versions
from napari_pathseg.storage.hardlinks import list_files, tree_checksum


@pytest.fixture
def asked(run_pathseg, project) -> Callable[..., Any]:
    """Run a command on the project; return what it answers as JSON."""

    def ask(command: str, *words: str) -> Any:
        code, lines, _ = run_pathseg(command, project.folder, *words, "--json")
        assert code == 0
        return json.loads(lines[-1])

    return ask


def test_list_without_a_kind_has_all_kinds(asked, project):
    answer = asked("list")
    assert list(answer) == ["slides", "models", "runs", "classes"]
    assert [slide["slide"] for slide in answer["slides"]] == list(project.slides)
    assert answer["slides"][0] == {
        "slide": "case0",
        "patient": "case0",
        "role": "auto",
        "complete": True,
        "shape": [192, 192],
        "mpp": None,
        "labelled": ["Background", "Tumour"],
        "unreviewed_pixels": 0,
        "unreviewed_mm2": None,
    }
    assert [(one["class"], one["slides"]) for one in answer["classes"]] == [("Background", 5), ("Tumour", 5)]


def test_list_of_one_kind_has_only_that(asked):
    assert list(asked("list", "models")) == ["models"]


def test_tables_have_a_row_for_each_slide_and_class(run_pathseg, project):
    _, lines, _ = run_pathseg("list", project.folder)
    assert lines[0].split() == ["slide", "patient", "role", "complete", "pixels", "µm/px", "labelled", "unreviewed"]
    assert lines[1].split() == ["case0", "case0", "auto", "yes", "192", "x", "192", "–", "Background,", "Tumour", "–"]
    assert "There is no model yet." in lines
    assert "There is no training yet." in lines
    assert lines[-1].split()[:3] == ["Tumour", "2", "#c80000"]


def test_slide_is_shown_with_its_areas_imports_and_versions(asked, run_pathseg, project):
    answer = asked("show", "case0")
    assert answer["file"] == project.slide("case0").path
    assert answer["file_is_there"]
    assert answer["areas"]["Tumour"]["pixels"] > 6000
    assert answer["imports"] == ["case0.svg"]
    assert (answer["versions"], answer["state"]) == (0, "annotated")
    _, lines, _ = run_pathseg("show", project.folder, "case0")
    assert lines[0].split() == ["slide", "case0"]
    assert any(line.split() == ["file", "is", "there", "yes"] for line in lines)


def test_class_is_shown_with_its_slides(asked):
    answer = asked("show", "tumour")
    assert answer["class"] == "Tumour"
    assert set(answer["slides"]) == {f"case{number}" for number in range(5)}
    assert answer["pixels"] == sum(area["pixels"] for area in answer["slides"].values())


def test_model_is_shown_by_its_id_or_its_name(asked, project):
    save_model(project, make_bundle("m001", train=["case0"], config={"minutes": 3.0, "learning_rate": 1e-4}))
    with project.edit_state() as state:
        state.model_names = {"m001": "first"}
    answer = asked("show", "first")
    assert answer == asked("show", "m001")
    assert (answer["model"], answer["train"], answer["config"]) == (
        "m001",
        ["case0"],
        {"minutes": 3.0, "learning_rate": 1e-4},
    )


def test_what_the_project_lacks_is_said(run_pathseg, project):
    code, _, said = run_pathseg("show", project.folder, "case77")
    assert code == 1
    assert said == [
        f'test.pathseg has no slide, model, training or class "case77". See what it has: pathseg list {project.folder}'
    ]


def test_run_of_a_training_is_listed_and_shown(run_pathseg, trained):
    project, _, bundle = trained
    _, lines, _ = run_pathseg("list", project.folder, "runs")
    assert lines[1].split()[:3] == [bundle.run, "finished", bundle.id]
    _, lines, _ = run_pathseg("show", project.folder, bundle.run, "--json")
    answer = json.loads(lines[-1])
    assert (answer["train"], answer["val"]) == (bundle.train, bundle.val)
    assert answer["config"]["steps"] == 32


def test_disk_use_counts_a_file_of_masks_and_versions_once(asked, project):
    create_version(project, "case0", BY_HAND)
    parts = asked("list", "disk")["disk"]
    whole = {
        status.st_ino: status.st_size
        for path in project.folder.rglob("*")
        if path.is_file() and (status := path.stat())
    }
    assert sum(parts.values()) == sum(whole.values())
    assert parts["versions"] < parts["masks"] / 5


@pytest.fixture
def crowded(project: Project) -> Project:
    """A project with something of each kind that can be cleaned up, and with what must stay."""
    for name in ("m001", "m002"):
        save_model(project, make_bundle(name))
        (project.folder / "models" / name / "weights.safetensors").write_bytes(b"w" * 1000)
        (project.folder / "predictions" / name / "case0.zarr").mkdir(parents=True)
        (project.folder / "predictions" / name / "case5.zarr").mkdir()
    for run in ("r001", "r002"):
        (project.folder / "runs" / run).mkdir()
        (project.folder / "runs" / run / "config.json").write_text("{}")
        (project.folder / "runs" / run / "checkpoint.safetensors").write_bytes(b"c" * 500)
    (project.folder / "features" / "case0" / "key").mkdir(parents=True)
    (project.folder / "features" / "case0" / "key" / "0_0.safetensors").write_bytes(b"f" * 300)
    for number, why in enumerate((IMPORT, BY_HAND, TRAINING, IMPORT, IMPORT)):
        with project.write_lock(), project.open_mask("case0") as mask:
            mask.run(clear(Region(90, 90, 4 * (number + 1), 4), None))
        create_version(project, "case0", why)
    remove_models(project, ["m001"])
    remove_slides(project, ["case5"])
    return project


def _content(folder: Path) -> dict[str, str]:
    return {
        name: tree_checksum(folder / name) for name in ("masks", "contours", "models/m002") if (folder / name).exists()
    }


def test_dry_run_says_what_would_be_deleted_and_deletes_nothing(run_pathseg, crowded):
    before = set(list_files(crowded.folder))
    code, lines, _ = run_pathseg("clean", crowded.folder, "--dry-run")
    assert code == 0
    assert [line.split()[:2] for line in lines[1:3]] == [["1.0", "kB"], ["300", "B"]]
    assert lines[-1].startswith("Deleting that would free ")
    assert lines[-1].endswith("Nothing was deleted.")
    assert set(list_files(crowded.folder)) == before


def test_clean_frees_what_it_says_and_leaves_masks_contours_and_listed_models(run_pathseg, crowded):
    before, size = _content(crowded.folder), _disk(crowded.folder)
    said = json.loads(run_pathseg("clean", crowded.folder, "--dry-run", "--json")[1][-1])
    answer = json.loads(run_pathseg("clean", crowded.folder, "--json")[1][-1])
    assert answer == {**said, "deleted": True}
    assert [one["kind"] for one in answer["found"]] == ["runs", "features", "versions", "removed"]
    assert size - _disk(crowded.folder) == answer["bytes"]
    assert _content(crowded.folder) == before
    kept = [version.why for version in versions(crowded, "case0")]
    assert kept == [IMPORT, TRAINING, BY_HAND]
    assert (crowded.folder / "predictions" / "m002" / "case0.zarr").exists()
    assert not (crowded.folder / "predictions" / "m002" / "case5.zarr").exists()
    assert run_pathseg("clean", crowded.folder)[1] == ["There is nothing to clean up."]


def test_removed_model_keeps_its_history_but_cannot_be_brought_back_after_clean(run_pathseg, crowded):
    run_pathseg("clean", crowded.folder)
    project = Project.open(crowded.folder)
    assert (project.stored_models(), project.model_ids(), removed_models(project)) == (["m001", "m002"], ["m002"], [])
    code, _, said = run_pathseg("remove", project.folder, "--model", "m001", "--restore")
    assert (code, said) == (1, ['No model "m001" was removed from test.pathseg. Removed: none.'])


def test_interrupted_training_that_can_go_on_keeps_its_checkpoint(run_pathseg, crowded):
    (crowded.folder / "runs" / "r003").mkdir()
    for name in ("config.json", "checkpoint.safetensors"):
        shutil.copy(crowded.folder / "runs" / "r002" / name, crowded.folder / "runs" / "r003")
    run_pathseg("clean", crowded.folder)
    assert [path.parent.name for path in crowded.folder.glob("runs/*/checkpoint.safetensors")] == ["r003"]


def test_models_are_removed_and_restored_beside_slides(run_pathseg, crowded):
    answer = json.loads(run_pathseg("remove", crowded.folder, "--model", "m002", "--slide", "case1", "--json")[1][-1])
    assert (answer["removed_models"], answer["removed"]) == (["m001", "m002"], ["case5", "case1"])
    _, lines, _ = run_pathseg("remove", crowded.folder, "--model", "m002", "--slide", "case1", "--restore")
    assert lines == ["5 slides, 1 model. Removed: case5, m001; --restore brings them back."]


def test_clean_waits_for_the_program_that_holds_the_project(run_pathseg, crowded, holder):
    code, _, said = run_pathseg("clean", crowded.folder)
    assert code == 1
    assert "the window" in said[0]
    assert (crowded.folder / "features" / "case0").exists()


def test_features_folder_is_the_one_of_the_store():
    from napari_pathseg.engine import project_cleanup
    from napari_pathseg.engine.live.feature_store import FOLDER

    assert project_cleanup._FEATURES == FOLDER


def _disk(folder: Path) -> int:
    """Return the bytes of a folder's files, each counted once."""
    found = {path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return sum(found.values())
