"""Prediction of whole slides with a trained model, tile by tile with a halo.

The probabilities are written to ``predictions/``; `fill_masks` then merges them into the masks where
nothing is annotated.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from napari_pathseg.classes import class_table
from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import Bundle, check_classes, find_bundle, load_bundle, weights_mtime
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.events import Job, Progress, SlideDone, Stop
from napari_pathseg.engine.inference.predict_region import predict_region
from napari_pathseg.engine.inference.tta import TestTimeAugmentation
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.masks.edits import merge_prediction
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord


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
        The project that holds the model and the slides.
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
        A generator of events that takes `Stop` and returns the boxes predicted, one per slide.

    Raises
    ------
    BundleError
        If there is no such model, or its classes are not the project's.
    ProjectError
        If there is no such slide, or no slide of the role.
    """
    config = config or PredictConfig()
    folder = find_bundle(project, model)
    bundle = load_bundle(folder)
    check_classes(project, bundle)
    records = _select_slides(project, config.role, slides)
    boxes = [_mask_region(record, region) for record in records]
    predictor = _Predictor(project, config, bundle, folder)
    done: list[SlideDone] = []
    for number, (record, box) in enumerate(zip(records, boxes, strict=True)):
        start = time.perf_counter()
        for tiles_done, tiles in predictor.slide(record, box):
            fraction = (number + tiles_done / tiles) / len(records)
            elapsed = time.perf_counter() - predictor.start
            left = elapsed / fraction * (1 - fraction) if fraction else 0.0
            command = yield Progress(f"Predicting {record.id}", fraction, left)
            if isinstance(command, Stop):
                return done
        done.append(SlideDone(record.id, time.perf_counter() - start, box.height * box.width, box))
        if isinstance((yield done[-1]), Stop):
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
                    mask.run(merge_prediction(prediction, slide.region, record.complete_in))


def predict_images(
    bundle_folder: Path, images: Sequence[Path], out: Path, config: PredictConfig | None = None
) -> Job[list[Path]]:
    """Predict images outside any project with a bundle; return the label images written to `out`.

    Raises
    ------
    BundleError, UnsupportedSlideError, ProjectError
        If the folder is not a bundle, an image cannot be opened, or `out` cannot be written.
    """
    bundle = load_bundle(bundle_folder)
    with tempfile.TemporaryDirectory(prefix="pathseg-") as folder:
        classes = class_table([(entry["name"], entry["color"]) for entry in bundle.classes])
        project = Project.create(Path(folder) / "images.pathseg", classes, bundle.mpp)
        add_slides(project, images)
        shutil.copytree(bundle_folder, project.folder / "models" / "m001")  # whatever the folder's own name is
        yield from predict(project, config, "m001")
        return export(project, out, ExportOptions(format="mask", what="prediction"))


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


class _Predictor:
    """A model on its device, ready to predict slides."""

    def __init__(self, project: Project, config: PredictConfig, bundle: Bundle, folder: Path) -> None:
        network, model = load_network(folder), folder.name
        self._project, self._config, self._bundle = project, config, bundle
        self._network = TestTimeAugmentation(network.eval(), config.tta)
        self._model, self._weights_mtime = model, weights_mtime(project, model)
        side = config.tile + 2 * config.halo
        side = -(-side // network.multiple) * network.multiple
        sample = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        self._device = choose_device(network, sample, self._bundle.config.get("precision", "auto"))
        self._threads = CpuThreadTuner()
        self.start = time.perf_counter()

    def slide(self, record: SlideRecord, region: Region) -> Iterator[tuple[int, int]]:
        """Predict a box of a slide's mask grid; after each tile yield how many are done and how many there are."""
        path = self._project.prediction_path(self._model, record.id)
        prediction = create_prediction(path, record.mask_shape, self._bundle.class_names)
        slide = SlidePatchSource(self._project, record, stain_norm=self._bundle.config.get("stain_norm", "none"))
        tiles = list(layout(region, self._config.tile))
        try:
            for number, tile in enumerate(tiles, 1):
                prediction.write(tile, predict_region(self._network, self._device, slide, tile, self._config.halo))
                self._threads.adapt()
                yield number, len(tiles)
        finally:
            slide.close()
            self._threads.restore()
        if region == Region(0, 0, *record.mask_shape):
            prediction.finish(self._weights_mtime)
