"""How a session takes in what the worker wrote: the masks are the window's, where no person has spoken."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.edits import fill_from_model, merge_prediction
from napari_pathseg.masks.prediction import Prediction

if TYPE_CHECKING:
    from napari_pathseg.ui.session.session import Session


def apply_preview(session: Session, message: dict[str, Any]) -> None:
    """Let the mask in view take in what a model in training sees."""
    region = Region(*message["region"])
    if session.mask is None or session.slide is None or session.slide.id != message["slide"]:
        return
    path = Path(message["path"])
    try:
        classes = np.load(path, allow_pickle=False)
        path.unlink()
    except FileNotFoundError:
        return  # a window far behind: the name was used again meanwhile
    if session.mask.operations.running is not None:
        return  # what is done over the slide comes first; another view follows
    if classes.shape != (region.height, region.width):
        return  # a later view has been written meanwhile, its event follows
    if session.slide.complete:
        found = np.where(classes > BACKGROUND, 255, 0).astype(np.uint8)
        session.layers.show_probability(region, partial(_part, found, region), visible=True)
    else:
        complete = session.slide.complete_in(region)
        locked = session.editor.locked
        session.refresh_mask(fill_from_model(session.mask, region, classes, complete, locked))


def apply_prediction(session: Session, model: str, slide_id: str, region: Region) -> None:
    """Let a slide's mask take in what a model predicted in a box of it, as far as no person has spoken."""
    project = session.require_project()
    entry = project.slide(slide_id)
    prediction = project.find_prediction(model, slide_id)
    if prediction is None:
        return
    if session.mask is not None and session.slide is not None and session.slide.id == slide_id:
        session.layers.show_probability(
            region.clip(entry.mask_shape), partial(_likely, prediction), visible=entry.complete
        )
        if not entry.complete:
            session.editor.run(merge_prediction(prediction, region, entry.complete_in, session.editor.locked))
    elif not entry.complete:
        with project.open_mask(slide_id) as mask:
            mask.run(merge_prediction(prediction, region, entry.complete_in, session.editor.locked))


def _part(pixels: UInt8Array, region: Region, part: Region) -> UInt8Array:
    """Return a part of the pixels of a region."""
    return pixels[part.shift(-region.top, -region.left).slices]


def _likely(prediction: Prediction, region: Region) -> UInt8Array:
    """Return how likely anything but Background is in a box, 0 where nothing was predicted."""
    background = np.asarray(prediction.probabilities[(0, *region.slices)])
    return np.where(prediction.read(region) == UNLABELLED, np.uint8(0), 255 - background).astype(np.uint8)
