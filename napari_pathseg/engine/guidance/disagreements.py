"""Where labels and a model disagree, to find errors of the annotation: the most confident contradictions first.

What models have stored of labelled slides is compared with the labels.  A model that learnt a slide may have learnt its
errors too, so a model that has not is preferred, and each place says which it was.  What a person corrected is decided,
and not asked about again.  No torch.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from napari_pathseg.engine.bundle import Bundle, find_bundle, has_classes_of, learnt_slides, lineage
from napari_pathseg.engine.events import Event, Job, Note, Progress, Stop
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.disagreement import Pairs, Question, border_reach, contradictions, cores
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.zarr_store import CHUNK, chunk_region, chunks_of
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.held_out_parts import join_names
from napari_pathseg.projects.model_weights import is_outdated
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.skipped_places import DISAGREEMENTS_FILE, load_skipped
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes
from napari_pathseg.projects.working_grid import working_factor

_STAGE = "Comparing labels"
_EVENT_S = 0.1  # between two reports, at which a search can be stopped
_PATCH = 128  # working pixels along the squares that a place is made of
_LARGEST = 8  # squares along a place
_AROUND = 64  # working pixels that a frame shows around a contradiction
_SMALLEST_FRAME = 256  # working pixels
_LEAST = 100  # working pixels of a core that are worth a question
_UNREADABLE = (PathsegError, OSError, ValueError, RuntimeError)  # RuntimeError: a chunk that cannot be decompressed

_Square = tuple[int, int]


@dataclass(frozen=True)
class Disagreement:
    """A place where a model contradicts the labels.

    Attributes
    ----------
    slide, region
        Where it is, in level-0 pixels.
    reason
        What is labelled and what the model found, in words.
    labelled, predicted
        The names of both classes.
    confidence
        The mean probability that the model gives to its class there.
    pixels, area_mm2
        Mask pixels of the contradiction, and their area if the slide's pixel size is known.
    model, learnt
        The model, and whether it has learnt these labels.
    """

    slide: str
    region: Region
    reason: str
    labelled: str
    predicted: str
    confidence: float
    pixels: int
    area_mm2: float | None
    model: str
    learnt: bool


@dataclass(frozen=True)
class Disagreements:
    """What was found: the places, the best first, and the labelled slides of which no prediction is stored."""

    places: list[Disagreement]
    not_predicted: list[str] = field(default_factory=list)

    @property
    def note(self) -> str:
        """Which slides could not be compared and why, as a sentence; "" if all could be."""
        names = self.not_predicted
        if not names:
            return ""
        verb = "is" if len(names) == 1 else "are"
        return f"{join_names(names)} {verb} not compared: predict {'it' if len(names) == 1 else 'them'} first."


def disagreements(
    project: Project,
    count: int = 12,
    slides: Sequence[str] | None = None,
    model: str | None = None,
    question: Question | None = None,
) -> Job[Disagreements]:
    """Return the places where labels and a model disagree most confidently; those found so far, if it is stopped.

    Parameters
    ----------
    project
        The project; nothing in it changes.
    count
        The most places.
    slides
        The slides to look at; None for all that are labelled.
    model
        The model; None for the current one or, on slides that it has learnt, the newest that has not, if there is one.
    question
        The pair of classes to look for, beginning with the slide that has most of it; None for all.

    Raises
    ------
    ProjectError
        If a slide in `slides` is unknown, or the list of skipped places is damaged.
    BundleError
        If `model` does not exist.
    """
    for name in slides or ():
        project.slide(name)
    search = _Search(project, model, question)
    for event in search.find(slides):
        command = yield event
        if isinstance(command, Stop) and command.now:
            return Disagreements([])
        if isinstance(command, Stop):
            break
    return Disagreements(search.places(count), search.not_predicted)


class _Compared(NamedTuple):
    """A slide with what a model found on it; `models` are that model and those that it was trained from."""

    record: SlideRecord
    truth: GroundTruth
    prediction: Prediction
    models: list[Bundle]
    factor: float


@dataclass
class _Patch:
    """A contradiction within a square: core pixels, their box, the sum of the probabilities, and all pixels."""

    core: int
    box: Region
    probability: float
    pixels: int


class _Search:
    """The comparison of a project's labels with what models have stored."""

    def __init__(self, project: Project, model: str | None, question: Question | None) -> None:
        self._project, self._question = project, question
        self._models = [lineage(project, find_bundle(project, model).name)] if model else list(_usable_models(project))
        self._skipped = load_skipped(project, DISAGREEMENTS_FILE)
        self._known = np.zeros(256, np.uint8)  # classes by what is stored: 0 for one that is gone
        self._known[list(project.classes.numbers)] = list(project.classes.numbers)
        self._compared: dict[str, _Compared] = {}
        self._patches: dict[tuple[str, Question], dict[_Square, _Patch]] = {}
        self.not_predicted: list[str] = []

    def find(self, names: Sequence[str] | None) -> Iterator[Event]:
        """Compare the tiles of all slides, in an order that spreads them."""
        for record in self._project.slides.values():
            if names is None or record.id in names:
                try:
                    self._open(record)
                except _UNREADABLE as error:
                    yield Note(f"{record.id} is left out: {error}", warning=True)
        tiles = [(name, tile) for name, compared in self._compared.items() for tile in _labelled_tiles(compared)]
        start = said = time.perf_counter()
        yield Progress(_STAGE, 0.0, 0.0)
        for number, index in enumerate(np.random.default_rng(0).permutation(len(tiles)), 1):
            name, tile = tiles[index]
            if name not in self._compared:
                continue
            try:
                self._look(self._compared[name], tile)
            except _UNREADABLE as error:
                del self._compared[name]
                yield Note(f"{name} is left out: {error}", warning=True)
            if (now := time.perf_counter()) > said + _EVENT_S:
                said = now
                yield Progress(_STAGE, number / len(tiles), (now - start) / number * (len(tiles) - number))

    def places(self, count: int) -> list[Disagreement]:
        """Return the places with the most confident contradictions, the larger first of those that are as confident."""
        found, totals = list[Disagreement](), dict[str, int]()
        for (name, question), patches in self._patches.items():
            if name in self._compared:
                places = [self._place(name, question, group) for group in _groups(patches)]
                found += [place for place in places if place is not None]
                totals[name] = totals.get(name, 0) + sum(patch.pixels for patch in patches.values())

        def rank(place: Disagreement) -> tuple[int, float, int]:
            most = totals[place.slide] if self._question is not None else 0
            return -most, -round(place.confidence, 2), -place.pixels

        return sorted(found, key=rank)[:count]

    def _open(self, record: SlideRecord) -> None:
        """Choose what a labelled slide is compared with."""
        if not labelled_classes(record, self._project.counts(record.id)):
            return
        stored = [(models, found) for models in self._models if (found := self._stored(models[0].id, record))]
        if not stored:
            self.not_predicted.append(record.id)
            return
        held_out = [one for one in stored if not learnt_slides(one[0], [record.id], one[0][0].parts)]
        models, prediction = (held_out or stored)[0]
        factor = working_factor(self._project.mpp, record)
        truth = GroundTruth(self._project, record)
        self._compared[record.id] = _Compared(record, truth, prediction, models, factor)

    def _stored(self, model: str, record: SlideRecord) -> Prediction | None:
        found = self._project.find_prediction(model, record.id)
        if found is None or found.shape != record.mask_shape or is_outdated(self._project, model, found):
            return None
        return found

    def _look(self, compared: _Compared, tile: Region) -> None:
        """Note the contradictions of a tile by square."""
        found = self._known[compared.prediction.read(tile)]
        if not found.any():
            return
        truth, corrected = compared.truth.labels_and_corrections(tile)
        pairs = contradictions(self._known[truth], corrected, found)
        if self._question is not None:
            pairs[pairs != self._question.code] = 0
        core = cores(pairs, border_reach(compared.factor)) if pairs.any() else np.zeros(pairs.shape, bool)
        codes = np.unique(pairs[core])
        side = _square_side(compared.factor)
        for code in codes:
            question = Question(int(code) >> 8, int(code) & 255)
            probability = compared.prediction.sample(question.found, tile)
            patches = self._patches.setdefault((compared.record.id, question), {})
            for square in layout(Region(0, 0, tile.height, tile.width), side):
                patch = _patch(pairs[square.slices], core[square.slices], probability[square.slices], int(code))
                if patch is not None and not self._is_skipped(compared.record, patch, square, tile):
                    place = (tile.top + square.top) // side, (tile.left + square.left) // side
                    patch.box = patch.box.shift(tile.top + square.top, tile.left + square.left)
                    patches[place] = patch

    def _is_skipped(self, record: SlideRecord, patch: _Patch, square: Region, tile: Region) -> bool:
        box = patch.box.shift(tile.top + square.top, tile.left + square.left).finer(record.downsample)
        return any(not box.intersect(each).empty for each in self._skipped.get(record.id, ()))

    def _place(self, name: str, question: Question, group: list[_Patch]) -> Disagreement | None:
        """Return the place of neighbouring patches; None if it is too small."""
        record, _, _, models, factor = self._compared[name]
        core = sum(patch.core for patch in group)
        if core < _LEAST * factor**2:
            return None
        box = group[0].box
        for patch in group[1:]:
            box = box.unite(patch.box)
        region = _framed(box, factor, record.mask_shape).finer(record.downsample).clip(record.shape)
        confidence, pixels = sum(patch.probability for patch in group) / core, sum(patch.pixels for patch in group)
        labelled, predicted = (self._project.classes.name_of(number) for number in (question.labelled, question.found))
        reason = f"you: {labelled}, model: {predicted} {100 * confidence:.0f} %"
        area = None if record.mask_mpp is None else pixels * (record.mask_mpp / 1000) ** 2
        level0 = box.finer(record.downsample).clip(record.shape)
        learnt = bool(learnt_slides(models, [name], {name: (level0,)}))
        model = models[0].id
        return Disagreement(name, region, reason, labelled, predicted, confidence, pixels, area, model, learnt)


