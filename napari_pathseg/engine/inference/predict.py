"""Prediction of whole slides with a trained model, tile by tile with a halo.

The probabilities are written to ``predictions/``; `fill_masks` then merges them into the masks where
nothing is annotated.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from napari_pathseg.classes import class_table
from napari_pathseg.config import PredictConfig
from napari_pathseg.contours.formats import stem_of
from napari_pathseg.engine.bundle import (
    Bundle,
    check_classes,
    copy_bundle,
    find_bundle,
    load_bundle,
    outputs_in,
    weights_mtime,
)
from napari_pathseg.engine.bundle_io import check_weights, load_network
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.events import Command, Job, Note, Progress, RequestPreview, SlideDone, Stop, TileDone
from napari_pathseg.engine.inference.region_predictor import RegionPredictor
from napari_pathseg.engine.inference.slide_prediction import SlidePrediction
from napari_pathseg.engine.inference.tta import TestTimeAugmentation
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.masks.edits import merge_prediction
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.checks.unusual_slides import find_unusual_slides
from napari_pathseg.projects.exporting.export import ExportOptions, check_targets, export
from napari_pathseg.projects.held_out_parts import join_names
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.tissue_masks import load_tissue
from napari_pathseg.slides.tissue import TissueMask
from napari_pathseg.storage.scratch import scratch_folder

_SMALL_PIXELS = 4096**2  # of a mask, up to which all of the slide is predicted, glass too
_TRIAL_SIDE = 512  # of the tile with which the device is chosen
_LABEL_IMAGES = ExportOptions(format="mask", what="prediction")


def predict(
    project: Project,
    config: PredictConfig | None = None,
    model: str | None = None,
    *,
    slides: Sequence[str] | None = None,
    region: Region | None = None,
) -> Job[list[SlideDone]]:
    """Predict slides of a project.

    Parameters
    ----------
    project
        The project with the model and the slides.
    config
        The prediction settings.
    model
        The model's name; None for the newest.
    slides
        Names of slides; None for all slides of the role in `config`.
    region
        A box in level-0 pixels; None for whole slides.

    Returns
    -------
    job
        A generator of events that accepts `Stop` and `RequestPreview`, whose tiles come first, and returns the
        predicted boxes, one per slide.  What a stopped one has predicted of another slide is stored and was reported by
        `TileDone`, but the slide is not among the results.

    Raises
    ------
    BundleError
        If the model does not exist, or its classes are not those of the project.
    ProjectError
        If a slide does not exist, no slide has the role, or a link in the project leads out of it.
    """
    config = config or PredictConfig()
    project.check_links()
    folder = find_bundle(project, model)
    bundle = load_bundle(folder)
    check_classes(project, bundle)
    records = _select_slides(project, config.role, slides)
    boxes = [_mask_region(record, region) for record in records]
    orders, done = _Orders(), list[SlideDone]()
    orders.take((yield Progress(f"Predicting {records[0].id}", 0.0, 0.0)))  # before the network is loaded
    if orders.stopped:
        return done
    predictor = _Predictor(project, config, bundle, folder)
    for number, (record, box) in enumerate(zip(records, boxes, strict=True)):
        start = time.perf_counter()
        for event in predictor.slide(record, box, orders):
            orders.take((yield event))
            if isinstance(event, TileDone):
                fraction = (number + event.share) / len(records)
                left = (time.perf_counter() - predictor.start) / fraction * (1 - fraction)
                orders.take((yield Progress(f"Predicting {record.id}", fraction, left)))
        if not predictor.ended:
            return done
        seconds, failed = time.perf_counter() - start, predictor.failed
        done.append(SlideDone(record.id, seconds, box.height * box.width, box, failed))
        orders.take((yield done[-1]))
        if orders.stopped:
            return done
    return done


def fill_masks(project: Project, model: str, done: Sequence[SlideDone]) -> None:
    """Merge a model's predictions into the masks of the predicted slides, except complete ones."""
    with project.write_lock():
        for slide in done:
            record = project.slide(slide.slide)
            prediction = project.find_prediction(model, record.id)
            if prediction is not None and not record.complete:
                with project.open_mask(record.id) as mask:
                    mask.run(merge_prediction(prediction, [slide.region], record.complete_in))


class PredictedImages(NamedTuple):
    """The files that were written for images, and how many parts of the images could not be predicted."""

    files: list[Path]
    failed: int


def predict_images(
    bundle_folder: Path,
    images: Sequence[Path],
    out: Path,
    config: PredictConfig | None = None,
    options: ExportOptions = _LABEL_IMAGES,
) -> Job[PredictedImages]:
    """Predict images outside any project with a bundle; write them to `out`, by default as label images.

    One that is stopped writes the images that it has predicted to their end.

    Raises
    ------
    BundleError, UnsupportedSlideError, ProjectError
        If the folder is not a bundle, an image cannot be opened, or `out` cannot be written.
    """
    bundle = load_bundle(bundle_folder)
    with scratch_folder() as folder:
        classes = class_table([(entry["name"], entry["color"]) for entry in bundle.classes])
        project = Project.create(Path(folder) / "images.pathseg", classes, bundle.mpp)
        records = add_slides(project, images)
        check_targets(project, out, options)  # now, not after hours
        check_weights(bundle_folder)  # before they are copied, whatever they are
        copy_bundle(bundle_folder, project.folder / "models" / "m001")  # whatever the folder's own name is
        for text in _notes(project, records):
            yield Note(text, warning=True)
        done = yield from predict(project, config, "m001")
        files = export(project, out, replace(options, slides=[slide.slide for slide in done])) if done else []
        return PredictedImages(files, sum(len(slide.failed) for slide in done))


