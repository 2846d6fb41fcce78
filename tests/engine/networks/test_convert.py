import os
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks import convert as convert_module
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
    with pytest.raises(BundleError, match="contains no named tensors"):
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


def write_torch_file(path, pickle, storage=b"\0" * 16, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/data/0", storage)
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)


TENSOR = "ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0{}X\x03\0\0\0cpuK\x04tQ"


def pickled(shape="K\x04\x85", stride="K\x01\x85", offset="K\0", key="0", name="X\x01\0\0\0a", storage=STORAGE):
    """Return the pickle of a dictionary with one tensor, protocol 2."""
    arguments = storage.format(key) + offset + shape + stride
    return f"\x80\x02}}{name}{TENSOR}({arguments}tRs.".encode("latin1")


def test_smallest_torch_file_is_converted(tmp_path):
    write_torch_file(tmp_path / "in.pth", pickled())
    convert_weights(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert torch.equal(load_file(tmp_path / "out.safetensors")["a"], torch.zeros(4))


INT64_MAX = "\x8a\x08" + "\xff" * 7 + "\x7f"
DAMAGED = {
    "empty": b"",
    "only a stop": b".",
    "unknown opcode": b"\x80\x02\xff.",
    "number cut short": b"\x80\x02J\0",
    "tuple without a mark": b"\x80\x02t.",
    "tuple of too few": b"\x80\x02N\x87.",
    "memo of an unknown object": b"\x80\x02h\x09.",
    "memo of nothing": b"\x80\x02q\x00.",
    "append to nothing": b"\x80\x02Na.",
    "key without a value": b"\x80\x02}(X\x01\0\0\0au.",
    "global of two numbers": b"\x80\x04K\x01K\x02\x93.",
    "storage of another kind": pickled(storage=STORAGE.replace("storage", "st0rage")),
    "storage that is a number": pickled(storage="K\x01Q"),
    "storage of too few fields": pickled(storage="K\x01\x85Q"),
    "storage of a dictionary": pickled(storage=STORAGE.replace("ctorch\nFloatStorage", "ccollections\nOrderedDict")),
    "missing storage": pickled(key="7"),
    "tensor without a storage": pickled(storage="N"),
    "shape of a string": pickled(shape="X\x01\0\0\0a\x85"),
    "shape that is a number": pickled(shape="K\x04"),
    "negative side": pickled(shape="J\xff\xff\xff\xff\x85"),
    "negative offset": pickled(offset="J\xff\xff\xff\xff"),
    "side beyond the storage": pickled(shape="K\x05\x85"),
    "stride beyond the storage": pickled(stride="K\x02\x85"),
    "offset beyond the storage": pickled(offset="K\x01"),
    "sides and strides differ in number": pickled(stride="K\x01K\x01\x86"),
    "side beyond int64": pickled(shape="\x8a\x09" + "\0" * 8 + "\x01\x85"),
    "stride beyond int64": pickled(shape="K\x01\x85", stride="\x8a\x09" + "\0" * 8 + "\x01\x85"),
    "empty tensor of huge sides": pickled(shape=f"K\0{INT64_MAX}{INT64_MAX}\x87", stride="K\x01K\x01K\x01\x87"),
    "a hundred dimensions": pickled(shape="(" + "K\x01" * 100 + "t", stride="(" + "K\x01" * 100 + "t"),
    "name that is half a character": pickled(name="X\x03\0\0\0\xed\xa0\x80"),
    "name that safetensors reserves": pickled(name="X\x0c\0\0\0__metadata__"),
}


@pytest.mark.parametrize("pickle", DAMAGED.values(), ids=DAMAGED)
def test_hostile_pickle_is_refused_as_damaged(tmp_path, pickle):
    write_torch_file(tmp_path / "in.pth", pickle)
    with pytest.raises(BundleError, match=r"in\.pth is damaged"):
        convert_weights(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_deeply_nested_list_that_is_called_is_refused(tmp_path):
    write_torch_file(tmp_path / "in.pth", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b")R.")
    with pytest.raises(BundleError, match="more than tensors"):
        convert_weights(tmp_path / "in.pth", tmp_path / "out.safetensors")


@pytest.mark.parametrize("member", ["data.pkl", "byteorder"])
def test_compressed_member_is_refused(tmp_path, member):
    compressed = zipfile.ZIP_DEFLATED if member == "data.pkl" else zipfile.ZIP_STORED
    write_torch_file(tmp_path / "in.pth", pickled(), compression=compressed)
    if member == "byteorder":
        with zipfile.ZipFile(tmp_path / "in.pth", "a") as archive:
            archive.writestr("archive/byteorder", "little" * 1_000_000, zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match=f"{member} is compressed or too large"):
        convert_weights(tmp_path / "in.pth", tmp_path / "out.safetensors")


@pytest.mark.parametrize("part", ["pickle", "archive"])
def test_randomly_damaged_torch_file_is_converted_or_refused(tmp_path, part):
    generator = np.random.default_rng(11)
    torch.save({"state_dict": TENSORS, "best": (1, 2, 3, 4)}, tmp_path / "whole.pth")
    with zipfile.ZipFile(tmp_path / "whole.pth") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    (program,) = [name for name in members if name.endswith("data.pkl")]
    content = members[program] if part == "pickle" else (tmp_path / "whole.pth").read_bytes()
    refused = 0
    for _ in range(1000):
        damaged = bytearray(content)
        for place in generator.integers(0, len(damaged), generator.integers(1, 4)):
            damaged[place] = generator.integers(256)
        if part == "pickle":
            with zipfile.ZipFile(tmp_path / "in.pth", "w") as archive:
                for name in members:
                    archive.writestr(name, bytes(damaged) if name == program else members[name])
        else:
            (tmp_path / "in.pth").write_bytes(damaged)
        try:
            convert_weights(tmp_path / "in.pth", tmp_path / "out.safetensors")
        except BundleError:
            refused += 1
    assert 100 < refused < 1000


@pytest.mark.parametrize("function", ["_find_tensors", "_read_tensor", "_describe_tensor", "_check_names"])
@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, AttributeError, RuntimeError])
def test_bug_in_the_conversion_keeps_its_traceback(tmp_path, monkeypatch, function, error):
    def fail(*_):
        raise error("a bug")

    monkeypatch.setattr(convert_module, function, fail)
    with pytest.raises(error, match="a bug") as raised:
        convert(tmp_path, TENSORS)
    assert not isinstance(raised.value, BundleError)


def test_missing_torch_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"nowhere\.pth could not be read"):
        convert_weights(tmp_path / "nowhere.pth", tmp_path / "out.safetensors")


def test_target_must_end_in_safetensors(tmp_path):
    torch.save(TENSORS, tmp_path / "in.pth")
    with pytest.raises(BundleError, match="does not end in .safetensors"):
        convert_weights(tmp_path / "in.pth", tmp_path / "out.pth")