def _usable_models(project: Project) -> Iterator[list[Bundle]]:
    """Yield the models with the project's classes, the current one first, each with those it was trained from."""
    for name in project.preferred_models():
        with suppress(PathsegError):  # a damaged model is named where models are listed
            found = lineage(project, name)
            if has_classes_of(project, found[0].class_names):
                yield found


def _labelled_tiles(compared: _Compared) -> Iterator[Region]:
    """Yield the chunks of a mask that may have labels."""
    record, whole = compared.record, Region(0, 0, *compared.record.mask_shape)
    keys = compared.truth.set_chunks()
    for box in [whole] if record.complete else record.mask_boxes:
        keys = keys | set(chunks_of(box))
    for key in sorted(keys):
        if not (tile := chunk_region(key).clip(record.mask_shape)).empty:
            yield tile


def _square_side(factor: float) -> int:
    """Return the mask pixels along a square: a chunk is divided without a rest, so that squares are a grid."""
    parts = max(1, round(CHUNK / (_PATCH * factor)))
    return -(-CHUNK // (1 << (parts.bit_length() - 1)))


def _patch(pairs: Pairs, core: BoolArray, probability: UInt8Array, code: int) -> _Patch | None:
    """Return the contradictions of a pair in a square, whose box is counted from its corner; None without a core."""
    inside = core & (pairs == code)
    if not inside.any():
        return None
    rows, columns = np.nonzero(inside)
    top, left = int(rows.min()), int(columns.min())
    box = Region(top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left)
    total = float(probability[inside].sum(dtype=np.int64)) / 255
    return _Patch(len(rows), box, total, int((pairs == code).sum()))


def _groups(patches: dict[_Square, _Patch]) -> Iterator[list[_Patch]]:
    """Yield neighbouring patches, those around the most confident ones first; none extends over many squares."""
    left = dict(sorted(patches.items(), key=lambda item: -item[1].probability / item[1].core))
    while left:
        start = next(iter(left))
        group, waiting, low, high = [left.pop(start)], [start], list(start), list(start)
        while waiting:
            row, column = waiting.pop(0)
            for place in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                lower = [min(one, other) for one, other in zip(low, place, strict=True)]
                upper = [max(one, other) for one, other in zip(high, place, strict=True)]
                if place in left and max(np.subtract(upper, lower)) < _LARGEST:
                    low, high = lower, upper
                    group.append(left.pop(place))
                    waiting.append(place)
        yield group


def _framed(box: Region, factor: float, shape: tuple[int, int]) -> Region:
    """Return a square box around a contradiction, on the mask's grid, as far as the slide reaches."""
    side = max(box.height, box.width) + 2 * round(_AROUND * factor)
    side = max(side, round(_SMALLEST_FRAME * factor))
    height, width = (min(side, size) for size in shape)
    top, left = (
        min(max(0, start + length // 2 - wanted // 2), size - wanted)
        for start, length, wanted, size in zip(box[:2], box[2:], (height, width), shape, strict=True)
    )
    return Region(top, left, height, width)
