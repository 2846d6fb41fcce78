"""The live model that the window keeps as a bundle, ``models/live``, which is replaced as a whole.

It is what ``pathseg train --preset live`` would make of the labels that were saved, without a run: from features that
the live model keeps, and scored on what a training would hold out.  ``kept.json`` beside it says of which labels it is
made, so that nothing is done again while they stay the same, and how it scores on the first of the held-out tiles,
which are those that a training validates on.
"""

import hashlib
import json
import logging
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from napari_pathseg.config import LINEAR, LIVE, LiveConfig, TrainConfig
from napari_pathseg.engine.bundle import MOST_LOOKS, Bundle, NetworkSpec, load_bundles
from napari_pathseg.engine.bundle_io import save_bundle, save_weights
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.dataset.slide_looks import look_of
from napari_pathseg.engine.evaluation.metrics import Confusion, collapsed_class, mean_dice
from napari_pathseg.engine.evaluation.validation import tiles_to_score
from napari_pathseg.engine.events import KEEPING, Progress
from napari_pathseg.engine.inference.region_predictor import to_8_bits
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.engine.live.live_slide import LiveSlide
from napari_pathseg.engine.live.tile_features import ScaleWeights
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.linear_head import LinearHead
from napari_pathseg.engine.training.kept_model import KeptLive, load_kept_live
from napari_pathseg.engine.training.linear_fit import LinearFit
from napari_pathseg.engine.training.origin import describe_origin
from napari_pathseg.engine.training.plan import Division, divide, known_classes, pixels_by_class
from napari_pathseg.errors import NothingToLearnError, PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.prediction import most_likely_classes
from napari_pathseg.projects.checks.trainability import train_val_split
from napari_pathseg.projects.held_out_parts import parts_to_json
from napari_pathseg.projects.model_weights import LIVE_MODEL
from napari_pathseg.projects.patients import count_patients
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labels_in_numbers
from napari_pathseg.slides.look import Look
from napari_pathseg.storage.atomic import replace_folder

_SAMPLES = 10_000  # tiles; no validation samples more
_logger = logging.getLogger(__name__)


def keep_live_model(
    project: Project, features: KeptFeatures, config: LiveConfig
) -> Generator[Progress, None, KeptLive]:
    """Bring the live model that a project keeps up to date with the labels that were saved.

    No role is assigned.  A generator that is closed before its end leaves the model that was kept before.

    Parameters
    ----------
    project
        The project.
    features
        The features of its slides, with their encoder.
    config
        The settings of the live model.

    Raises
    ------
    NothingToLearnError
        If a training would have nothing to learn, or nothing to be scored on.
    ProjectError
        If the project cannot be written.
    """
    began = time.perf_counter()
    project.check_links()
    labels, kept = _hash_of_labels(project, features, config), load_kept_live(project)
    if kept is not None and kept.labels == labels:
        return kept
    yield Progress(KEEPING, 0.0, 0.0)
    counts = {}
    for name in project.slides:
        counts[name] = project.counts(name)
        yield Progress(KEEPING, 0.0, 0.0)
    train, val = train_val_split(project, counts)
    train, val = (yield from _readable(project, train)), (yield from _readable(project, val))
    if not train:
        raise NothingToLearnError(
            f"No training slide of {project.folder.name} can be read, or all are far too coarse. Check their files and "
            "their pixel sizes."
        )
    division = divide(project, _settings_of_training(project), train, val)
    yield Progress(KEEPING, 0.0, 0.0)
    maker = _Maker(project, features, config, division)
    yield from maker.learn()
    yield from maker.score()
    pixels = {name: labels_in_numbers(project.slides[name], counts[name], project.classes.highest) for name in counts}
    return maker.save(labels, pixels, time.perf_counter() - began)


def _readable(project: Project, records: list[SlideRecord]) -> Generator[Progress, None, list[SlideRecord]]:
    """Return the slides that the live model does not do without, which says of the others why."""
    found = []
    for record in records:
        slide = LiveSlide(project, record, "none", [])
        try:
            slide.open()
        except PathsegError as error:
            _logger.info("The live model is kept without %s: %s", record.id, error)
        else:
            found.append(record)
        finally:
            slide.close()
        yield Progress(KEEPING, 0.0, 0.0)
    return found


