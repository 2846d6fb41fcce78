"""A model that is taken in predicts as it did, and no file of strangers does harm."""

import json
import os
import pickle
import shutil
import stat
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from bundle_helpers import make_bundle
from safetensors.torch import save_file
from segmentation_models_pytorch import Unet

from napari_pathseg.classes import class_table
from napari_pathseg.cli import main
from napari_pathseg.engine.bundle import NetworkSpec, find_bundle, load_bundle
from napari_pathseg.engine.bundle_io import load_network, save_bundle, save_weights
from napari_pathseg.engine.exchange import stranger_files
from napari_pathseg.engine.exchange.graphs import compare, example_picture
from napari_pathseg.engine.exchange.model_card import IMPORTED
from napari_pathseg.engine.exchange.model_export import export_model
from napari_pathseg.engine.exchange.model_import import import_model
from napari_pathseg.engine.networks import build_network
from napari_pathseg.errors import BundleError, PathsegError
from napari_pathseg.projects.model_weights import WEIGHTS
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import load_json, save_json

PICTURE = example_picture(128)


@pytest.fixture
def other(tmp_path):
    """A project without slides or models, of the usual classes."""
    return Project.create(tmp_path / "other.pathseg")


@pytest.fixture(scope="module")
def source(trained):
    project, _, bundle = trained
    return project.folder / "models" / bundle.id


@torch.inference_mode()
def answer(network):
    return network.eval()(torch.from_numpy(PICTURE)).softmax(dim=1).numpy()


def zipped(folder, path, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"{top}{file.name}")
    return path


def assert_same_answer(project, model, source):
    bundle = load_bundle(source)
    wanted = answer(load_network(source, weights=bundle.weights_for("")))
    assert compare(wanted, answer(load_network(find_bundle(project, model)))) == ""


def test_bundle_is_taken_in_as_folder_and_as_zip_file(other, source, tmp_path):
    kinds = (source, zipped(source, tmp_path / "a.zip"), zipped(source, tmp_path / "b.zip", "m001/"))
    assert [import_model(other, each) for each in kinds] == ["m001", "m002", "m003"]
    for model in ("m001", "m002", "m003"):
        assert_same_answer(other, model, source)


def test_exported_package_comes_back_as_the_same_model(other, source, tmp_path):
    (package,) = export_model(source, "bioimageio", tmp_path)
    assert_same_answer(other, import_model(other, package), source)


def test_imported_model_keeps_its_lineage_and_what_it_has_learnt(other, source):
    former = load_bundle(source)
    model = load_bundle(find_bundle(other, import_model(other, source)))
    assert model.origin[IMPORTED]["model"] == former.id
    assert set(former.train) <= set(model.train)
    assert (model.parent, model.val, model.held_out) == (None, [], {})
    assert model.scores == former.scores
    card = (find_bundle(other) / "model_card.md").read_text(encoding="utf8")
    assert f"| Imported | model {former.id}, trained from no other model" in card


