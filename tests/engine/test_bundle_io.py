import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_pathseg.classes import class_table
from napari_pathseg.engine.bundle import check_classes, find_bundle, load_bundle, reserve_run
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.networks import unet_classic
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
    with pytest.raises(BundleError, match='"transformer" is not a network of this version. Choose one of unet'):
        load_network(bundle_folder)


def test_model_of_other_classes_is_refused(bundle_folder, tmp_path):
    project = Project.create(tmp_path / "p.pathseg", class_table([("Background", None), ("Necrosis", None)]))
    with pytest.raises(BundleError, match="the classes Background, Tumour; the project has Background, Necrosis"):
        check_classes(project, load_bundle(bundle_folder))


def test_network_with_a_further_class_computes_the_known_ones_as_before(bundle_folder):
    pixels = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        known = load_network(bundle_folder).eval()(pixels)
        extended = load_network(bundle_folder, 3).eval()(pixels)
    assert extended.shape[1] == 3
    assert torch.allclose(extended[:, :2], known, atol=1e-5)


def test_bundle_with_fields_of_a_newer_version_is_read(bundle_folder):
    path = bundle_folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "invented_later": 1}))
    assert load_bundle(bundle_folder).id == "m001"


def test_bundle_says_when_where_and_how_it_was_trained(trained):
    _, _, bundle = trained
    assert set(bundle.origin) == {"date", "versions", "machine", "command"}
    assert bundle.origin["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_project_without_models_says_so(tmp_path):
    with pytest.raises(BundleError, match=r"p\.pathseg has no model yet. Train one first"):
        find_bundle(Project.create(tmp_path / "p.pathseg"))


def test_runs_are_numbered_consecutively(tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    assert [reserve_run(project)[0] for _ in range(3)] == ["001", "002", "003"]


def change_bundle(folder, **network):
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    content["network"] |= network
    path.write_text(json.dumps(content))


def test_bundle_with_more_names_than_outputs_is_refused(bundle_folder):
    change_bundle(bundle_folder, classes=1)
    with pytest.raises(BundleError, match="it names 2 classes, and its network has 1 outputs"):
        load_bundle(bundle_folder)


@pytest.mark.parametrize(("name", "value"), [("channels", "x"), ("channels", 0), ("classes", 10**9), ("known", [0])])
def test_network_out_of_range_is_refused_by_the_name_of_the_value(bundle_folder, name, value):
    change_bundle(bundle_folder, **{name: value})
    with pytest.raises(BundleError, match=rf"is damaged: .* at network\.{name}"):
        load_bundle(bundle_folder)


def test_network_larger_than_its_file_is_never_allocated(bundle_folder, monkeypatch):
    change_bundle(bundle_folder, architecture="unet-classic", encoder="")
    real, filled = unet_classic._truncated_normal, []
    monkeypatch.setattr(unet_classic, "_truncated_normal", lambda w, d: filled.append(not w.is_meta) or real(w, d))
    with pytest.raises(BundleError, match="does not hold the weights of this network .it lacks"):
        load_network(bundle_folder)
    assert filled
    assert not any(filled)


def test_weights_that_are_not_finite_are_refused(bundle_folder):
    path = bundle_folder / "weights.safetensors"
    tensors = load_file(path)
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    tensors[name][0, 0, 0, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(BundleError, match=f"{name} has values that are not finite"):
        load_network(bundle_folder)
