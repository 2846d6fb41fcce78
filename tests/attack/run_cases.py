"""Attacks by a model or an interrupted run of a stranger: other networks, pipes, huge files, hostile settings."""

import json
import os
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import forks
import numpy as np
import payloads
from project_cases import predict, replaced, resume, sparse
from scene import Case, Command, Make, Site, edit_json


def _bundle(site: Site) -> Command:
    slide, model = site.old.parent / "slides" / "a.tif", site.old / "models" / "m001"
    return ["predict", str(slide), "--bundle", str(model), "--halo", "96", "--out", str(site.folder / "out")]


def _short(site: Site) -> None:
    """Let the interrupted run end at its next step."""
    edit_json(site.old / "runs" / "r004" / "config.json", lambda content: content["config"].update(steps=1))


def _run_json(name: str, change: Callable[[dict], object]) -> Make:
    def make(site: Site) -> Command:
        _short(site)
        edit_json(site.old / "runs" / "r004" / name, change)
        return resume(site)

    return make


def _tensors(name: str, change: Callable[[dict], object], command: Callable[[Site], Command]) -> Make:
    """Change the tensors of a safetensors file of the old project."""

    def make(site: Site) -> Command:
        from safetensors import safe_open
        from safetensors.numpy import load_file, save_file

        path = site.old / name
        _short(site)
        with safe_open(path, framework="np") as file:
            metadata = file.metadata()
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, metadata=metadata)
        return command(site)

    return make


def _first(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict], object]:
    """Return a function that changes the largest tensor of a file."""

    def apply(tensors: dict) -> None:
        name = max(tensors, key=lambda name: tensors[name].size)
        tensors[name] = change(tensors[name])

    return apply


def _header_only(path: Path) -> None:
    """Write a header that claims a tensor of 8 GiB, in a sparse file of that size."""
    size = 8 * payloads.GIB
    header = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with path.open("ab") as file:
        file.truncate(8 + len(header) + size)


def _checkpoint_numbers(change: Callable[[dict], object]) -> Make:
    def make(site: Site) -> Command:
        from safetensors import safe_open
        from safetensors.numpy import load_file, save_file

        path = site.old / "runs" / "r004" / "checkpoint.safetensors"
        with safe_open(path, framework="np") as file:
            numbers = json.loads(file.metadata()["numbers"])
        change(numbers)
        save_file(load_file(path), path, metadata={"numbers": json.dumps(numbers)})
        return resume(site)

    return make


def _bundle_json(change: Callable[[dict], object], command: Callable[[Site], Command]) -> Make:
    def make(site: Site) -> Command:
        edit_json(site.old / "models" / "m001" / "bundle.json", change)
        return command(site)

    return make


def _bundle_with(name: str, write: Callable[[Path], object]) -> Make:
    """Make a folder of a model with one more file, and predict with it."""

    def make(site: Site) -> Command:
        write(site.old / "models" / "m001" / name)
        return _bundle(site)

    return make


def _zipped(site: Site) -> Command:
    path = site.inputs / "m001.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", " " * (64 << 20))
    return ["predict", str(site.folder / "slides" / "a.tif"), "--bundle", str(path), "--out", str(site.folder / "out")]


def _torch_file(write: Callable[[zipfile.ZipFile], None]) -> Make:
    def make(site: Site) -> Command:
        path = site.inputs / "a.pth"
        with zipfile.ZipFile(path, "w") as archive:
            write(archive)
        return ["convert-weights", str(path), str(site.folder / "out.safetensors")]

    return make


def _study(change: Callable[[dict], object]) -> Make:
    def make(site: Site) -> Command:
        edit_json(site.old / "runs" / "tune-old" / "study.json", lambda content: change(content["trials"][0]))
        return ["tune", str(site.old), "--vary", "ema_decay=0.9,0.95", "--name", "old", "--steps", "6", "--tile", "64"]

    return make


_RUNS = partial(Case, "resumed runs", imports=forks.TORCH)
_MODELS = partial(Case, "models", imports=forks.TORCH)