class _Maker:
    """Makes a live model, in the order of its methods."""

    def __init__(self, project: Project, features: KeptFeatures, config: LiveConfig, division: Division) -> None:
        self._project, self._features, self._division = project, features, division
        encoder, weights = features.chosen
        self._config = TrainConfig(
            preset=LIVE,
            encoder=encoder,
            weights=weights,
            stain_norm=config.stain_norm,
            tile=division.config.tile,
        ).with_network_of_preset
        known, _ = known_classes(project, pixels_by_class(project, division.train))
        self._spec = NetworkSpec(LINEAR, encoder, project.classes.highest, known=known)
        self._confusion, self._dice = Confusion.empty(self._spec.classes), list[float]()
        self._tiles = 0
        self._looks: dict[str, Look] = {}

    def learn(self) -> Iterator[Progress]:
        """Fit the classifier to the slides that are learnt."""
        fit = LinearFit(
            self._spec.classes, self._features.widths, self._features.find_or_compute, self._config.corrected_weight
        )
        train, count = self._division.train, len(self._division.train) + len(self._division.val)
        for number, record in enumerate(train):
            parts = self._division.held_out
            with PatchDataset(self._project, [record], self._config, cache=False, held_out=parts) as dataset:
                for tiles, total in fit.read(dataset):
                    yield Progress(KEEPING, (number + tiles / total) / count, 0.0)
                look = look_of(self._project, dataset.slides[0]) if number < MOST_LOOKS else None
                self._looks.update({} if look is None else {record.id: look})
        network = build_network(self._spec, self._config.weights)
        assert isinstance(network, LinearHead)
        yield Progress(KEEPING, len(train) / count, 0.0)
        self._weights = ScaleWeights.of(fit.fit(network), self._features.widths)
        self._network = network
        yield Progress(KEEPING, len(train) / count, 0.0)

    def score(self) -> Iterator[Progress]:
        """Score it on what is held out, tile by tile in the order of a validation."""
        train, val = len(self._division.train), len(self._division.val)
        with ExitStack() as stack:
            slides, datasets = {}, []
            for record in self._division.val:
                parts = self._division.held_out
                dataset = PatchDataset(self._project, [record], self._config, cache=False, held_out=parts, scored=True)
                datasets.append(stack.enter_context(dataset))
                slides[record.id] = LiveSlide(self._project, record, self._config.stain_norm, [])
                stack.callback(slides[record.id].close)
                yield Progress(KEEPING, train / (train + val), 0.0)
            tiles = tiles_to_score(datasets)
            for number, (source, region) in enumerate(tiles, 1):
                self._score_tile(slides[source.record.id], region)
                if number <= _SAMPLES:
                    self._dice.append(mean_dice(self._confusion))
                yield Progress(KEEPING, (train + val * number / len(tiles)) / (train + val), 0.0)
        self._tiles = len(tiles)

    def _score_tile(self, slide: LiveSlide, region: Region) -> None:
        for cell in slide.cells(region):
            box = slide.box(cell).intersect(region)
            if not box.empty:
                tile = self._features.find(slide, cell) or self._features.compute(slide, cell)
                probabilities = self._weights.probabilities(tile, box, 1, slide.factor)
                self._confusion.add(slide.truth.labels(box), most_likely_classes(to_8_bits(probabilities)))

    def save(self, labels: str, pixels: dict[str, list[int]], seconds: float) -> KeptLive:
        """Replace the model that was kept before."""
        project, division, names = self._project, self._division, list(self._project.classes.slot_names)
        bundle = Bundle(
            id=LIVE_MODEL,
            parent=None,
            run="",
            network=self._spec,
            classes=project.classes.slots,
            mpp=None if all(record.mpp is None for record in division.train) else project.mpp,
            config=self._config.to_json(),
            scores=self._confusion.scores(names),
            mean_dice=mean_dice(self._confusion),
            scored_tiles=self._tiles,
            held_out_tiles=self._tiles,
            collapsed=collapsed_class(self._confusion, names),
            train=[record.id for record in division.train],
            val=[record.id for record in division.val],
            steps=1,
            seconds=seconds,
            finished=True,
            origin=describe_origin(),
            held_out=parts_to_json(division.held_out),
            looks=self._looks,
            train_patients=count_patients(division.train),
            val_patients=count_patients(division.val),
        )
        folder, kept = project.folder / "models" / LIVE_MODEL, KeptLive(bundle, labels, self._dice, pixels)
        try:
            folder.parent.mkdir(exist_ok=True)
            with replace_folder(folder) as partial:
                save_weights(partial, self._network.state_dict())
                save_bundle(partial, bundle)
                kept.save(partial)
        except OSError as error:
            raise ProjectError(
                f"{folder} could not be written ({error.strerror or error}). The live model that was kept before stays."
            ) from error
        return kept


def _settings_of_training(project: Project) -> TrainConfig:
    """Return the settings of the last training in the window: the next one holds out the same."""
    return TrainConfig.known(dict(project.state.training_choices.config))


def _hash_of_labels(project: Project, features: KeptFeatures, config: LiveConfig) -> str:
    """Return a hash of all that a live model depends on: it changes whenever a mask is written."""
    training = _settings_of_training(project)
    earlier = next((bundle.held_out for bundle in reversed(load_bundles(project)) if bundle.held_out), None)
    content = {
        "slides": {
            name: [asdict(record), _state_of(project.mask_path(name))] for name, record in project.slides.items()
        },
        "classes": [project.classes.slots, sorted(project.classes.numbers), project.mpp],
        "settings": [features.chosen, config.stain_norm, training.tile, training.context],
        "held_out": earlier,
    }
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def _state_of(mask: Path) -> list[int]:
    """Return what changes when a mask is written: when the file with its counts was, and its size."""
    try:
        status = (mask / "zarr.json").stat()
    except OSError:
        return []
    return [status.st_mtime_ns, status.st_size]
