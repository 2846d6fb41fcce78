"""The formats in which a model is written for other programs; needs no torch."""

from typing import NamedTuple

ONNX, BIOIMAGEIO, TORCHSCRIPT = "onnx", "bioimageio", "torchscript"


class ExportFormat(NamedTuple):
    """What the window calls a format, and the suffix of its files."""

    label: str
    suffix: str


EXPORT_FORMATS = {
    BIOIMAGEIO: ExportFormat("bioimage.io package", "bioimageio.zip"),
    ONNX: ExportFormat("ONNX", "onnx"),
    TORCHSCRIPT: ExportFormat("TorchScript", "pt"),
}
