"""A trained network over whole slides, tile by tile with a halo.

The raw output goes to ``predictions/``; a mask takes it in where no person has spoken.
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
        Its slides of the role that `config` names are predicted.
    config
        How to predict.
    model
        The model's name; None for the newest.
    slides
        Names of slides; None for all of the role.
    region
        A box of level-0 pixels; None for whole slides.

    Returns
    -------
    job
        A generator of events that takes `Stop` and returns what was done, slide by slide.

    Raises
    ------
    BundleError
        If there is no such model, or its classes are not the project's.
    ProjectError
        If there is no such slide, or none of the role.
    """
    config = config or PredictConfig()
    folder = find_bundle(project, model)
    bundle = load_bundle(folder)
    check_classes(project, bundle)
    entries = _chosen(project, config.role, slides)
    boxes = [_mask_region(entry, region) for entry in entries]
    predictor = _Predictor(project, config, bundle, folder)
    done: list[SlideDone] = []
    for number, (entry, box) in enumerate(zip(entries, boxes, strict=True)):
        start = time.perf_counter()
        for tiles_done, tiles in predictor.slide(entry, box):
            share = (number + tiles_done / tiles) / len(entries)
            elapsed = time.perf_counter() - predictor.start
            left = elapsed / share * (1 - share) if share else 0.0
            command = yield Progress(f"Predicting {entry.id}", share, left)
            if isinstance(command, Stop):
                return done
        done.append(SlideDone(entry.id, time.perf_counter() - start, box.height * box.width, box))
        if isinstance((yield done[-1]), Stop):
            return done
    return done


def fill_masks(project: Project, model: str, done: Sequence[SlideDone]) -> None:
    """Let the masks of predicted slides take in a model's output."""
    with project.write_lock():
        for slide in done:
            entry = project.slide(slide.slide)
            prediction = project.find_prediction(model, entry.id)
            if prediction is not None and not entry.complete:
                with project.open_mask(entry.id) as mask:
                    mask.run(merge_prediction(prediction, slide.region, entry.complete_in))


def predict_images(
    bundle_folder: Path, images: Sequence[Path], out: Path, config: PredictConfig | None = None
) -> Job[list[Path]]:
    """Predict pictures with a bundle; return the label images written into `out`.

    Raises
    ------
    BundleError, UnsupportedSlideError, ProjectError
        If the folder is no bundle, a picture cannot be opened, or `out` cannot be written.
    """
    bundle = load_bundle(bundle_folder)
    with tempfile.TemporaryDirectory(prefix="pathseg-") as folder:
        classes = class_table([(entry["name"], entry["color"]) for entry in bundle.classes])
        project = Project.create(Path(folder) / "images.pathseg", classes, bundle.mpp)
        add_slides(project, images)
        shutil.copytree(bundle_folder, project.folder / "models" / "m001")  # whatever name a stranger gave it
        yield from predict(project, config, "m001")
        return export(project, out, ExportOptions(format="mask", what="prediction"))


def _chosen(project: Project, role: str, slides: Sequence[str] | None) -> list[SlideRecord]:
    entries = project.slides_with_role(role) if slides is None else [project.slide(name) for name in slides]
    if not entries:
        raise ProjectError(
            f"{project.folder.name} has no slide of the role {role}. Add one, or choose another role."
            if project.slides
            else f"{project.folder.name} has no slide. Add one first."
        )
    return entries


def _mask_region(entry: SlideRecord, region: Region | None) -> Region:
    if region is None:
        return Region(0, 0, *entry.mask_shape)
    box = region.coarser(entry.downsample).clip(entry.mask_shape)
    if box.empty:
        raise ProjectError(
            f"The region {tuple(region)} lies outside {entry.id}, which has {entry.shape[0]} x {entry.shape[1]} "
            "pixels. Give row, column, height and width in level-0 pixels."
        )
    return box


class _Predictor:
    """A network on its device, with what to compute at once."""

    def __init__(self, project: Project, config: PredictConfig, bundle: Bundle, folder: Path) -> None:
        network, model = load_network(folder), folder.name
        self._project, self._config, self._bundle = project, config, bundle
        self._network = TestTimeAugmentation(network.eval(), config.tta)
        self._model, self._stamp = model, weights_mtime(project, model)
        side = config.tile + 2 * config.halo
        side = -(-side // network.multiple) * network.multiple
        sample = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        self._device = choose_device(network, sample, self._bundle.config.get("precision", "auto"))
        self._threads = CpuThreadTuner()
        self.start = time.perf_counter()

    def slide(self, entry: SlideRecord, region: Region) -> Iterator[tuple[int, int]]:
        """Predict a box of a slide's grid; yield tiles done and tiles in all after each tile."""
        path = self._project.prediction_path(self._model, entry.id)
        prediction = create_prediction(path, entry.mask_shape, self._bundle.class_names)
        slide = SlidePatchSource(self._project, entry, stain_norm=self._bundle.config.get("stain_norm", "none"))
        tiles = list(layout(region, self._config.tile))
        try:
            for number, tile in enumerate(tiles, 1):
                prediction.write(tile, predict_region(self._network, self._device, slide, tile, self._config.halo))
                self._threads.adapt()
                yield number, len(tiles)
        finally:
            slide.close()
            self._threads.restore()
        if region == Region(0, 0, *entry.mask_shape):
            prediction.finish(self._stamp)
