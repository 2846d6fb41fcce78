"""A model that was written for other programs gives the model's answer, from raw pixels."""

import json
import sys
import zipfile
from dataclasses import asdict, replace

import bioimageio.spec
import numpy as np
import onnx
import pytest
import torch
from bundle_helpers import make_bundle

from napari_pathseg.cli import main
from napari_pathseg.engine.bundle import NetworkSpec, load_bundle
from napari_pathseg.engine.bundle_io import load_network, save_bundle, save_weights
from napari_pathseg.engine.exchange.export_formats import EXPORT_FORMATS
from napari_pathseg.engine.exchange.graphs import compare, run_onnx, run_torchscript
from napari_pathseg.engine.exchange.model_export import export_model
from napari_pathseg.engine.networks import build_network
from napari_pathseg.errors import BundleError
from napari_pathseg.geometry import Region
from napari_pathseg.storage.atomic import save_json

TILE = Region(0, 0, 192, 192)


@pytest.fixture(scope="module")
def model(trained):
    """The folder of a trained model, and its network."""
    project, _, bundle = trained
    folder = project.folder / "models" / bundle.id
    return folder, load_network(folder, weights=bundle.weights_for("")).eval()


@pytest.fixture(scope="module")
def tiles(trained):
    """A tile of each slide of the project, as raw RGB pixels (1, 3, rows, columns)."""
    project = trained[0]
    found = []
    for name in project.slides:
        with project.open_slide(name) as slide:
            found.append(np.ascontiguousarray(np.moveaxis(slide.read(TILE), -1, 0)[None]))
    return found


@torch.inference_mode()
def answer(network, tile):
    return network(torch.from_numpy(tile)).softmax(dim=1).numpy()


def make_model(folder, spec, **fields):
    """Write a model with random weights."""
    torch.manual_seed(0)
    save_weights(folder, build_network(spec).state_dict())
    classes = [{"name": name, "color": "#c80000"} for name in ("Background", "Tumour", "Stroma")[: spec.classes]]
    save_bundle(folder, make_bundle(folder.name, network=spec, classes=classes, **fields))
    return folder


def test_onnx_in_onnxruntime_gives_the_answer_of_the_model(model, tiles, tmp_path):
    path, card = export_model(model[0], "onnx", tmp_path)
    run = run_onnx(path)
    for tile in tiles:
        assert compare(answer(model[1], tile), run(tile)) == ""
    said = {each.key: each.value for each in onnx.load(path).metadata_props}
    assert json.loads(said["classes"]) == ["Background", "Tumour"]
    assert "research only" in card.read_text()


def test_torchscript_gives_the_answer_of_the_model(model, tiles, tmp_path):
    path, _ = export_model(model[0], "torchscript", tmp_path)
    run = run_torchscript(path)
    for tile in tiles:
        assert compare(answer(model[1], tile), run(tile)) == ""


def test_bioimageio_package_passes_its_validator_and_gives_the_answer_of_the_model(model, tiles, tmp_path):
    (path,) = export_model(model[0], "bioimageio", tmp_path)
    described = bioimageio.spec.load_model_description(path, perform_io_checks=True)
    assert described.validation_summary.status == "valid-format"
    assert described.format_version.startswith("0.5")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    unpacked = tmp_path / "unpacked"
    run = run_onnx(unpacked / described.weights.onnx.source.path)
    for tile in tiles:
        assert compare(answer(model[1], tile), run(tile)) == ""
    given, wanted = (np.load(unpacked / f"test_{name}.npy") for name in ("input", "output"))
    assert given.dtype == np.uint8
    assert compare(wanted, run(given)) == ""
    assert compare(answer(model[1], given), wanted) == ""


