"""What runs in a process of its own: ``python -m napari_pathseg.doctor.probes NAME``, which prints one JSON object.

The only module outside `engine` that imports torch, and outside `ui` that imports Qt: never in the process of a check.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_COMPRESSIONS = ("jpeg", "jpeg2000", "lzw", "deflate", "zstd")  # of TIFF slides
_PICTURES = ("png", "jpg")
_TOLERANCE = 4  # grey values by which a lossy compression may change a uniform picture
_SIDE, _SQUARE = 192, slice(56, 136)  # of the slides of a trial, and of the dark square in them


def probe_torch() -> dict[str, Any]:
    """Import torch and multiply two matrices on the device that a training would use."""
    import torch

    from napari_pathseg.engine.device import best_device

    device = best_device()
    ones = torch.ones(64, 64, device=device)
    works = float((ones @ ones).sum()) == 64**3
    return {
        "version": torch.__version__,
        "built_for": torch.version.cuda or torch.version.hip or "",
        "device": device.type,
        "name": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        "memory": torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0,
        "threads": torch.get_num_threads(),
        "works": works,
    }


def probe_weights() -> dict[str, Any]:
    """Load the weights from which a first training starts."""
    from napari_pathseg.engine.networks.weights import lite0_weights

    return {"tensors": len(lite0_weights())}


def probe_qt() -> dict[str, Any]:
    """Import Qt's widgets."""
    import qtpy
    import qtpy.QtWidgets

    return {"binding": qtpy.API_NAME, "version": qtpy.QT_VERSION}


def probe_opengl() -> dict[str, Any]:
    """Make a canvas as napari does, and ask its OpenGL who it is."""
    import qtpy
    from qtpy.QtWidgets import QApplication
    from vispy import app
    from vispy.gloo import gl

    application = QApplication(["doctor"])
    app.use_app(qtpy.API_NAME)
    canvas = app.Canvas(show=False)
    canvas.set_current()
    names = ("GL_VENDOR", "GL_RENDERER", "GL_VERSION", "GL_MAX_TEXTURE_SIZE")
    vendor, renderer, version, texture = (gl.glGetParameter(getattr(gl, name)) for name in names)
    platform = application.platformName()
    return {
        "vendor": vendor,
        "renderer": renderer,
        "version": version,
        "texture": texture or 0,
        "platform": platform,
    }


def probe_readers(folder: str) -> dict[str, Any]:
    """Write small slides of each kind into `folder` and read them; return what failed, by kind."""
    import numpy as np
    import tifffile
    from PIL import Image

    pixels = np.full((64, 64, 3), 200, np.uint8)
    failed = {}
    for kind in (*_COMPRESSIONS, *_PICTURES):
        try:
            if kind in _PICTURES:
                path = Path(folder) / f"slide.{kind}"
                Image.fromarray(pixels).save(path)
            else:
                path = Path(folder) / f"{kind}.tif"
                tifffile.imwrite(path, pixels, photometric="rgb", compression=kind)
            _require_grey(path, 200)
        except Exception as error:
            failed[f"TIFF with {kind}" if kind in _COMPRESSIONS else kind] = f"{type(error).__name__}: {error}"
    return {"failed": failed, "openslide": _openslide()}


def _require_grey(path: Path, value: int) -> None:
    from napari_pathseg.geometry import Region
    from napari_pathseg.slides.registry import open_slide

    slide = open_slide(path)
    try:
        pixels = slide.read(Region(0, 0, 64, 64))
    finally:
        slide.close()
    if abs(float(pixels.mean()) - value) > _TOLERANCE:
        raise ValueError("the pixels that were read are not those that were written")


def _openslide() -> str:
    """Return OpenSlide's version; empty if it is not installed, or does not load."""
    try:
        import openslide
    except (ImportError, OSError):
        return ""
    return str(openslide.__library_version__)


def probe_trial(folder: str) -> dict[str, Any]:
    """Make a small project, train a few steps and predict a slide, all in `folder`."""
    import numpy as np
    import tifffile

    from napari_pathseg.config import PredictConfig, TrainConfig
    from napari_pathseg.contours.contour import Contour
    from napari_pathseg.contours.formats import write_contours
    from napari_pathseg.engine.events import run
    from napari_pathseg.engine.inference.predict import predict
    from napari_pathseg.engine.training.training import train
    from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
    from napari_pathseg.projects.project import Project

    start = time.perf_counter()
    rng = np.random.default_rng(0)
    low, high = _SQUARE.start - 0.5, _SQUARE.stop - 0.5
    square = np.array([[low, low], [low, high], [high, high], [high, low]])
    paths = []
    for number in range(3):
        path = Path(folder) / f"slide{number}.tif"
        pixels = rng.integers(190, 230, (_SIDE, _SIDE, 3)).astype(np.uint8)
        pixels[_SQUARE, _SQUARE] = rng.integers(60, 120, (80, 80, 3))
        tifffile.imwrite(path, pixels, photometric="rgb")
        write_contours(path.with_suffix(".geojson"), [Contour(square, class_name="Tumour")])
        paths.append(path)
    project = Project.create(Path(folder) / "trial.pathseg")
    add_slides(project, paths, AddOptions(contours=Path(folder)))
    config = TrainConfig(preset="quick", steps=8, tile=64, batch=2, cached_tiles=8, decoder_seconds=4)
    bundle = run(train(project, config))
    done = run(predict(project, PredictConfig(runtime="torch"), slides=["slide0"]))
    return {
        "model": bundle.network.architecture,
        "pixels": sum(one.pixels for one in done if not one.failed),
        "expected": _SIDE**2,
        "seconds": time.perf_counter() - start,
    }


PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    "torch": probe_torch,
    "weights": probe_weights,
    "qt": probe_qt,
    "opengl": probe_opengl,
    "readers": probe_readers,
    "trial": probe_trial,
}


def main() -> None:
    """Run the probe that the first argument names with the others, and print its answer."""
    name, *arguments = sys.argv[1:]
    answer = PROBES[name](*arguments)
    print(json.dumps(answer), flush=True)
    os._exit(0)  # some drivers crash when their library is unloaded, after all was answered


if __name__ == "__main__":
    main()
