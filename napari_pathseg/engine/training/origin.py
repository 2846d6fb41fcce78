"""Where a model comes from: date, versions, machine and command, recorded in its run and its bundle."""

import platform
import sys
from datetime import datetime
from importlib.metadata import version
from typing import Any

import torch

_PACKAGES = ("napari-pathseg", "torch", "torchvision", "numpy")


def describe_origin() -> dict[str, Any]:
    """Return the date, the versions of the packages that matter, the machine, and the command, as plain values."""
    machine = {"host": platform.node(), "system": platform.platform(), "processor": platform.machine()}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "machine": machine,
        "command": sys.argv,
    }
