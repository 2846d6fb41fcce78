"""The places of the scored slides where the model contradicts the labels most surely, with pictures.  No torch."""

import base64
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import SlideGeometry, write_contours
from napari_pathseg.engine.evaluation.borders import border_of
from napari_pathseg.engine.events import Job
from napari_pathseg.engine.guidance.disagreements import Disagreement, disagreements
from napari_pathseg.engine.guidance.pictures import picture_of
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.project import Project

PLACES = 12
FOLDER = "worst_places"  # of the GeoJSON files
LABEL_COLOUR, MODEL_COLOUR = (0, 114, 178), (213, 94, 0)  # of Okabe and Ito, which colour-blind people can tell apart
_FRAME_COLOUR = "#ff8c00"


def worst_places(project: Project, model: str, slides: Sequence[str]) -> Job[list[dict[str, Any]]]:
    """Return the places as JSON values: slide, level-0 region, both classes, area, and a PNG as a data link."""
    found = yield from disagreements(project, PLACES, slides, model)
    return [_values(project, place) for place in found.places if place.model == model]


def _values(project: Project, place: Disagreement) -> dict[str, Any]:
    picture, box = picture_of(project, place.slide, place.region), ",".join(map(str, place.region))
    return {
        "slide": place.slide,
        "region": list(place.region),
        "labelled": place.labelled,
        "predicted": place.predicted,
        "confidence": place.confidence,
        "mask_pixels": place.pixels,
        "area_mm2": place.area_mm2,
        "command": f"pathseg open {shlex.quote(project.folder.name)} --slide {shlex.quote(place.slide)} --region {box}",
        "picture": None if picture is None else _data_link(_outlined(project, place, picture)),
    }


def _outlined(project: Project, place: Disagreement, picture: UInt8Array) -> UInt8Array:
    """Return a picture with the borders of the labels and of the prediction."""
    record = project.slide(place.slide)
    box = place.region.coarser(record.downsample).clip(record.mask_shape)
    prediction = project.find_prediction(place.model, place.slide)
    shown = [GroundTruth(project, record).labels(box)]
    if prediction is not None:
        shown.append(prediction.read_with_glass(box))
    outlined = picture.copy()
    for labels, colour in zip(shown, (LABEL_COLOUR, MODEL_COLOUR), strict=False):
        outlined[border_of(_resized(labels, picture.shape[:2]))] = colour
    return outlined


def _resized(labels: UInt8Array, shape: tuple[int, ...]) -> UInt8Array:
    rows, columns = (np.arange(wanted) * given // wanted for wanted, given in zip(shape, labels.shape, strict=True))
    resized: UInt8Array = labels[np.ix_(rows, columns)]
    return resized


def _data_link(picture: UInt8Array) -> str:
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "PNG")
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"


def write_places(project: Project, places: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Path]:
    """Write the places of each slide as GeoJSON, which QuPath shows on the slide; return the files by slide."""
    written = {}
    for name in dict.fromkeys(place["slide"] for place in places):
        frames = [
            Contour(
                _corners(Region(*place["region"])),
                class_name=f"Check: labelled {place['labelled']}, predicted {place['predicted']}",
                color=_FRAME_COLOUR,
            )
            for place in places
            if place["slide"] == name
        ]
        record, written[name] = project.slide(name), folder / FOLDER / f"{name}.geojson"
        written[name].parent.mkdir(parents=True, exist_ok=True)
        write_contours(written[name], frames, frame=SlideGeometry(name, record.shape, record.mpp))
    return written


def _corners(box: Region) -> np.ndarray:
    top, left, bottom, right = box.top - 0.5, box.left - 0.5, box.bottom - 0.5, box.right - 0.5
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
