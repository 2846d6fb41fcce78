"""Prediction of whole slides with a trained model, tile by tile with a halo.

The probabilities are written to ``predictions/``; `fill_masks` then merges them into the masks where
nothing is annotated.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from napari_pathseg.config import USUAL_HALO, PredictConfig
from napari_pathseg.engine.bundle import Bundle, check_classes, find_bundle, load_bundle, outputs_in
from napari_pathseg.engine.cost_model import fitting_prediction_tile
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.events import Command, Job, Note, Progress, RequestPreview, SlideDone, Stop, TileDone
from napari_pathseg.engine.inference.loaded_models import LoadedModel, load_model
from napari_pathseg.engine.inference.slide_prediction import (
    Block,
    SlidePrediction,
    TilePredictor,
    blocks_of,
    rows_of,
)
from napari_pathseg.engine.inference.unlike_slides import compare_with_learnt
from napari_pathseg.engine.runtime.choice import ReadyNetwork
from napari_pathseg.engine.runtime.pass_size import SIDES
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region, layout
from napari_pathseg.masks.edits import merge_prediction
from napari_pathseg.masks.prediction import Prediction, TileStore, ViewTiles, create_prediction
from napari_pathseg.projects.model_weights import weights_mtime
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.tissue_masks import SMALL_PIXELS, load_tissue
from napari_pathseg.slides.tissue import TissueMask
from napari_pathseg.storage.machine import memory_limit

_VIEW_PIXELS = 2048**2  # of a mask, up to which a part of a slide is a view
_VIEW_HALO, _VIEW_TILE = 128, 512  # pixels; a view has few tiles, so that a wide margin would be most of it
_WORTH_TRYING_MPX = 16  # of a prediction, to find out what an undivided network computes best at once
_ADAPTED = "adapted "  # in what a tile depends on
_BY = " by "  # in what a tile depends on, before the runtime


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
        The model's name; None for the current one.
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
    config = config.replace(tile=fitting_prediction_tile(bundle.network, config, memory_limit()))
    check_classes(project, bundle)
    records = select_slides(project, config.role, slides)
    boxes = [_mask_region(record, region) for record in records]
    orders, done = Orders(), list[SlideDone]()
    orders.take((yield Progress(f"Predicting {records[0].id}", 0.0, 0.0)))  # before the network is loaded
    for compared in compare_with_learnt(project, bundle, records):
        if orders.stopped:
            break
        orders.take((yield compared))
    if orders.stopped:
        return done
    predictor = SlidePredictor(project, config, bundle, folder, sum(box.height * box.width for box in boxes) / 1e6)
    for number, (record, box) in enumerate(zip(records, boxes, strict=True)):
        predictor.runtime_of(record.id)  # loads the network, which is not the slide's time
        start = time.perf_counter()
        for event in predictor.slide(record, box, orders):
            if event is not None:
                orders.take((yield event))
            if event is None or isinstance(event, TileDone):
                fraction = (number + predictor.share) / len(records)
                left = (time.perf_counter() - predictor.start) / fraction * (1 - fraction) if fraction else 0.0
                orders.take((yield Progress(f"Predicting {record.id}", fraction, left)))
        if not predictor.ended:
            return done
        seconds, failed = time.perf_counter() - start, list(predictor.failed)
        done.append(SlideDone(record.id, seconds, box.height * box.width, box, failed, predictor.runtime))
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


def select_slides(project: Project, role: str, slides: Sequence[str] | None) -> list[SlideRecord]:
    """Return the records of slides, None for those of a role; raise ProjectError if there are none."""
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


class Orders:
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


class SlidePredictor:
    """A model on its device, ready to predict slides."""

    def __init__(
        self, project: Project, config: PredictConfig, bundle: Bundle, folder: Path, megapixels: float
    ) -> None:
        self._project, self._config, self._bundle, self._folder = project, config, bundle, folder
        self._model, self._weights_mtime = folder.name, weights_mtime(project, folder.name)
        self._outputs, self._megapixels = outputs_in(project, bundle), megapixels * config.tta * config.shifts
        self._models: dict[str, tuple[LoadedModel, ReadyNetwork]] = {}  # by the file of their weights
        self._largest = 0  # pixels along a side that are computed at once
        if self._megapixels > _WORTH_TRYING_MPX:
            largest = config.replace(tile=SIDES[-1])
            self._largest = fitting_prediction_tile(bundle.network, largest, memory_limit())
        self.failed: dict[Region, str] = {}
        self.ended, self.runtime, self.share = False, "", 0.0
        self.start = time.perf_counter()

    def _loaded(self, slide: str) -> tuple[LoadedModel, ReadyNetwork]:
        """Return what predicts a slide: a network that has not learnt it, if it is held out."""
        weights, bundle = self._bundle.weights_for(slide), self._bundle
        if weights not in self._models:
            classes = max(self._project.classes.highest, bundle.network.classes)
            model = load_model(self._folder, weights, classes, self._outputs)
            precision = bundle.config.get("precision", "auto")
            runtime = (
                "torch" if self._config.adapt else self._config.runtime
            )  # OpenVINO would convert it for each slide
            self._models[weights] = model, model.ready(runtime, precision, self._megapixels)
        return self._models[weights]

    def _predictor(self, slide: str, *, view: bool = False) -> TilePredictor:
        model, ready = self._loaded(slide)
        halo, largest = (_VIEW_HALO, 0) if view else (USUAL_HALO, self._largest)
        return model.predictor(ready, self._config, halo, largest)

    def slide(self, record: SlideRecord, region: Region, orders: Orders) -> Iterator[TileDone | Note | None]:
        """Predict a box of a slide's mask grid; yield each tile that is done, and what could not be predicted.

        None is yielded meanwhile; `share` is how much is done.  Then `failed` has the boxes of the latter, and `ended`
        is False if it was stopped before the end.
        """
        _, ready = self._loaded(record.id)
        if note_of_model := self.note_of(record.id):
            yield Note(note_of_model, warning=True)
        view = region != Region(0, 0, *record.mask_shape) and region.height * region.width <= _VIEW_PIXELS
        prediction, note = self.begin(record, str(ready.way), view=view)
        if note is not None:
            yield note
        yield from self.compute(record, region, orders, ViewTiles(prediction) if view else prediction, view=view)
        if self.failed:
            yield Note(describe_failure(record.id, self.failed), warning=True)
        elif self.ended and region == Region(0, 0, *record.mask_shape):
            prediction.finish(self._weights_mtime)

    def runtime_of(self, slide: str) -> str:
        """Return the runtime and the precision that compute a slide."""
        return str(self._loaded(slide)[1].way)

    def note_of(self, slide: str) -> str:
        """Return what to know of how a slide is computed; "" if nothing."""
        model, ready = self._loaded(slide)
        if self._config.adapt and not model.has_batch_norm:
            return (
                f"{self._bundle.id} has no batch norm, so it is not adapted to the scanner: this is its plain answer."
            )
        return ready.note

    def begin(self, record: SlideRecord, runtime: str, *, view: bool = False) -> tuple[Prediction, Note | None]:
        """Return the stored prediction of a slide, ready for its tiles or those of a view, and what to know of it."""
        self.runtime, names = runtime, self._project.classes.slot_names
        path = self._project.prediction_path(self._model, record.id)
        prediction = create_prediction(path, record.mask_shape, names, self._weights_mtime)
        settings, note = self._settings(record), None
        if _differ_in_runtime(prediction.settings, settings):
            note = Note(
                f"{record.id} is predicted again with {self.runtime}: its tiles are from another runtime, whose "
                "labels may differ at edges."
            )
        if not (view and prediction.settings == settings):
            prediction.begin(settings)
        return prediction, note

    def blocks(self, record: SlideRecord) -> tuple[list[Block], list[Region]]:
        """Return the tiles of a slide in groups that processes can compute by themselves, and those of glass.

        Tiles that depend on each other are in one group; of a network that computes each tile alone it is a row.
        """
        tissue, _ = self._tissue(record)
        tiles = list(layout(Region(0, 0, *record.mask_shape), self._config.tile))
        found = [tile for tile in tiles if tissue is None or tissue.touches(tile.finer(record.downsample))]
        glass = list(set(tiles).difference(found))
        with contextlib.closing(SlidePatchSource(self._project, record)) as slide:
            side = self._predictor(record.id).block(slide.factor)
        return blocks_of(found, side) if side else rows_of(found), glass

    def compute(
        self, record: SlideRecord, region: Region, orders: Orders, tiles: TileStore, *, view: bool = False
    ) -> Iterator[TileDone | Note | None]:
        """Compute what `tiles` lacks of a box of a slide, with a narrow margin if it is a `view`; see `slide`."""
        side = min(self._config.tile, _VIEW_TILE) if view else self._config.tile
        self.failed, self.share = {}, 0.0
        tissue, note = self._tissue(record)
        if note is not None:
            yield note
        slide = SlidePatchSource(self._project, record, stain_norm=self._bundle.config.get("stain_norm", "none"))
        first, stopped = partial(orders.view, record.id), lambda: orders.stopped
        (model, ready), predictor = self._loaded(record.id), self._predictor(record.id, view=view)
        run = SlidePrediction(predictor, slide, tiles, tissue, view=first, stopped=stopped)
        with contextlib.closing(slide), contextlib.ExitStack() as stack:
            if self._config.adapt:
                stack.enter_context(model.adapted_to(self._project, slide, ready.device))
            for tile, self.share in run.tiles(region, side):
                yield None if tile is None else TileDone(record.id, tile, self.share)
        self.failed, self.ended = run.failed, run.ended

    def _settings(self, record: SlideRecord) -> str:
        """Return what a tile depends on besides the weights: what was predicted with other settings is not kept."""
        config = self._config
        averaged = f"{config.tta} {config.shifts} {'blend ' * config.blend}{_ADAPTED * config.adapt}{self._outputs}"
        return f"{config.tile} {config.halo} {averaged} {record.fingerprint}{_BY}{self.runtime}"

    def _tissue(self, record: SlideRecord) -> tuple[TissueMask | None, Note | None]:
        """Return where a slide has tissue, None if all of it is to be predicted; and what to know of it."""
        if not self._config.tissue_only or record.mask_shape[0] * record.mask_shape[1] <= SMALL_PIXELS:
            return None, None
        try:
            return load_tissue(self._project, record.id), None
        except ProjectError as error:
            return None, Note(f"All of {record.id} is predicted, glass too: {error}", warning=True)


def is_adapted(prediction: Prediction) -> bool:
    """Return whether a stored prediction is of a model that was adapted to the slide's scanner."""
    return f" {_ADAPTED}" in (prediction.settings or "")


def _differ_in_runtime(earlier: str | None, settings: str) -> bool:
    """Return whether settings of `SlidePredictor` differ, and in nothing else."""
    return earlier not in (None, settings) and str(earlier).rpartition(_BY)[0] == settings.rpartition(_BY)[0]


def describe_failure(slide: str, failed: Mapping[Region, str]) -> str:
    """Return a sentence about boxes of a slide that could not be predicted."""
    box, reason = next(iter(failed.items()))
    parts = "1 part" if len(failed) == 1 else f"{len(failed)} parts"
    return (
        f"{slide} is predicted but for {parts}, the first at row {box.top}, column {box.left} of its mask: "
        f"{reason.rstrip('.')}. Predict again to try these parts once more."
    )
