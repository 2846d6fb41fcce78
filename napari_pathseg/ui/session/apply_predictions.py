"""Merge the worker's predictions into the masks, where nothing is annotated."""

from functools import partial
from pathlib import Path

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.engine.events import PreviewReady
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.edits import fill_from_model, merge_prediction
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.storage.portable import remove
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.workspace import Workspace


def apply_preview(workspace: Workspace, preview: PreviewReady) -> None:
    """Merge a training's prediction of the view into the mask in view."""
    region = preview.region
    if workspace.mask is None or workspace.slide is None or workspace.slide.id != preview.slide:
        return
    path = Path(preview.path)
    try:
        classes = np.load(path, allow_pickle=False)
        remove(path)
    except FileNotFoundError:
        return  # the window lags behind: the file name was reused meanwhile
    if workspace.mask.operations.running is not None:
        return  # a running operation comes first; another preview follows
    if classes.shape != (region.height, region.width):
        return  # a later preview was written meanwhile; its event follows
    if workspace.slide.complete:
        found = np.where(classes > BACKGROUND, 255, 0).astype(np.uint8)
        workspace.layers.show_probability(region, partial(_part, found, region), visible=True)
    else:
        complete = workspace.slide.complete_in(region)
        locked = workspace.locked_classes
        workspace.refresh_mask(fill_from_model(workspace.mask, region, classes, complete, locked))


def apply_prediction(workspace: Workspace, editor: MaskEditor, model: str, slide_id: str, region: Region) -> None:
    """Merge a model's prediction of a region into a slide's mask, where nothing is annotated."""
    project = workspace.require_project()
    entry = project.slide(slide_id)
    prediction = project.find_prediction(model, slide_id)
    if prediction is None:
        return
    if workspace.mask is not None and workspace.slide is not None and workspace.slide.id == slide_id:
        workspace.layers.show_probability(
            region.clip(entry.mask_shape), partial(_likely, prediction), visible=entry.complete
        )
        if not entry.complete:
            editor.run(merge_prediction(prediction, region, entry.complete_in, workspace.locked_classes))
    elif not entry.complete:
        with project.open_mask(slide_id) as mask:
            mask.run(merge_prediction(prediction, region, entry.complete_in, workspace.locked_classes))


def _part(pixels: UInt8Array, region: Region, part: Region) -> UInt8Array:
    """Return a part of the pixels of a region."""
    return pixels[part.shift(-region.top, -region.left).slices]


def _likely(prediction: Prediction, region: Region) -> UInt8Array:
    """Return the probability of anything but Background in a region; 0 where nothing was predicted."""
    background = np.asarray(prediction.probabilities[(0, *region.slices)])
    return np.where(prediction.read(region) == UNLABELLED, np.uint8(0), 255 - background).astype(np.uint8)
