import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network, weights_hub
from napari_pathseg.engine.networks.weights import lite0_weights
from napari_pathseg.errors import BundleError

LITE0 = NetworkSpec("unet", "tf_efficientnet_lite0", 3)
RESNET = NetworkSpec("unet", "resnet18", 2)


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(5)
    return build_network(RESNET)


def test_lite0_loads_the_published_weights():
    weights, model = lite0_weights(), build_network(LITE0, "imagenet").net.encoder.model.state_dict()
    assert len(weights) == 296
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.items())


def test_encoder_without_weights_is_random():
    stem = "conv_stem.weight"
    assert not torch.equal(build_network(LITE0).net.encoder.model.state_dict()[stem], lite0_weights()[stem])


@pytest.mark.parametrize("prefix", ["", "encoder.", "module.model.", "backbone."])
def test_weights_load_whatever_prefix_their_names_have(resnet, tmp_path, prefix):
    weights = {f"{prefix}{name}": tensor.half() for name, tensor in resnet.encoder.state_dict().items()}
    weights["fc.weight"] = torch.zeros(1000, 512)  # a classifier, which a segmentation has no use for
    path = tmp_path / "resnet.safetensors"
    save_file(weights, path)
    started = build_network(RESNET, str(path)).encoder.state_dict()
    assert all(torch.equal(tensor.half(), started[name].half()) for name, tensor in resnet.encoder.state_dict().items())
    assert started["conv1.weight"].dtype == torch.float32


def test_weights_of_another_encoder_are_refused_by_name(resnet, tmp_path):
    path = tmp_path / "lite0.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in lite0_weights().items()}, path)
    with pytest.raises(
        BundleError, match="not those of resnet18: 0 of its 100 tensors fit; missing: conv1.weight.*found: "
    ):
        build_network(RESNET, str(path))


def test_weights_of_a_wider_encoder_are_refused(resnet, tmp_path):
    weights = {name: torch.zeros(*tensor.shape, 2) for name, tensor in resnet.encoder.state_dict().items()}
    save_file(weights, tmp_path / "wide.safetensors")
    with pytest.raises(BundleError, match="wrong shape: conv1.weight"):
        build_network(RESNET, str(tmp_path / "wide.safetensors"))


def test_torch_file_of_tensors_alone_loads(resnet, tmp_path):
    torch.save(resnet.encoder.state_dict(), tmp_path / "resnet.pth")
    started = build_network(RESNET, str(tmp_path / "resnet.pth")).encoder.state_dict()
    assert all(torch.equal(tensor, started[name]) for name, tensor in resnet.encoder.state_dict().items())


def test_torch_file_of_more_than_tensors_is_refused_before_anything_in_it_runs(resnet, tmp_path):
    torch.save(resnet.encoder, tmp_path / "resnet.pth")
    with pytest.raises(BundleError, match=r"resnet.pth asks for .*, which is more than tensors.*state_dict"):
        build_network(RESNET, str(tmp_path / "resnet.pth"))


@pytest.mark.parametrize("content", [b"", b"no weights at all, only some text"])
def test_damaged_weights_file_is_refused(tmp_path, content):
    path = tmp_path / "resnet.safetensors"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="is not a safetensors file"):
        build_network(RESNET, str(path))


def test_missing_weights_file_is_named():
    with pytest.raises(BundleError, match='Weights "imagnet" do not exist. Give imagenet, none, or a'):
        build_network(RESNET, "imagnet")


@pytest.mark.parametrize(
    ("spec", "name"), [(RESNET, "resnet18"), (NetworkSpec("unet", "mobilenetv3_small_050", 2), "mobilenetv3_small_050")]
)
def test_unreachable_hub_is_reported_without_the_long_retries(monkeypatch, tmp_path, spec, name):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # no server listens there
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    look_up, local_only = weights_hub.hf_hub_download, []

    def spy(*args, **options):
        local_only.append(options.get("local_files_only", False))
        return look_up(*args, **options)

    monkeypatch.setattr(weights_hub, "hf_hub_download", spy)
    with pytest.raises(BundleError, match=f"{name} could not be downloaded .* Set weights to a file, or to none"):
        build_network(spec, "imagenet")
    assert local_only == [True]  # the hub's client, which retries for half a minute, was not asked to download
