"""Modules of torch that OpenVINO computes on the CPU: converted, kept in the user's cache folder, compiled.

A module is converted once for its weights and the versions of all that takes part.  What is kept is not trusted: who
compiles a module compares its answer with torch's (`choice.py`).

OpenVINO reports each use of it to its makers unless somebody has forbidden it; here it does not.
"""

import hashlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_pathseg.storage.atomic import atomic_folder
from napari_pathseg.storage.cache_folder import cache_folder, sweep, touch
from napari_pathseg.storage.portable import remove_tree

if TYPE_CHECKING:
    import openvino

_KEPT = 32  # converted modules, of 20 MB each with the usual network
_MODEL, _WEIGHTS, _CHECKSUM = "model.xml", "model.bin", "checksum"
PRECISIONS = {"fp32": "f32", "bf16": "bf16"}  # ours and OpenVINO's names; its default would be half precision on ARM


def openvino_is_installed() -> bool:
    """Return whether OpenVINO can be imported, without doing so."""
    return importlib.util.find_spec("openvino") is not None


def openvino_knows_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16 that OpenVINO uses."""
    return "BF16" in _import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoModule:
    """A module compiled for the CPU, called as the module is; all of its outputs come as a list.

    Parameters
    ----------
    module
        In eval mode, in float32; called with as many tensors as `examples`.
    examples
        Tensors of the kinds that it will be called with, of any size.
    precision
        A key of `PRECISIONS`.
    key
        Tells it from all other modules; see `module_key`, of which "" takes the answer.

    Raises
    ------
    RuntimeError, TypeError, ValueError
        If OpenVINO cannot convert or compile it.
    """

    def __init__(self, module: nn.Module, examples: Sequence[Tensor], precision: str, key: str = "") -> None:
        core = _import_openvino().Core()
        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        path = converted_folder() / (key or module_key(module, examples))
        model = _converted(core, module, examples, path)
        self._compiled = core.compile_model(model, "CPU", options)
        self._request = self._compiled.create_infer_request()

    def __call__(self, *inputs: Tensor, lent: bool = False) -> list[Tensor]:
        """Return the outputs of the module; if `lent`, the next call and `release_memory` overwrite them."""
        arrays = [_readable(tensor).contiguous().numpy() for tensor in inputs]
        answers = self._request.infer(arrays, share_inputs=True, share_outputs=lent)
        return [torch.from_numpy(answer) for answer in answers.to_tuple()]

    def release_memory(self) -> None:
        """Give back what the last call needed; the next one takes it again."""
        self._compiled.release_memory()


def _readable(tensor: Tensor) -> Tensor:
    """Return a tensor that numpy knows."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def converted_folder() -> Path:
    """Return the folder where converted modules are kept."""
    return cache_folder() / "openvino"


def module_key(module: nn.Module, examples: Sequence[Tensor] = ()) -> str:
    """Return a hash of a module's layers and weights, the versions of what computes it, and the kinds of its inputs."""
    names = ("napari-pathseg", "torch", *(["openvino"] if openvino_is_installed() else []))
    kinds = [(str(example.dtype), example.ndim) for example in examples]
    digest = hashlib.sha256(f"{[version(name) for name in names]} {kinds} {module}".encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def _converted(core: "openvino.Core", module: nn.Module, examples: Sequence[Tensor], path: Path) -> "openvino.Model":
    """Return the converted module, kept from an earlier conversion or converted now."""
    if _is_whole(path):
        touch(path)
        return core.read_model(path / _MODEL)
    model = _convert(module, examples)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, _KEPT - 1)
        remove_tree(path)
        with atomic_folder(path, unique=True) as partial:
            partial.mkdir()
            _import_openvino().save_model(model, partial / _MODEL, compress_to_fp16=False)
            (partial / _CHECKSUM).write_text(_checksum(partial), encoding="utf8")
    except (OSError, RuntimeError):  # a full disk, or another program that converts the same: this one has its model
        return model
    return core.read_model(path / _MODEL)  # the converted one shares torch's memory


def _is_whole(path: Path) -> bool:
    """Return whether a folder has a converted module as it was written: a damaged one can ask for any memory."""
    try:
        return (path / _CHECKSUM).read_text(encoding="utf8") == _checksum(path)
    except (OSError, UnicodeError):  # none yet
        return False


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in (_MODEL, _WEIGHTS):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _convert(module: nn.Module, examples: Sequence[Tensor]) -> "openvino.Model":
    """Convert a module by recording what it does with `examples`."""
    _import_openvino()
    from openvino import frontend
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # sizes become constants; choice.py compares answers for other sizes
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            module, tuple(example.clone() for example in examples), check_trace=False
        )
        converter = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # OpenVINO does not keep it alive
        try:
            return converter.convert(converter.load(decoder))
        except (frontend.GeneralFailure, frontend.OpConversionFailure, frontend.NotImplementedFailure) as error:
            raise RuntimeError(f"{error}") from error


def _import_openvino() -> Any:
    """Import OpenVINO without the module by which it reports that it was imported, converted a model, and so on."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