def test_package_says_what_the_model_was_made_for(model, tmp_path):
    folder = tmp_path / "m001"
    bundle = replace(load_bundle(model[0]), mpp=0.5)
    save_weights(folder, model[1].state_dict())
    save_bundle(folder, replace(bundle, last_pass=False))
    (path,) = export_model(folder, "bioimageio", tmp_path / "out")
    described = bioimageio.spec.load_model_description(path)
    axes = {axis.id: axis for axis in described.inputs[0].axes}
    assert (axes["x"].scale, axes["x"].unit) == (0.5, "micrometer")
    assert described.outputs[0].axes[1].channel_names == ["Background", "Tumour"]
    with zipfile.ZipFile(path) as archive:
        card, attached = archive.read("README.md").decode(), json.loads(archive.read("bundle.json"))
    assert "0.5 µm per pixel" in card
    assert "measured on" in card
    assert not {"machine", "command"} & attached["origin"].keys()


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec("segformer", "mit_b0", 3),
        NetworkSpec("features+linear", "tf_efficientnet_lite0", 3, known=(1, 3)),
        NetworkSpec("deeplabv3plus", "resnet18", 2),
    ],
    ids=lambda spec: spec.architecture,
)
def test_other_networks_are_written_as_onnx(spec, tmp_path, tiles):
    folder = make_model(tmp_path / "m001", spec)
    path, _ = export_model(folder, "onnx", tmp_path)
    assert compare(answer(load_network(folder).eval(), tiles[0]), run_onnx(path)(tiles[0])) == ""


def test_vision_transformer_is_torchscript_but_not_onnx(tmp_path, tiles, capfd):
    folder = make_model(tmp_path / "m001", NetworkSpec("unet", "vit_tiny_patch16_224", 2))
    with pytest.raises(BundleError, match=r"cannot be written as ONNX.*Use another format"):
        export_model(folder, "onnx", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert "graph" not in capfd.readouterr().out
    (path,) = export_model(folder, "bioimageio", tmp_path / "out")
    weights = bioimageio.spec.load_model_description(path).weights
    assert (weights.onnx, weights.torchscript is not None) == (None, True)


@pytest.mark.parametrize(
    ("spec", "config", "reason"),
    [
        (NetworkSpec("unet", "resnet18", 2, context=True), {}, "surroundings of each tile"),
        (NetworkSpec("unet", "resnet18", 2), {"stain_norm": "macenko"}, "stain_norm macenko"),
    ],
)
def test_model_that_sees_more_than_a_tile_is_refused(spec, config, reason, tmp_path):
    folder = make_model(tmp_path / "m001", spec, config=config)
    for name in EXPORT_FORMATS:
        with pytest.raises(BundleError, match=reason):
            export_model(folder, name, tmp_path / "out")


def test_weights_that_learnt_what_was_held_out_are_the_ones_that_are_written(tmp_path, tiles):
    spec = NetworkSpec("unet", "resnet18", 2)
    folder = make_model(tmp_path / "m001", spec)
    torch.manual_seed(1)
    save_weights(folder, build_network(spec).state_dict(), "weights_all.safetensors")
    bundle = replace(load_bundle(folder), last_pass=True, train=["a"], val=["b"])
    save_json(folder / "bundle.json", asdict(bundle) | {"network": spec.to_json()})
    path, _ = export_model(folder, "onnx", tmp_path / "out")
    network = load_network(folder, weights="weights_all.safetensors").eval()
    assert compare(answer(network, tiles[0]), run_onnx(path)(tiles[0])) == ""


def test_missing_library_is_one_sentence_with_the_command(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BundleError, match=r'^onnx is not installed. Run: pip install "napari-pathseg\[export\]"$'):
        export_model(model[0], "onnx", tmp_path)
    with pytest.raises(BundleError, match="^onnx is not installed"):
        export_model(model[0], "bioimageio", tmp_path)


def test_command_exports_a_model_of_a_project_or_its_folder(trained, model, tmp_path, capsys):
    project, _, bundle = trained
    assert main(["export-model", str(project.folder), "--format", "torchscript", "--out", str(tmp_path)]) == 0
    assert (tmp_path / f"{bundle.id}.pt").exists()
    assert main(["export-model", str(model[0]), "--format", "onnx", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 files written."