def _notes(project: Project, records: Sequence[SlideRecord]) -> Iterator[str]:
    """Yield what to know of images outside any project before they are predicted."""
    silent = [record.id for record in records if record.mpp is None]
    if silent and project.mpp is not None:
        yield (
            f"No pixel size in {join_names(silent)}: predicted at full resolution, while the model learnt at "
            f"{project.mpp:g} um per pixel. Save the images with their pixel size, or predict them in a project."
        )
    files = {record.id: project.find_file(record) for record in records if record.page is None}
    renamed = [f"{file.name} as {name}" for name, file in files.items() if stem_of(file) != name]
    if renamed:
        yield f"Names that are taken, or no file can have, were changed: {', '.join(renamed)}."
    yield from find_unusual_slides(project, records)


def _select_slides(project: Project, role: str, slides: Sequence[str] | None) -> list[SlideRecord]:
    records = project.slides_with_role(role) if slides is None else [project.slide(name) for name in slides]
    if not records:
        raise ProjectError(
            f"{project.folder.name} has no slide of the role {role}. Add one, or choose another role."
            if project.slides
            else f"{project.folder.name} has no slide. Add one first."
        )
    return records


def _mask_region(record: SlideRecord, region: Region | None) -> Region:
    if region is None:
        return Region(0, 0, *record.mask_shape)
    box = region.coarser(record.downsample).clip(record.mask_shape)
    if box.empty:
        raise ProjectError(
            f"The region {tuple(region)} lies outside {record.id}, which has {record.shape[0]} x {record.shape[1]} "
            "pixels. Give row, column, height and width in level-0 pixels."
        )
    return box


class _Orders:
    """The commands to a running prediction: whether to stop, and what of which slide to predict first."""

    def __init__(self) -> None:
        self.stopped = False
        self._view: RequestPreview | None = None

    def take(self, command: Command | None) -> None:
        """Remember a command."""
        self.stopped |= isinstance(command, Stop)
        if isinstance(command, RequestPreview):
            self._view = command

    def view(self, slide: str) -> Region:
        """Return what of a slide to predict first."""
        return self._view.region if self._view is not None and self._view.slide == slide else EMPTY_REGION


class _Predictor:
    """A model on its device, ready to predict slides."""

    def __init__(self, project: Project, config: PredictConfig, bundle: Bundle, folder: Path) -> None:
        network, model = load_network(folder, max(project.classes.highest, bundle.network.classes)), folder.name
        self._outputs = outputs_in(project, bundle)
        network.set_outputs(*self._outputs)
        self._project, self._config, self._bundle = project, config, bundle
        self._model, self._weights_mtime = model, weights_mtime(project, model)
        sample = torch.zeros(1, 3, _TRIAL_SIDE, _TRIAL_SIDE, dtype=torch.uint8)
        device = choose_device(network, sample, self._bundle.config.get("precision", "auto"))
        augmented = TestTimeAugmentation(network.eval(), config.tta)
        self._predictor = RegionPredictor(augmented, device, config.halo, config.shifts)
        self.failed: list[Region] = []
        self.ended = False
        self.start = time.perf_counter()

    def slide(self, record: SlideRecord, region: Region, orders: _Orders) -> Iterator[TileDone | Note]:
        """Predict a box of a slide's mask grid; yield each tile that is done, and what could not be predicted.

        Then `failed` has the boxes of the latter, and `ended` is False if it was stopped before the end.
        """
        path, config, self.failed = self._project.prediction_path(self._model, record.id), self._config, []
        names = self._project.classes.slot_names
        prediction = create_prediction(path, record.mask_shape, names, self._weights_mtime)
        prediction.begin(self._settings(record))
        tissue, note = self._tissue(record)
        if note is not None:
            yield note
        slide = SlidePatchSource(self._project, record, stain_norm=self._bundle.config.get("stain_norm", "none"))
        view, stopped = partial(orders.view, record.id), lambda: orders.stopped
        run = SlidePrediction(self._predictor, slide, prediction, tissue, view=view, stopped=stopped)
        with contextlib.closing(slide):
            for tile, share in run.tiles(region, config.tile):
                yield TileDone(record.id, tile, share)
        self.failed, self.ended = list(run.failed), run.ended
        if run.failed:
            yield Note(_failure(record.id, run.failed), warning=True)
        elif run.ended and region == Region(0, 0, *record.mask_shape):
            prediction.finish(self._weights_mtime)

    def _settings(self, record: SlideRecord) -> str:
        """Return what a tile depends on besides the weights: what was predicted with other settings is not kept."""
        config = self._config
        return f"{config.tile} {config.halo} {config.tta} {config.shifts} {self._outputs} {record.fingerprint}"

    def _tissue(self, record: SlideRecord) -> tuple[TissueMask | None, Note | None]:
        """Return where a slide has tissue, None if all of it is to be predicted; and what to know of it."""
        if not self._config.tissue_only or record.mask_shape[0] * record.mask_shape[1] <= _SMALL_PIXELS:
            return None, None
        try:
            return load_tissue(self._project, record.id), None
        except ProjectError as error:
            return None, Note(f"All of {record.id} is predicted, glass too: {error}", warning=True)


def _failure(slide: str, failed: Mapping[Region, str]) -> str:
    """Return a sentence about boxes of a slide that could not be predicted."""
    box, reason = next(iter(failed.items()))
    parts = "1 part" if len(failed) == 1 else f"{len(failed)} parts"
    return (
        f"{slide} is predicted but for {parts}, the first at row {box.top}, column {box.left} of its mask: "
        f"{reason.rstrip('.')}. Predict again to try these parts once more."
    )
