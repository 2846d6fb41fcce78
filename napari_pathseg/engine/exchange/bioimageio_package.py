"""A package for bioimage.io: the graph of a model, what goes into it and comes out, and a test of both.

Format 0.5, checked by its own validator.  Our bundle is attached to it, so that `model_import` takes it in again.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.exchange.graphs import (
    INPUT,
    OPSET,
    OUTPUT,
    TOLERANCE,
    example_picture,
    needed,
    probabilities,
    write_onnx,
    write_torchscript,
)
from napari_pathseg.engine.exchange.model_card import INTENDED_USE, card_of
from napari_pathseg.engine.networks import Network
from napari_pathseg.errors import BundleError
from napari_pathseg.projects.model_weights import WEIGHTS
from napari_pathseg.storage.atomic import save_json
from napari_pathseg.storage.untrusted import suppress_warnings

_HALO = 64  # pixels of the answer that other programs crop at the borders of tiles
_LEAST_SIDE = 256  # pixels
_LABELS_PER_MILLION = 100  # that may differ
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_+\- ()]")


def write_package(network: Network, bundle: Bundle, folder: Path, target: Path, notes: Mapping[str, str]) -> None:
    """Write a package of a model as a zip file.

    Parameters
    ----------
    network
        The network, in eval mode on the CPU.
    bundle, folder
        Its metadata, and where it lies.
    target
        The zip file.
    notes
        Metadata of the graph.

    Raises
    ------
    BundleError
        If a library is missing, the graph does not give the model's answer, or the validator refuses the package.
    """
    spec, model = needed("bioimageio.spec"), needed("bioimageio.spec.model.v0_5")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        weights = _write_graph(model, network, bundle, work, dict(notes))
        _write_attachments(bundle, folder, work)
        picture = example_picture()
        np.save(work / "test_input.npy", picture)
        np.save(work / "test_output.npy", probabilities(network, picture))
        with suppress_warnings():  # of fields that only the author of a publication can fill
            described = _description(model, network, bundle, work, weights)
            packed = spec.save_bioimageio_package(described, output_path=work / "package.zip")
            _validate(spec, packed)
        shutil.copyfile(packed, target)


def _description(model: Any, network: Network, bundle: Bundle, work: Path, weights: dict[str, Any]) -> Any:
    return model.ModelDescr(
        name=_plain(f"{bundle.id} {bundle.network.architecture} for {', '.join(bundle.class_names)}"),
        description=INTENDED_USE,
        documentation=model.FileDescr(source=work / "README.md"),
        format_version=model.ModelDescr.implemented_format_version,
        type="model",
        inputs=[_input(model, network, bundle, work)],
        outputs=[_output(model, bundle, work)],
        weights=model.WeightsDescr(**weights),
        attachments=[model.FileDescr(source=work / each) for each in ("bundle.json", WEIGHTS)],
        tags=["segmentation", "histopathology", "napari-pathseg", bundle.network.architecture],
        config=_tolerance(model),
    )


def _write_graph(model: Any, network: Network, bundle: Bundle, work: Path, notes: dict[str, str]) -> dict[str, Any]:
    """Write the graph, as TorchScript if it cannot be ONNX; return its entry among the weights."""
    try:
        write_onnx(network, work / "graph.onnx", notes)
        return {"onnx": model.OnnxWeightsDescr(source=work / "graph.onnx", opset_version=OPSET)}
    except BundleError:
        needed("onnx")  # a missing library is no reason for another format
        needed("onnxruntime")
        write_torchscript(network, work / "graph.pt")
        torch_version = model.Version(torch.__version__.partition("+")[0])
        return {"torchscript": model.TorchscriptWeightsDescr(source=work / "graph.pt", pytorch_version=torch_version)}


def _write_attachments(bundle: Bundle, folder: Path, work: Path) -> None:
    """Write the card and a bundle of the weights that predict new slides; it names no computer and no command."""
    used = bundle.weights_for("")
    shutil.copyfile(folder / used, work / WEIGHTS)
    origin = {key: value for key, value in bundle.origin.items() if key not in ("machine", "command")}
    learnt = sorted({*bundle.train, *(bundle.val if bundle.last_pass else ())})
    config = {key: value for key, value in bundle.config.items() if key != "weights"}
    public = replace(bundle, origin=origin, train=learnt, config=config, last_pass=False)
    save_json(work / "bundle.json", asdict(public) | {"network": public.network.to_json()})
    (work / "README.md").write_text(card_of(folder, bundle), encoding="utf8")


def _input(model: Any, network: Network, bundle: Bundle, work: Path) -> Any:
    step = network.multiple
    size = model.ParameterizedSize(min=-(-_LEAST_SIDE // step) * step, step=step)
    space = [model.SpaceInputAxis(id=model.AxisId(name), size=size, **_scale(bundle)) for name in "yx"]
    return model.InputTensorDescr(
        id=model.TensorId(INPUT),
        description="Pixels as they are in the file: red, green and blue, 0 to 255, not normalised",
        axes=[model.BatchAxis(), model.ChannelAxis(channel_names=["red", "green", "blue"]), *space],
        data=model.IntervalOrRatioDataDescr(type="uint8", range=(0, 255)),
        test_tensor=model.FileDescr(source=work / "test_input.npy"),
    )


def _output(model: Any, bundle: Bundle, work: Path) -> Any:
    def axis(name: str) -> Any:
        size = model.SizeReference(tensor_id=model.TensorId(INPUT), axis_id=model.AxisId(name))
        return model.SpaceOutputAxisWithHalo(id=model.AxisId(name), halo=_HALO, size=size, **_scale(bundle))

    return model.OutputTensorDescr(
        id=model.TensorId(OUTPUT),
        description="Probability of each class",
        axes=[model.BatchAxis(), model.ChannelAxis(channel_names=bundle.class_names), axis("y"), axis("x")],
        data=model.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
        test_tensor=model.FileDescr(source=work / "test_output.npy"),
    )


def _scale(bundle: Bundle) -> dict[str, Any]:
    return {} if bundle.mpp is None else {"unit": "micrometer", "scale": bundle.mpp}


def _tolerance(model: Any) -> Any:
    tolerance = model.ReproducibilityTolerance(
        relative_tolerance=TOLERANCE,
        absolute_tolerance=TOLERANCE,
        mismatched_elements_per_million=_LABELS_PER_MILLION,
    )
    return model.Config(bioimageio=model.BioimageioConfig(reproducibility_tolerance=[tolerance]))


def _plain(name: str) -> str:
    """Return a name with the signs that bioimage.io allows, at most 64 of them."""
    return " ".join(_NOT_IN_NAMES.sub(" ", name).split())[:64].strip()


def _validate(spec: Any, path: Path) -> None:
    checked = spec.load_description(path, format_version="0.5")
    summary = checked.validation_summary
    if isinstance(checked, spec.InvalidDescr) or summary.status == "failed":
        reasons = "; ".join(error.msg for detail in summary.details for error in detail.errors)
        raise BundleError(f"The validator of bioimage.io refuses the package ({reasons}). Choose another format.")
