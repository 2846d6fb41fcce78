"""napari-pathseg: outline, train, correct on whole slides.

The names below are the public Python API; each is loaded on first use, so that importing
this package costs neither torch nor Qt.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_pathseg.config import PredictConfig, TrainConfig
    from napari_pathseg.contours.contour import Contour
    from napari_pathseg.contours.formats import read_contours, write_contours
    from napari_pathseg.contours.rasterize import rasterize
    from napari_pathseg.engine.evaluation.evaluation import score
    from napari_pathseg.engine.events import run
    from napari_pathseg.engine.inference.predict import predict
    from napari_pathseg.engine.search_space import TuneRequest
    from napari_pathseg.engine.training.training import train
    from napari_pathseg.geometry import Region
    from napari_pathseg.jobs.tuning import tune
    from napari_pathseg.projects.project import Project
    from napari_pathseg.slides.registry import open_slide
    from napari_pathseg.slides.slide import Slide

_HOMES = {
    "Contour": "contours.contour",
    "PredictConfig": "config",
    "Project": "projects.project",
    "Region": "geometry",
    "Slide": "slides.slide",
    "TrainConfig": "config",
    "TuneRequest": "engine.search_space",
    "open_slide": "slides.registry",
    "predict": "engine.inference.predict",
    "rasterize": "contours.rasterize",
    "read_contours": "contours.formats",
    "run": "engine.events",
    "score": "engine.evaluation.evaluation",
    "train": "engine.training.training",
    "tune": "jobs.tuning",
    "write_contours": "contours.formats",
}

__all__ = [
    "Contour",
    "PredictConfig",
    "Project",
    "Region",
    "Slide",
    "TrainConfig",
    "TuneRequest",
    "open_slide",
    "predict",
    "rasterize",
    "read_contours",
    "run",
    "score",
    "train",
    "tune",
    "write_contours",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
