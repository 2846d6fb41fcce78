"""The encoder that the live model uses."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from napari_pathseg.config import LiveConfig
from napari_pathseg.engine.events import LiveStatus, LiveTile
from napari_pathseg.engine.live.encoder_choice import chosen_encoder
from napari_pathseg.engine.live.live_model import LiveModel
from napari_pathseg.errors import BundleError, ConfigError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project_state import TrainingChoices

LITE0 = ("tf_efficientnet_lite0", "imagenet")


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({}, LITE0),
        ({"encoder": "resnet34"}, ("resnet34", "imagenet")),
        ({"encoder": "resnet34", "weights": "none"}, ("resnet34", "imagenet")),
        ({"encoder": "resnet34", "weights": "/w.safetensors"}, ("resnet34", "/w.safetensors")),
        ({"architecture": "fcn8s", "encoder": "resnet34", "weights": "/vgg.safetensors"}, LITE0),
    ],
)
def test_project_is_the_encoder_of_the_training_settings(project, training, expected):
    project.state.training_choices = TrainingChoices(training)
    assert chosen_encoder(project, "project") == expected


def test_name_is_that_encoder_with_its_published_weights(project):
    assert chosen_encoder(project, "resnet50") == ("resnet50", "imagenet")


@pytest.mark.parametrize(
    ("former", "encoder"),
    [
        ({"encoder": "tf_efficientnet_lite0", "weights": "imagenet"}, "project"),
        ({"encoder": "resnet18", "weights": "imagenet"}, "resnet18"),
        ({"encoder": "resnet18", "weights": "/w.safetensors"}, "resnet18=/w.safetensors"),
        ({"weights": "/w.safetensors", "memory_gb": 2.0}, "/w.safetensors"),
        ({"encoder": "resnet18", "weights": "none"}, "resnet18"),
        ({"memory_gb": 2.0}, "project"),
    ],
)
def test_settings_from_when_weights_were_a_setting_of_their_own_are_read(former, encoder):
    assert LiveConfig.known(former).encoder == LiveConfig.from_json(former).encoder == encoder


def test_encoder_of_former_settings_names_that_of_a_file_which_no_shape_tells(project, tmp_path):
    tensors = timm.create_model("regnety_002", pretrained=False).state_dict()
    save_file(tensors, tmp_path / "weights.safetensors")
    former = {"encoder": "regnety_002", "weights": str(tmp_path / "weights.safetensors")}
    found = chosen_encoder(project, LiveConfig.known(former).encoder)
    assert found == ("regnety_002", str(tmp_path / "weights.safetensors"))
    with pytest.raises(BundleError, match="does not say whose weights"):
        chosen_encoder(project, former["weights"])


def test_file_with_an_equals_sign_in_its_name_is_that_file(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), "a=b.safetensors")
    assert chosen_encoder(project, "a=b.safetensors") == ("resnet18", "a=b.safetensors")
    assert chosen_encoder(project, str(tmp_path / "a=b.safetensors"))[0] == "resnet18"


def test_present_settings_are_read_as_they_were_written():
    for config in (LiveConfig(), LiveConfig(encoder="tf_efficientnet_lite0"), LiveConfig(encoder="/w.pth")):
        assert LiveConfig.from_json(config.to_json()) == config


def test_empty_encoder_is_refused():
    with pytest.raises(ConfigError, match="encoder is empty; it must be project, a file of weights or the name of"):
        LiveConfig(encoder="")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_live_model_follows_with_a_vision_transformer_from_a_file(project, tmp_path, suffix):
    torch.manual_seed(0)
    weights, path = timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict(), tmp_path / f"a{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    model, events = LiveModel(project, LiveConfig(encoder=str(path))), []
    model.show("case5", Region(0, 0, 192, 192), 1)
    while not model.idle:
        events += model.work(background=True)
    assert [event for event in events if isinstance(event, LiveStatus)][-1].ready
    assert any(isinstance(event, LiveTile) for event in events)
    (key,) = (project.folder / "features" / "case5").iterdir()
    assert any(key.iterdir())
    model.close()


def test_file_that_is_not_recognised_is_one_sentence_and_live_rests(project, tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "a.safetensors")
    model = LiveModel(project, LiveConfig(encoder=str(tmp_path / "a.safetensors")))
    (status,) = (event for event in model.work(background=True) if isinstance(event, LiveStatus))
    assert (status.ready, status.warning) == (False, True)
    assert "does not say whose weights it holds" in status.text
    assert model.idle


def test_file_that_is_gone_is_named(project, tmp_path):
    with pytest.raises(BundleError, match='Weights ".*lost.pth" do not exist'):
        chosen_encoder(project, str(tmp_path / "lost.pth"))
