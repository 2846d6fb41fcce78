"""What the live model learns from: the labels of slides as they change, and the fit to them."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Mapping

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassTable
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.live.discriminant import FeatureSums
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.engine.live.labelled_tiles import LabelledTiles, Strength, TileLabels
from napari_pathseg.engine.live.live_slide import Cell, LiveSlide
from napari_pathseg.engine.live.tile_features import ScaleWeights, TileFeatures

LEAST = 200  # labelled pixels of a class
_NEW_LABELS = 0.2  # share of the labelled pixels; the strength of the fit is chosen again for so many
_REFIT_S = 2.0  # between fits while labels of other slides are read
_LATE_S = 0.8  # between fits while strokes follow one another faster than they are read
_TILES = 48  # of a slide that are learnt for each class, beside those of strokes
_LOOKED = 1024  # tiles of a slide that are searched for labels

Place = tuple[str, Cell]
_Counts = npt.NDArray[np.int64]  # labelled pixels, by class


class Learner:
    """The labels of slides, and the classifier that fits them.

    Parameters
    ----------
    features
        The features of the slides, with a loaded encoder.
    classes
        The classes of the project.
    slides
        Returns a slide that is learnt.

    Attributes
    ----------
    weights
        The classifier; None before the first fit.
    fits, seconds
        How often it was fitted, and how long the last time took.
    """

    def __init__(self, features: KeptFeatures, classes: ClassTable, slides: Callable[[str], LiveSlide]) -> None:
        self._features, self._slides = features, slides
        self.weights: ScaleWeights | None = None
        self.fits, self.seconds = 0, 0.0
        self._fitted_at = 0.0
        self._strength = Strength()
        self.start_again(classes)

    def start_again(self, classes: ClassTable) -> None:
        """Forget all labels; the classifier stays until they are read again."""
        self._classes = classes
        weight = TrainConfig().corrected_weight
        self._labels = LabelledTiles(classes.highest, self._features.widths, weight)
        self._counts: dict[Place, _Counts] = {}
        self._on_tissue: dict[Place, int] = {}  # labelled pixels
        self._total, self._total_on_tissue = np.zeros(256, np.int64), 0
        self._fitted: list[int] = []  # classes
        self._tiles: Counter[tuple[str, int]] = Counter()  # by slide and class
        # By slide; whether a stroke has just touched the tile.
        self._unread: OrderedDict[str, OrderedDict[Cell, bool]] = OrderedDict()
        self._waiting: OrderedDict[Place, bool] = OrderedDict()  # their features are not at hand
        self._changed = self._urgent = False
        self._choosing: Generator[None, None, Strength] | None = None
        self._chosen_for: tuple[list[int], float] = [], 0.0  # the classes, and how many pixels counted
        self._restarted = True

    # -- labels

    def read_slide(self, slide: LiveSlide) -> None:
        """Read the labels of a slide again, soon."""
        known = [cell for name, cell in self._counts if name == slide.record.id]
        for cell in [*known, *slide.labelled_cells()[:_LOOKED]]:
            self._unread.setdefault(slide.record.id, OrderedDict()).setdefault(cell, False)

    def touch(self, slide: str, cells: list[Cell]) -> None:
        """Read tiles that a stroke has changed, first of all."""
        queue = self._unread.setdefault(slide, OrderedDict())
        for cell in cells:
            queue[cell] = True
            queue.move_to_end(cell, last=False)

    def drop(self, slide: str) -> None:
        """Wait no longer for a slide that cannot be read."""
        self._unread.pop(slide, None)
        for place in [place for place in self._waiting if place[0] == slide]:
            del self._waiting[place]

    def next_unread(self, slide: str | None = None) -> Place | None:
        """Return the next tile whose labels are to be read, of a slide or of all in turn."""
        name = next(iter(self._unread), None) if slide is None else slide
        return (name, next(iter(self._unread[name]))) if name is not None and name in self._unread else None

    def read(self, place: Place) -> None:
        """Read the labels of a tile, and learn them if its features are at hand."""
        name, cell = place
        urgent = self._unread[name].pop(cell)
        if self._unread[name]:
            self._unread.move_to_end(name)
        else:
            del self._unread[name]
        labels = self._slides(name).labels(cell)
        wanted = urgent or place in self._labels or place in self._waiting or self._adds(place, labels)
        if not (wanted and self._labels.differs(place, labels)):
            self._waiting.pop(place, None)
            self._count(place, labels if place in self._labels else None)
        elif self._features.at_hand(self._slides(name), cell):
            self._learn(place, labels, urgent)
        else:
            self._count(place, labels)
            self._waiting[place] = urgent or self._waiting.get(place, False)
            self._waiting.move_to_end(place, last=not urgent)

    def next_waiting(self, *, urgent: bool) -> Place | None:
        """Return the next tile that can be learnt once its features are computed."""
        return next((place for place, pressing in self._waiting.items() if pressing or not urgent), None)

    def learn_waiting(self, place: Place) -> None:
        """Learn a tile whose features have been computed."""
        urgent = self._waiting.pop(place, None)
        if urgent is not None:
            self._learn(place, self._slides(place[0]).labels(place[1]), urgent)

    def _learn(self, place: Place, labels: TileLabels, urgent: bool) -> None:
        slide = self._slides(place[0])
        tile: TileFeatures | None = self._features.find(slide, place[1])
        if tile is None:  # the file was damaged
            self._waiting[place] = urgent
            return
        self._labels.change(place, slide.record.patient or slide.record.id, labels, tile)
        self._count(place, labels)
        self._waiting.pop(place, None)
        self._changed, self._choosing = True, None
        self._urgent |= urgent

    def _adds(self, place: Place, labels: TileLabels) -> bool:
        """Return whether a class of a tile is on few tiles of its slide so far."""
        return any(self._tiles[place[0], label] < _TILES for label in np.unique(labels.labels[labels.labels > 0]))

    def _count(self, place: Place, labels: TileLabels | None) -> None:
        before = self._counts.pop(place, None)
        if before is not None:
            self._total -= before
            self._total_on_tissue -= self._on_tissue.pop(place)
            for label in np.flatnonzero(before):
                self._tiles[place[0], int(label)] -= 1
        if labels is None or not labels.labels.any():
            return
        counts = np.bincount(labels.labels.ravel(), minlength=256).astype(np.int64)
        counts[0] = 0
        self._counts[place] = counts
        self._on_tissue[place] = self._slides(place[0]).labels_on_tissue(place[1], labels)
        self._total += counts
        self._total_on_tissue += self._on_tissue[place]
        for label in np.flatnonzero(counts):
            self._tiles[place[0], int(label)] += 1

    @property
    def pixels(self) -> dict[int, int]:
        """The labelled pixels of each class, as far as they are read."""
        return {spec.index: int(self._total[spec.index]) for spec in self._classes}

    @property
    def all_on_glass(self) -> bool:
        """Whether there are labels, and no pixel of them shows tissue."""
        return bool(self._counts) and not self._total_on_tissue

    @property
    def enough(self) -> list[int]:
        """The classes with enough pixels to be distinguished."""
        return [] if self.all_on_glass else [label for label, count in self.pixels.items() if count >= LEAST]

    @property
    def ready(self) -> bool:
        """Whether there is a classifier; it is kept while labels are read again."""
        return self.weights is not None and (self.is_reading or len(self.enough) > 1)

    @property
    def sums(self) -> FeatureSums:
        """The sums over the labelled pixels that count."""
        return self._labels.sums

    # -- the fit

    @property
    def is_reading(self) -> bool:
        """Whether labels are still to be read."""
        return bool(self._unread)

    @property
    def fit_is_due(self) -> bool:
        """Whether the classifier should be fitted now."""
        if not self._changed and self.enough == self._fitted:
            return False
        if self._restarted and self._unread and not self._urgent and self.weights is not None:
            return False
        return self._urgent or not (self._unread or self._waiting) or time.monotonic() > self._fitted_at + _REFIT_S

    @property
    def fit_is_late(self) -> bool:
        """Whether a stroke has waited long for the fit, as others still come."""
        return self._urgent and self.fit_is_due and time.monotonic() > self._fitted_at + _LATE_S

    def fit(self) -> None:
        """Fit the classifier to what was read."""
        start = time.perf_counter()
        self._changed = self._urgent = self._restarted = False
        self._fitted_at = time.monotonic()
        self._fitted = self.enough
        classes = [label - 1 for label in self._fitted]
        known = [index for index in self._labels.sums.classes if index in classes]
        if len(known) < 2:
            self.weights = None
            return
        classifier = self._labels.fit(self._strength, known)
        self.weights = ScaleWeights.of(classifier, self._features.widths)
        self.fits += 1
        self.seconds = time.perf_counter() - start

    @property
    def has_features(self) -> bool:
        """Whether the features of two classes with enough pixels are finite, as far as they are known."""
        return bool(self._waiting) or sum(label - 1 in self._labels.sums.classes for label in self.enough) > 1

    @property
    def strength_is_due(self) -> bool:
        """Whether penalty and scale of the probabilities should be chosen again."""
        if self._changed or self._unread or self._waiting or self.weights is None:
            return False
        classes, pixels = self._chosen_for
        return classes != self._fitted or abs(self._labels.pixels - pixels) > _NEW_LABELS * pixels

    def choose_strength(self) -> None:
        """Do a part of choosing them; at its end the classifier changes if they do."""
        if self._choosing is None:
            self._choosing = self._labels.choose([label - 1 for label in self.enough])
        try:
            next(self._choosing)
        except StopIteration as end:
            self._choosing, self._chosen_for = None, (self._fitted, self._labels.pixels)
            if end.value != self._strength:
                self._strength = end.value
                self.fit()

    @property
    def missing(self) -> str:
        """What keeps the model from following, as one sentence; empty if nothing does."""
        if self.all_on_glass:
            return "All that is labelled lies on glass. Draw some on the tissue: the live model learns from it."
        text = missing_classes(self._classes, self.pixels)
        if not text and not self.has_features:
            return "The features of what is labelled are not numbers, so the live model rests. Choose another encoder."
        return text


def missing_classes(classes: ClassTable, pixels: Mapping[int, int]) -> str:
    """Return which classes a live model lacks, given the labelled pixels of each; empty for none."""
    enough = [spec.name for spec in classes if pixels[spec.index] >= LEAST]
    few = [spec for spec in classes if 0 < pixels[spec.index] < LEAST]
    none = [spec.name for spec in classes if not pixels[spec.index]]
    if len(enough) > 1:
        return "".join(f"{_more(few[0].name, pixels[few[0].index])} to distinguish it." for _ in few[:1])
    if few:
        return f"{_more(few[0].name, pixels[few[0].index])} for the live model."
    if enough:
        return f"Draw some {' or '.join(none[:3])}, too: the live model needs two classes."
    return "Draw a stroke of each of two classes: the live model follows them."


def _more(name: str, count: int) -> str:
    return f"Draw more {name}: {count} labelled pixel{'s' if count > 1 else ''} are fewer than the {LEAST} needed"
