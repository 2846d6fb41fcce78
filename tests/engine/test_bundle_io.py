import json
import shutil

import pytest
import torch

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.engine.bundle import check_classes, find_bundle, load_bundle, reserve_run
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.errors import BundleError
from napari_pathseg.projects.project import Project


@pytest.fixture
def bundle_folder(trained, tmp_path):
    project, _, _ = trained
    return shutil.copytree(project.folder / "models" / "m001", tmp_path / "m001")


def test_network_computes_the_same_each_time_it_is_loaded(bundle_folder):
    pixels = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        first, second = (load_network(bundle_folder).eval()(pixels) for _ in range(2))
    assert torch.equal(first, second)


def test_folder_without_a_bundle_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"is not a trained model: it has no bundle\.json"):
        load_bundle(tmp_path)


def test_truncated_weights_are_refused(bundle_folder):
    path = bundle_folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BundleError, match=r"weights\.safetensors does not hold the weights"):
        load_network(bundle_folder)


def test_bundle_of_a_newer_version_is_refused(bundle_folder):
    path = bundle_folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(BundleError, match="has format 2; this version reads format 1"):
        load_bundle(bundle_folder)


def test_unknown_network_is_refused_with_the_known_ones(bundle_folder):
    path = bundle_folder / "bundle.json"
    content = json.loads(path.read_text())
    content["network"]["architecture"] = "transformer"
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match='"transformer" is not a network of this version. It knows: unet'):
        load_network(bundle_folder)


def test_model_of_other_classes_is_refused(bundle_folder, tmp_path):
    project = Project.create(tmp_path / "p.pathseg", DEFAULT_CLASSES.add("Necrosis"))
    with pytest.raises(
        BundleError, match="the classes Background, Tumour; the project has Background, Tumour, Necrosis"
    ):
        check_classes(project, load_bundle(bundle_folder))


def test_project_without_models_says_so(tmp_path):
    with pytest.raises(BundleError, match=r"p\.pathseg has no model yet. Train one first"):
        find_bundle(Project.create(tmp_path / "p.pathseg"))


def test_runs_are_numbered_consecutively(tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    assert [reserve_run(project)[0] for _ in range(3)] == ["001", "002", "003"]
