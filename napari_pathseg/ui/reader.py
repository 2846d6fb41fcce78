"""Napari reader: slides and contours as layers, a project in the dock.

Slides stay on disk; napari asks for the part of the level that it draws.  Files that cannot
be read raise what the user can do about it rather than leave napari to guess another reader.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, read_contours, stem_of
from napari_pathseg.errors import ProjectError, UnsupportedSlideError
from napari_pathseg.projects.project import FOLDER_SUFFIX
from napari_pathseg.slides.level_array import level_arrays
from napari_pathseg.slides.registry import count_pages, open_slide
from napari_pathseg.storage.names import is_project
from napari_pathseg.ui.layers.metadata import FILE_ROLE, METADATA_KEY
from napari_pathseg.ui.layers.slide_layers import layer_transform

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str], list[LayerData] | list[tuple[None]]]

_CONTOUR_SUFFIXES = tuple(suffix for suffix in CONTOUR_SUFFIXES if suffix != ".json")  # which other programs use too
_OUTLINE_COLOR = "#ffd200"


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the function that reads `path`.

    None for several files, for stacks of pages, which napari itself shows as such, and for
    folders that are neither a project nor a slide.
    """
    if not isinstance(path, str):
        return None
    suffix = Path(path).suffix.lower()
    if Path(path).is_dir() and suffix != ".zarr":
        return _open_project if is_project(Path(path)) else None
    if suffix in (FOLDER_SUFFIX, *_CONTOUR_SUFFIXES):
        return None if suffix == FOLDER_SUFFIX else _read_contours
    try:
        return _read_slide if count_pages(path) == 1 else None
    except UnsupportedSlideError:
        return None if suffix == ".zarr" else _read_slide  # which raises the reason


def slide_layer(path: Path) -> LayerData:
    """Return a slide as a lazy multiscale image layer, in micrometres if its pixel size is known.

    Raises
    ------
    UnsupportedSlideError
        If it cannot be opened as a slide.
    """
    slide = open_slide(path)
    settings = {
        "name": stem_of(path),
        "multiscale": True,
        "rgb": slide.channels == 3,
        "contrast_limits": (0, 255),
        "metadata": {METADATA_KEY: {"slide": stem_of(path), "role": FILE_ROLE, "path": str(path)}, "mpp": slide.mpp},
        **layer_transform(slide.mpp, 1),
    }
    return level_arrays(slide), settings, "image"


def contours_layer(path: Path, mpp: float | None = None) -> LayerData:
    """Return the contours of a file as a shapes layer; holes are separate shapes, marked by a feature.

    `mpp` is the pixel size of their slide; None leaves them in pixels.

    Raises
    ------
    AnnotationError
        If the file cannot be read as contours.
    """
    contours = read_contours(path)
    rings = [(contour, ring, number > 0) for contour in contours for number, ring in enumerate(contour.rings)]
    settings: dict[str, Any] = {
        "name": f"{stem_of(path)} · contours",
        "edge_width": 3,
        "face_color": "transparent",
        # Arrays with a type, so that a layer without contours has these columns, too.
        "features": {
            "class": np.array([contour.class_name for contour, _, _ in rings], object),
            "hole": np.array([hole for *_, hole in rings], bool),
        },
        "feature_defaults": {"class": "", "hole": False},
        "metadata": {METADATA_KEY: {"slide": stem_of(path), "role": FILE_ROLE}},
        **layer_transform(mpp, 1),
    }
    if not rings:
        return [], settings | {"ndim": 2}, "shapes"
    settings |= {"shape_type": "polygon", "edge_color": [_color(contour) for contour, _, _ in rings]}
    return [ring for _, ring, _ in rings], settings, "shapes"


def _read_slide(path: str) -> list[LayerData]:
    return [slide_layer(Path(path))]


def _read_contours(path: str) -> list[LayerData]:
    return [contours_layer(Path(path), _mpp_in_view(stem_of(path)))]


def _mpp_in_view(stem: str) -> float | None:
    """Return the pixel size of the slide of that name if it is shown."""
    viewer = napari.current_viewer()
    for layer in viewer.layers if viewer is not None else ():
        metadata = layer.metadata.get(METADATA_KEY, {})
        if metadata.get("slide") == stem and metadata.get("role") in (FILE_ROLE, "image"):
            return float(layer.scale[0]) if str(layer.units[0]) == "micrometer" else None
    return None


def _open_project(path: str) -> list[tuple[None]]:
    """Open a project in the viewer's dock; it brings its own layers."""
    from napari_pathseg.ui.launch import get_dock

    viewer = napari.current_viewer()
    if viewer is None:
        raise ProjectError(f"{path} is a project and needs napari's window. Open it with `pathseg open`.")
    get_dock(viewer).session.open_project(Path(path))
    return [(None,)]


def _color(contour: Contour) -> str:
    return contour.color or _OUTLINE_COLOR