CASES = (
    _RUNS(
        "a config of another encoder",
        _run_json("config.json", lambda content: content["network"].update(encoder="resnet34")),
        1,
        "is of another network",
        quick=True,
    ),
    _RUNS(
        "a config of an unknown encoder",
        _run_json("config.json", lambda content: content["network"].update(encoder="../../outside")),
        1,
        "is not an encoder",
    ),
    _RUNS(
        "a config of 255 classes",
        _run_json("config.json", lambda content: content["network"].update(classes=255)),
        1,
        "expected int <= 127 at network.classes",
    ),
    _RUNS(
        "a config of unet-classic",
        _run_json("config.json", lambda content: content["network"].update(architecture="unet-classic", encoder="")),
        1,
        "is of another network",
    ),
    _RUNS(
        "a config with a parent above",
        _run_json("config.json", lambda content: content.update(parent="../../outside")),
        0,
        "m004 is ready",
    ),
    _RUNS(
        "a config of tiles of 1e9 px",
        _run_json("config.json", lambda content: content["config"].update(tile=10**9)),
        1,
        "it must lie between 64 and 2048",
    ),
    _RUNS(
        "a config of weights elsewhere",
        _run_json("config.json", lambda content: content["config"].update(weights="http://127.0.0.1:9/x.safetensors")),
        0,
        "m004 is ready",
    ),
    _RUNS(
        "a config of slides above",
        _run_json("config.json", lambda content: content.update(train=["../../outside"])),
        1,
        "Train without resuming",
        quick=True,
    ),
    _RUNS(
        "a status of a running process 1",
        _run_json("status.json", lambda content: content.update(pid=1, state="running", time=1e12)),
        0,
        "m004 is ready",
    ),
    _RUNS(
        "a status of a negative process",
        _run_json("status.json", lambda content: content.update(pid=-1, state="running")),
        0,
        "m004 is ready",
    ),
    _RUNS(
        "a status that is a pipe",
        replaced("runs/r004/status.json", os.mkfifo, resume, old=True),
        1,
        "it is a pipe or a device",
    ),
    _RUNS(
        "a checkpoint that is a pipe",
        replaced("runs/r004/checkpoint.safetensors", os.mkfifo, resume, old=True),
        1,
        "it is a pipe or a device",
    ),
    _RUNS(
        "a checkpoint of a tensor of 8 GiB",
        replaced("runs/r004/checkpoint.safetensors", _header_only, resume, old=True),
        1,
        "is of another network",
    ),
    _RUNS(
        "a checkpoint with another shape",
        _tensors("runs/r004/checkpoint.safetensors", _first(lambda tensor: tensor[:1].copy()), resume),
        1,
        "The checkpoint of r004 is",
        quick=True,
    ),
    _RUNS(
        "a checkpoint without a tensor",
        _tensors(
            "runs/r004/checkpoint.safetensors",
            lambda tensors: tensors.pop(max(tensors, key=lambda name: tensors[name].size)),
            resume,
        ),
        1,
        "The checkpoint of r004 is",
    ),
    _RUNS(
        "a checkpoint of NaN",
        _tensors("runs/r004/checkpoint.safetensors", _first(lambda tensor: np.full_like(tensor, np.nan)), resume),
        0,
        "m004 is ready",
    ),
    _RUNS(
        "a checkpoint of other random numbers",
        _checkpoint_numbers(lambda numbers: numbers.update(rng={"x": 1})),
        1,
        "The checkpoint of r004 is damaged",
    ),
    _RUNS(
        "a checkpoint of step 1e18",
        _checkpoint_numbers(lambda numbers: numbers.update(step=10**18)),
        0,
        "m004 is ready",
    ),
    _RUNS(
        "a tuning whose run lies above",
        _study(lambda trial: trial.update(run="../../outside", model="../../outside", state="running")),
        1,
        "study.json is damaged",
        quick=True,
    ),
    _MODELS(
        "weights that are a pipe",
        replaced("models/m001/weights.safetensors", os.mkfifo, predict, old=True),
        1,
        "it is a pipe or a device",
        quick=True,
    ),
    _MODELS(
        "weights of 8 GiB",
        replaced("models/m001/weights.safetensors", _header_only, predict, old=True),
        1,
        "does not hold the weights of this network",
    ),
    _MODELS(
        "weights of NaN",
        _tensors("models/m001/weights.safetensors", _first(lambda tensor: np.full_like(tensor, np.nan)), predict),
        1,
        "has values that are not finite",
    ),
    _MODELS(
        "weights of another shape",
        _tensors("models/m001/weights.safetensors", _first(lambda tensor: tensor[:1].copy()), predict),
        1,
        "is needed",
    ),
    _MODELS(
        "weights of integers",
        _tensors("models/m001/weights.safetensors", _first(lambda tensor: tensor.astype(np.int64)), predict),
        0,
        "1 slide predicted",
    ),
    _MODELS(
        "weights of complex numbers",
        _tensors("models/m001/weights.safetensors", _first(lambda tensor: tensor.astype(np.float64)), predict),
        0,
        "1 slide predicted",
    ),
    _MODELS(
        "a bundle of an unknown encoder",
        _bundle_json(lambda content: content["network"].update(encoder="../../x"), predict),
        1,
        "is not an encoder",
    ),
    _MODELS(
        "a bundle named ../x",
        _bundle_json(lambda content: content.update(id="../../outside/x", run="../../outside"), predict),
        1,
        "bundle.json is damaged",
    ),
    _MODELS("a bundle of a zip", _zipped, 1, "is not a trained model"),
    _MODELS(
        "a bundle with a link to a folder",
        _bundle_with("more", lambda path: path.symlink_to(path.parents[3] / "slides")),
        0,
        "1 file written",
    ),
    _MODELS(
        "a bundle with a link to itself",
        _bundle_with("more", lambda path: path.symlink_to(path.parent)),
        0,
        "1 file written",
        quick=True,
    ),
    _MODELS("a bundle with a pipe", _bundle_with("more", os.mkfifo), 0, "1 file written"),
    _MODELS("a bundle with a file of 20 GiB", _bundle_with("more", sparse), 0, "1 file written"),
    _MODELS(
        "a bundle.json of a pipe",
        replaced("models/m001/bundle.json", os.mkfifo, _bundle, old=True),
        1,
        "is not a trained model",
    ),
    _MODELS(
        "a torch file of a zip bomb",
        _torch_file(lambda archive: archive.writestr("x/data.pkl", bytes(1 << 28), zipfile.ZIP_DEFLATED)),
        1,
        "is compressed or too large",
    ),
    _MODELS(
        "a torch file that calls os.system",
        _torch_file(lambda archive: archive.writestr("x/data.pkl", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.")),
        1,
        "asks for os.system",
        quick=True,
    ),
    _MODELS(
        "a torch file that is a pipe",
        lambda site: (
            os.mkfifo(site.inputs / "a.pth"),
            ["convert-weights", str(site.inputs / "a.pth"), str(site.folder / "out.safetensors")],
        )[1],
        1,
        "it is a pipe or a device",
    ),
)