def test_command_predicts_with_an_imported_model(project, source, tmp_path, capsys):
    assert main(["import-model", str(project.folder), str(zipped(source, tmp_path / "a.zip"))]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "m001 was imported and is the current model."
    assert main(["predict", str(project.folder), "--slide", "case5"]) == 0
    assert project.find_prediction("m001", "case5") is not None


def test_model_of_another_pixel_size_warns_when_imported_and_when_it_predicts(project, source, tmp_path, capsys):
    copy = tmp_path / "m001"
    shutil.copytree(source, copy)
    save_json(copy / "bundle.json", {**load_json(copy / "bundle.json"), "mpp": 0.25})
    warning = "m001 was made for 0.25 µm per pixel, and this project predicts at 1 µm per pixel. Use it in a project"
    assert main(["import-model", str(project.folder), str(copy)]) == 0
    assert warning in capsys.readouterr().err
    assert main(["predict", str(project.folder), "--slide", "case5"]) == 0
    assert warning in capsys.readouterr().err


def test_model_of_other_classes_is_refused(tmp_path, source):
    project = Project.create(tmp_path / "p.pathseg", class_table([("Background", None), ("Gland", None)]))
    with pytest.raises(BundleError, match=r"has the classes Background, Tumour; .* --class Background --class Tumour"):
        import_model(project, source)
    assert project.model_ids() == []


# -- packages of others


def describe(folder, **changes):
    """Write a description of a U-Net of others, with `changes` of its parts."""
    space = [{"type": "space", "id": each, "size": 64, "unit": "micrometer", "scale": 0.5} for each in "yx"]
    channels = {"type": "channel", "id": "channel", "channel_names": ["Background", "Tumour"]}
    normalise = {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": [100, 110, 120], "std": [50, 60, 70]}}
    architecture = {"callable": "Unet", "import_from": "segmentation_models_pytorch"}
    architecture["kwargs"] = {"encoder_name": "resnet18", "classes": 2}
    content = {
        "name": "a network of others",
        "format_version": "0.5.4",
        "inputs": [{"axes": [{"type": "batch"}, *space], "preprocessing": changes.get("steps", [normalise])}],
        "outputs": [{"axes": [{"type": "batch"}, changes.get("channels", channels), *space]}],
        "weights": {
            "pytorch_state_dict": {
                "source": changes.get("source", "w.safetensors"),
                "architecture": {**architecture, **changes.get("architecture", {})},
            }
        },
    }
    (folder / "rdf.yaml").write_text(json.dumps(content))  # which is YAML, too


@pytest.fixture
def foreign(tmp_path):
    """A bioimage.io package of a U-Net by its own library, and that network."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    torch.manual_seed(0)
    network = Unet("resnet18", encoder_weights=None, classes=2).eval()
    save_file(network.state_dict(), folder / "w.safetensors")
    describe(folder)
    return folder, network


@pytest.mark.parametrize("kind", ["safetensors", "torch file"])
def test_package_of_a_known_network_answers_as_it_does_in_its_own_library(kind, other, foreign):
    folder, network = foreign
    if kind == "torch file":
        torch.save({"state_dict": network.state_dict()}, folder / "w.pth")
        describe(folder, source="w.pth")
    bundle = find_bundle(other, import_model(other, folder))
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in ([100, 110, 120], [50, 60, 70]))
    with torch.inference_mode():
        wanted = network(torch.from_numpy((PICTURE - mean) / std).float()).softmax(dim=1).numpy()
    assert compare(wanted, answer(load_network(bundle))) == ""
    assert load_bundle(bundle).mpp == 0.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": "https://example.org/w.pth"}, "nothing is downloaded"),
        ({"source": "../../w.pth"}, "leads out of it"),
        ({"source": "/etc/passwd"}, "leads out of it"),
        ({"source": "C:\\w.pth"}, "leads out of it"),
        ({"source": "absent.pth"}, "lacks absent.pth"),
        ({"architecture": {"callable": "os.system"}}, 'network "system" is unknown here'),
        ({"architecture": {"kwargs": {"encoder_name": "https://x/y"}}}, "is not an encoder"),
        ({"architecture": {"kwargs": {"encoder_name": "resnet34"}}}, "does not hold the weights of this network"),
        ({"architecture": {"kwargs": {"encoder_name": "resnet18", "in_channels": 4}}}, "takes 4 channels"),
        ({"steps": [{"id": "zero_mean_unit_variance"}]}, "prepares its input by"),
        ({"steps": [{"id": "scale_linear", "kwargs": {"gain": 0.0}}]}, "not finite, or zero"),
        ({"steps": [{"id": "scale_linear", "kwargs": {"gain": [1, 2]}}]}, "one number or three"),
        ({"channels": {"type": "channel", "channel_names": ["a"]}}, "1 named channels"),
        ({"channels": {"type": "channel", "channel_names": ["a"] * 10_000}}, "10000 named channels"),
        ({"channels": {"type": "channel", "channel_names": ["Background", "Tumour", "x"]}}, "has the classes"),
    ],
)
def test_package_that_does_not_fit_is_refused_with_a_sentence(changes, reason, other, foreign):
    describe(foreign[0], **changes)
    with pytest.raises(PathsegError, match=reason) as refused:
        import_model(other, foreign[0])
    assert "\n" not in str(refused.value)
    assert other.model_ids() == []
    assert list((other.folder / "runs").glob("*")) == []


def test_pickled_program_is_not_run(other, foreign, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    torch.save({"state_dict": Bomb()}, foreign[0] / "w.pth")
    (foreign[0] / "plain.pth").write_bytes(pickle.dumps(Bomb()))
    for source in ("w.pth", "plain.pth"):
        describe(foreign[0], source=source)
        with pytest.raises(BundleError, match=r"more than tensors|not a torch file"):
            import_model(other, foreign[0])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "a: !!python/object/apply:os.mkdir [run]",
        "[" * 5_000,
        "a: \x00",
        "weights: 3",
        "",
    ],
)
def test_hostile_description_is_refused(text, other, foreign):
    (foreign[0] / "rdf.yaml").write_text(text)
    with pytest.raises(BundleError):
        import_model(other, foreign[0])


# -- archives and bundles


def entry(name, mode=0o644):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("name", ["../m.json", "/m.json", "a/../../m.json", "..\\m.json", "C:\\m.json"])
def test_archive_with_a_path_that_leads_out_is_refused(name, other, source, tmp_path):
    path = zipped(source, tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry(name), "{}")
    with pytest.raises(BundleError, match=r"leads out of it\. It is not opened\.$"):
        import_model(other, path)
    assert not list(tmp_path.rglob("m.json"))


def test_archive_with_a_link_is_refused(other, source, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(source / "bundle.json", "bundle.json")
        archive.writestr(entry(WEIGHTS, stat.S_IFLNK | 0o777), "/etc/passwd")
    with pytest.raises(BundleError, match=f"{WEIGHTS} is a link"):
        import_model(other, path)


def test_folder_with_a_link_is_refused(other, source, tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    shutil.copy(source / "bundle.json", folder)
    (folder / WEIGHTS).symlink_to(source / WEIGHTS)
    with pytest.raises(BundleError, match=f"{WEIGHTS} is a link"):
        import_model(other, folder)


def test_zip_bomb_is_not_unpacked(other, source, tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source / "bundle.json", "bundle.json")
        archive.writestr(WEIGHTS, bytes(32 << 20))
        archive.writestr(WEIGHTS.replace("weights", "weights_all"), bytes(32 << 20))
    with pytest.raises(BundleError, match="34 MB unpacked, more than 100 times what it takes"):
        import_model(other, path)
    monkeypatch.setattr(stranger_files, "_MAX_ENTRIES", 2)
    with pytest.raises(BundleError, match="has 3 files"):
        import_model(other, path)


def test_archive_that_states_a_smaller_size_is_refused(other, source, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(source / "bundle.json", "bundle.json")
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24  # the size in the directory
    content[place : place + 4] = (5).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(BundleError, match="is damaged"):
        import_model(other, path)


def test_bundle_whose_weights_are_of_another_shape_is_refused_without_memory_for_them(other, source, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(source, folder)
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 0]}}).encode()
    for file in folder.glob("*.safetensors"):
        file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(BundleError, match="does not hold the weights of this network"):
        import_model(other, folder)


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"architecture": "unet", "encoder": "tf_efficientnet_lite0", "classes": 10**9}},
        {"network": {"architecture": "evil", "encoder": "", "classes": 2}},
        {"classes": []},
        {"format": 99},
        {"mpp": -1},
        {"id": "../../x"},
    ],
)
def test_damaged_bundle_is_refused(change, other, source, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(source, folder)
    save_json(folder / "bundle.json", {**load_json(folder / "bundle.json"), **change})
    with pytest.raises(PathsegError) as refused:
        import_model(other, folder)
    assert str(tmp_path.parent / "tmp") not in str(refused.value)
    assert other.model_ids() == []


def test_weights_that_are_not_finite_are_refused(other, tmp_path, source):
    network = load_network(source)
    tensors = {name: tensor * float("nan") for name, tensor in network.state_dict().items()}
    save_weights(tmp_path / "m", tensors)
    save_bundle(tmp_path / "m", replace(load_bundle(source), last_pass=False))
    with pytest.raises(BundleError, match="not finite"):
        import_model(other, tmp_path / "m")


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 broken"])
def test_other_files_are_refused(content, other, tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"is neither the folder of a model nor a zip file of one|damaged"):
        import_model(other, path)
    with pytest.raises(BundleError, match="could not be read"):
        import_model(other, tmp_path / "absent.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="so it is no model"):
        import_model(other, tmp_path / "empty")


def test_last_pass_is_what_travels(other, tmp_path):
    spec, folder = NetworkSpec("unet", "resnet18", 2), tmp_path / "m001"
    for seed, name in enumerate((WEIGHTS, "weights_all.safetensors")):
        torch.manual_seed(seed)
        save_weights(folder, build_network(spec).state_dict(), name)
    bundle = make_bundle(network=spec, last_pass=True, train=["a"], val=["b"])
    save_json(folder / "bundle.json", asdict(bundle) | {"network": spec.to_json()})
    model = import_model(other, folder)
    assert_same_answer(other, model, folder)
    assert load_bundle(find_bundle(other, model)).train == ["a", "b"]
