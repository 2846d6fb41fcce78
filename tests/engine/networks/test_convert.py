import os
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.convert import convert_weights
from napari_pathseg.errors import BundleError

TENSORS = {
    "float": torch.rand(3, 4),
    "half": torch.rand(5).half(),
    "bfloat": torch.rand(2, 2).bfloat16(),
    "counter": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "turned": torch.rand(4, 3).T,
    "part": torch.rand(10)[3:6],
    "empty": torch.zeros(0, 3),
    "parameter": torch.nn.Parameter(torch.rand(2)),
}


def convert(tmp_path, content, **options):
    torch.save(content, tmp_path / "in.pth", **options)
    convert_weights(tmp_path / "in.pth", tmp_path / "out.safetensors")
    return load_file(tmp_path / "out.safetensors")


@pytest.mark.parametrize("nest", [None, "state_dict", "model"])
def test_converted_tensors_equal_the_originals(tmp_path, nest):
    checkpoint = TENSORS if nest is None else {nest: TENSORS, "epoch": 3, "rates": [0.1, None], "best": (1, 2, 3, 4)}
    found = convert(tmp_path, checkpoint)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_optimizer_state_beside_the_weights_is_ignored(tmp_path):
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    found = convert(tmp_path, {"state_dict": layer.state_dict(), "optimizer": optimizer.state_dict()})
    assert torch.equal(found["weight"], layer.weight)


def test_converted_weights_load_into_a_network(tmp_path):
    spec = NetworkSpec("unet", "resnet18", 2)
    source = build_network(spec).encoder.state_dict()
    convert(tmp_path, source)
    started = build_network(spec, str(tmp_path / "out.safetensors")).encoder.state_dict()
    assert all(torch.equal(tensor, started[name]) for name, tensor in source.items())


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
def test_malicious_file_is_refused_and_not_executed(tmp_path, protocol):
    trace = tmp_path / "trace"
    evil = {"a": torch.zeros(1), "b": Evil(os.system, f"touch {trace}")}
    with pytest.raises(BundleError, match=r"asks for (posix|nt)\.system, which is more than tensors"):
        convert(tmp_path, evil, pickle_protocol=protocol)
    assert not trace.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_pickled_network_is_refused_by_its_class(tmp_path):
    with pytest.raises(BundleError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        convert(tmp_path, torch.nn.Linear(2, 2))


def test_format_before_torch_1_6_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"from before torch 1\.6"):
        convert(tmp_path, TENSORS, _use_new_zipfile_serialization=False)


def test_file_without_tensors_is_refused(tmp_path):
    with pytest.raises(BundleError, match="holds no tensors by name"):
        convert(tmp_path, {"epoch": 3})


@pytest.mark.parametrize("cut", ["data/0", "data.pkl"])
def test_damaged_torch_file_is_refused(tmp_path, cut):
    torch.save({"a": torch.rand(100)}, tmp_path / "whole.pth")
    with zipfile.ZipFile(tmp_path / "whole.pth") as whole, zipfile.ZipFile(tmp_path / "in.pth", "w") as damaged:
        for name in whole.namelist():
            content = whole.read(name)
            damaged.writestr(name, content[: len(content) // 2] if name.endswith(cut) else content)
    with pytest.raises(BundleError, match=r"in\.pth is damaged"):
        convert_weights(tmp_path / "in.pth", tmp_path / "out.safetensors")


def test_missing_torch_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"nowhere\.pth could not be read"):
        convert_weights(tmp_path / "nowhere.pth", tmp_path / "out.safetensors")


def test_target_must_end_in_safetensors(tmp_path):
    torch.save(TENSORS, tmp_path / "in.pth")
    with pytest.raises(BundleError, match="does not end in .safetensors"):
        convert_weights(tmp_path / "in.pth", tmp_path / "out.pth")
