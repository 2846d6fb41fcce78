"""A network as a graph that other programs run: TorchScript or ONNX, from raw RGB pixels to class probabilities.

Normalisation, unknown classes and the softmax are inside the graph.  Its input is uint8 (n, 3, rows, columns), whose
sides are multiples of `Network.multiple`; its output is float32 (n, classes, rows, columns).
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_pathseg.engine.networks import Network
from napari_pathseg.errors import BundleError
from napari_pathseg.geometry.arrays import Float32Array, UInt8Array
from napari_pathseg.samples.tissue import draw_field
from napari_pathseg.storage.untrusted import suppress_warnings

INPUT, OUTPUT = "image", "probabilities"
OPSET = 18  # of ONNX
TOLERANCE = 1e-3  # relative and absolute, of probabilities
_MOST_OTHER_LABELS = 100e-6  # share of the pixels
_TEST_SIDE, _TRACED_SIDE = 512, 256  # pixels; of another size, so that a graph of fixed size is noticed
_SEED = 2017
_POSITIONS = "pos_embed"  # in timm's vision transformers, resampled with antialiasing


class _Graph(nn.Module):
    """Raw pixels in, probabilities out; the sides of the pixels are multiples of the network's."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.eval()  # or torch's exporter leaves all of it in training mode

    def forward(self, image: Tensor) -> Tensor:
        return self.network.decode(self.network.encode(image)).softmax(dim=1)


def needed(name: str) -> ModuleType:
    """Import a module of the extra ``[export]``.

    Raises
    ------
    BundleError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BundleError(f'{name} is not installed. Run: pip install "napari-pathseg[export]"') from error


def example_picture(side: int = _TEST_SIDE) -> UInt8Array:
    """Return a synthetic H&E picture as the input of a graph, shape (1, 3, side, side)."""
    picture, _ = draw_field((side, side), np.random.default_rng(_SEED), tumour=0.4)
    return np.ascontiguousarray(np.moveaxis(picture, -1, 0)[None])


@torch.inference_mode()
def probabilities(network: Network, picture: UInt8Array) -> Float32Array:
    """Return what a network, in eval mode on the CPU, answers to the input of its graph."""
    answer: Float32Array = network(torch.from_numpy(picture)).softmax(dim=1).numpy()
    return answer


def write_torchscript(network: Network, path: Path) -> None:
    """Write a network, in eval mode on the CPU, as TorchScript.

    Raises
    ------
    BundleError
        If the network cannot be traced, or the file answers otherwise than the network.
    """
    with _exporting("TorchScript"), torch.no_grad():
        example = torch.from_numpy(example_picture(_TRACED_SIDE))
        graph = torch.jit.trace(_Graph(network), example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(graph, path)
    _check(network, run_torchscript(path), "TorchScript")


def run_torchscript(path: Path) -> Callable[[UInt8Array], Float32Array]:
    """Return a function that runs a TorchScript file of ours: it may run code, so never use it on one of strangers."""
    with suppress_warnings():
        graph = torch.jit.load(path)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def run(picture: UInt8Array) -> Float32Array:
        answer: Float32Array = graph(torch.from_numpy(picture)).numpy()
        return answer

    return run


def write_onnx(network: Network, path: Path, notes: dict[str, str]) -> None:
    """Write a network, in eval mode on the CPU, as ONNX, with `notes` as its metadata; onnxruntime checks it.

    Raises
    ------
    BundleError
        If a library is missing, a layer has no counterpart, or the file answers otherwise than the network.
    """
    if any(name.endswith(_POSITIONS) for name in network.state_dict()):  # torch would print the graph, too
        raise BundleError(
            "This network cannot be written as ONNX, which cannot resample the positions of a vision transformer. "
            "Use another format."
        )
    onnx = needed("onnx")
    needed("onnxruntime")
    names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
    free = {0: "batch", 2: "rows", 3: "columns"}
    with _exporting("ONNX"), torch.no_grad():
        example = torch.from_numpy(example_picture(_TRACED_SIDE))
        # dynamo=True needs onnxscript, and had not exported a U-Net after two minutes (torch 2.14, two cores).
        torch.onnx.export(
            _Graph(network),
            (example,),
            path,
            dynamo=False,
            opset_version=OPSET,
            dynamic_axes={INPUT: free, OUTPUT: free},
            **names,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, path)
    _check(network, run_onnx(path), "ONNX")


def run_onnx(path: Path) -> Callable[[UInt8Array], Float32Array]:
    """Return a function that runs an ONNX file in onnxruntime."""
    session = needed("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(picture: UInt8Array) -> Float32Array:
        answer: Float32Array = session.run([OUTPUT], {INPUT: picture})[0]
        return answer

    return run


@contextlib.contextmanager
def _exporting(format_name: str) -> Any:
    """Turn what torch raises for a layer that has no counterpart into a sentence."""
    try:
        with suppress_warnings():
            yield
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise BundleError(f"This network cannot be written as {format_name} ({reason}). Use another format.") from error


def _check(network: Network, run: Callable[[UInt8Array], Float32Array], format_name: str) -> None:
    picture = example_picture()
    difference = compare(probabilities(network, picture), run(picture))
    if difference:
        raise BundleError(f"The {format_name} file does not give the model's answer: {difference}. Use another format.")


def compare(wanted: Float32Array, found: Float32Array) -> str:
    """Return in what an answer differs by more than rounding; "" if it does not."""
    if wanted.shape != found.shape:
        return f"its shape is {found.shape} instead of {wanted.shape}"
    if not np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE):
        return f"probabilities differ by up to {np.abs(found - wanted).max():.2g}"
    others = float((found.argmax(axis=1) != wanted.argmax(axis=1)).mean())
    return f"{others * 1e6:.0f} of a million labels differ" if others > _MOST_OTHER_LABELS else ""
