"""A JSON file of a project in which any value is changed or missing is read, or refused in a sentence."""

import contextlib
import json
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from json_fuzz import changed

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.search_space import TuneRequest
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.engine.training.stored_run import load_stored_run
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.tuning import open_study
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.removed_slides import removed_slides
from napari_pathseg.projects.review_progress import describe_review
from napari_pathseg.projects.versions import versions

OLD_PROJECT = Path(__file__).parent / "old_project" / "project_0_1.zip"
FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much


def use_project(folder: Path) -> None:
    """Read what the window and the commands read of a project."""
    project = Project.open(folder)
    assert set(project.slides) == {record.id for record in project.slides.values()}
    removed_slides(project)
    describe_review(project)
    check(project)
    state = project.state
    for name in [name for name, kind in vars(type(state)).items() if isinstance(kind, property)]:
        getattr(state, name)
    project.save()  # what was read can be written


def use_bundle(folder: Path) -> None:
    bundle, other = (load_bundle(folder / "models" / name) for name in ("m001", "m002"))
    json.dumps(bundle.scores, allow_nan=False)
    if bundle.network != other.network:  # which takes a while, and works for `other`
        load_network(folder / "models" / "m001")


def use_study(folder: Path) -> None:
    request = TuneRequest.read(["ema_decay=0.9,0.95"], TrainConfig(), name="old")
    with open_study(Project.open(folder), request) as study:
        study.result().to_json()


def use_versions(folder: Path) -> None:
    for version in versions(Project.open(folder), "case5"):
        assert version.problem or version.counts is not None


def use_mask(folder: Path) -> None:
    with Project.open(folder).open_mask("case0") as mask:
        assert mask.counts.sum() >= 0


USERS = {
    "project.json": use_project,
    "models/m001/bundle.json": use_bundle,
    "runs/r004/config.json": lambda folder: load_stored_run(folder / "runs" / "r004"),
    "runs/r004/status.json": lambda folder: find_resumable_run(Project.open(folder)),
    "runs/tune-old/study.json": use_study,
    "versions/case5/1/version.json": use_versions,
    "masks/case0.zarr/zarr.json": use_mask,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with zipfile.ZipFile(OLD_PROJECT) as archive:
        archive.extractall(tmp_path_factory.mktemp("old"))
    return next(tmp_path_factory.getbasetemp().glob("old*/old.pathseg"))


@pytest.mark.parametrize("name", USERS)
def test_changed_value_is_read_or_refused_in_a_sentence(folder, name):
    path = folder / name
    intact = path.read_bytes()

    @settings(max_examples=40 * FUZZ, deadline=None)
    @given(changed(json.loads(intact)))
    def check_one(content):
        path.write_text(json.dumps(content))
        with contextlib.suppress(PathsegError):
            USERS[name](folder)

    try:
        check_one()
    finally:
        path.write_bytes(intact)
