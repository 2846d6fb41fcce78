"""Whose weights a file holds."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.recognition import recognized_encoder
from napari_pathseg.engine.networks.weights import lite0_weights
from napari_pathseg.errors import BundleError

VIT = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def vit():
    return timm.create_model(VIT, pretrained=False).state_dict()


@pytest.mark.parametrize(
    "name", [f"{VIT}.safetensors", f"my-{VIT}.augreg_in21k.safetensors", f"timm_{VIT}/model.safetensors"]
)
def test_file_is_recognised_by_its_name_or_that_of_its_folder(vit, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    save_file(vit, path)
    assert recognized_encoder(path) == VIT


@pytest.mark.parametrize("name", ["mit_b0", "regnety_002"])
def test_encoder_that_is_not_common_is_recognised_by_its_name(tmp_path, name):
    tensors = build_network(NetworkSpec("features+linear", name, 2)).encoder.state_dict()
    save_file(tensors, tmp_path / f"{name}.safetensors")
    assert recognized_encoder(tmp_path / f"{name}.safetensors") == name


def test_file_is_recognised_by_its_header(tmp_path, vit):
    save_file(vit, tmp_path / "a.safetensors", {"encoder": VIT})
    assert recognized_encoder(tmp_path / "a.safetensors") == VIT


def test_file_is_recognised_by_what_timm_writes_beside_it(tmp_path):
    model = timm.create_model("eva02_tiny_patch14_224", pretrained=False)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "eva02_tiny_patch14_224"}))
    assert recognized_encoder(tmp_path / "model.safetensors") == "eva02_tiny_patch14_224"


@pytest.mark.parametrize("encoder", [VIT, "vit_small_patch14_reg4_dinov2", "tf_efficientnet_lite0", "resnet18"])
def test_common_encoder_is_recognised_by_its_shapes_alone(tmp_path, encoder):
    tensors = build_network(NetworkSpec("features+linear", encoder, 2)).encoder.state_dict()
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "a.safetensors")
    assert recognized_encoder(tmp_path / "a.safetensors") == encoder


def test_torch_file_is_recognised_too(tmp_path, vit):
    torch.save(vit, tmp_path / "a.pth")
    assert recognized_encoder(tmp_path / "a.pth") == VIT


def test_name_of_another_encoder_does_not_mislead(tmp_path, vit):
    save_file(vit, tmp_path / "resnet18.safetensors")
    assert recognized_encoder(tmp_path / "resnet18.safetensors") == VIT


def test_unknown_tensors_are_refused_with_what_to_do(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"layer.weight": torch.zeros(3)}, path)
    with pytest.raises(BundleError) as refused:
        recognized_encoder(path)
    assert str(refused.value) == (
        f"{path} does not say whose weights it holds, and no common encoder has such tensors (layer.weight). Rename it "
        "after its encoder, such as vit_small_patch16_224.safetensors."
    )


def test_tensors_that_do_not_fit_the_encoder_in_the_name_are_named(tmp_path):
    weights = timm.create_model(VIT, pretrained=False, depth=16).state_dict()
    save_file(weights, tmp_path / f"{VIT}.safetensors")
    with pytest.raises(BundleError, match=f"are not those of {VIT}: .*found: blocks.12"):
        recognized_encoder(tmp_path / f"{VIT}.safetensors")


@pytest.mark.parametrize("text", ["[" * 10_000, '"vit_tiny_patch16_224"', '{"architecture": 3}', "\x00"])
def test_odd_description_beside_a_file_is_ignored(tmp_path, text):
    save_file({name: tensor.contiguous() for name, tensor in lite0_weights().items()}, tmp_path / "m.safetensors")
    (tmp_path / "config.json").write_text(text)
    assert recognized_encoder(tmp_path / "m.safetensors") == "tf_efficientnet_lite0"
