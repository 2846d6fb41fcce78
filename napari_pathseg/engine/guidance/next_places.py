"""Where to annotate next: the places of a project's unlabelled tissue that would teach a model most.

They are found from the features that the live model keeps, with its own answers or, where a trained model has
predicted a slide, with those.  Slides that are held out are not offered, as nothing may learn from them, nor are
places that a person has skipped.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from napari_pathseg.config import LiveConfig
from napari_pathseg.engine.bundle import find_bundle, has_classes_of, load_bundle
from napari_pathseg.engine.events import Event, Job, Note, Progress, Stop
from napari_pathseg.engine.guidance.patches import PATCH, Patch, patches_of
from napari_pathseg.engine.guidance.ranking import Description, choose
from napari_pathseg.engine.live.discriminant import novelty_of
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.engine.live.learner import Learner
from napari_pathseg.engine.live.live_slide import Cell, LiveSlide
from napari_pathseg.engine.live.live_slides import LiveSlides
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.model_weights import weights_mtime
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.skipped_places import load_skipped
from napari_pathseg.projects.tissue_masks import load_tissue

_MOST_TILES = 600  # that are looked at, spread evenly over all slides: 3 min on two cores
_STAGE = "Looking for places"
_FRAME = 2  # sides of a patch that are shown of a place
_UNLIKE = 0.5  # novelty from which a place is said to be unlike all that is labelled


@dataclass(frozen=True)
class NextPlace:
    """A place to annotate.

    Attributes
    ----------
    slide, region
        Where it is, in level-0 pixels.
    reason, between
        Why it is worth annotating, in words, and the classes that a model is unsure between, if that is it.
    doubt, novelty
        How unsure a model is there, and how unlike all that is labelled it is, 0 to 1.
    area_mm2
        Its size; None if the slide's pixel size is unknown.
    """

    slide: str
    region: Region
    reason: str
    doubt: float
    novelty: float
    area_mm2: float | None
    between: tuple[str, ...] = ()


def next_places(
    project: Project, count: int = 12, slides: Sequence[str] | None = None, config: LiveConfig | None = None
) -> Job[list[NextPlace]]:
    """Return the places to annotate next, the best first; those among what was looked at, if it is stopped.

    Parameters
    ----------
    project
        The project; nothing in it changes but its folder of features.
    count
        The most places.
    slides
        The slides to look at; None for all that are not held out.
    config
        The encoder.

    Raises
    ------
    ProjectError
        If a slide in `slides` is unknown, or the list of skipped places is damaged.
    BundleError
        If the encoder cannot be loaded.
    """
    for name in slides or ():
        project.slide(name)
    search = _Search(project, config or LiveConfig())
    try:
        for event in search.find(slides):
            command = yield event
            if isinstance(command, Stop) and command.now:
                return []
            if isinstance(command, Stop):
                break
        return search.places(count)
    finally:
        search.close()


class _Search:
    """The search through a project's unlabelled tissue."""

    def __init__(self, project: Project, config: LiveConfig) -> None:
        self._project = project
        self._notes: list[Note] = []
        self._slides = LiveSlides(project, config.stain_norm, self._failed)
        self._features = KeptFeatures(project, config)
        self._features.load_encoder()
        self._learner = Learner(self._features, project.classes, self._slides.use)
        self._predictions = dict[str, Prediction | None]()
        self._patches: list[Patch] = []
        self._skipped = load_skipped(project)

    def close(self) -> None:
        """Close all files."""
        self._slides.close()

    def find(self, names: Sequence[str] | None) -> Iterator[Event]:
        """Learn what is labelled, and describe the patches of tissue that is not."""
        yield Progress(_STAGE, 0.0, 0.0)
        for name in self._slides.learnt:
            slide = self._slides.find(name)
            if slide is not None:
                self._slides.guarded(name, partial(self._open, slide))
        yield from self._learn()
        tiles = list(self._tiles(names))
        tiles = [tiles[index] for index in sorted(np.random.default_rng(0).permutation(len(tiles))[:_MOST_TILES])]
        start = time.perf_counter()
        for number, (slide, cell) in enumerate(tiles, 1):
            if not slide.problem:
                self._slides.guarded(slide.record.id, partial(self._look, slide, cell))
            yield from self._said()
            left = (time.perf_counter() - start) / number * (len(tiles) - number)
            yield Progress(_STAGE, number / len(tiles), left)

    def places(self, count: int) -> list[NextPlace]:
        """Return the best of what was found."""
        patches = [patch for patch in self._patches if not self._is_skipped(patch)]
        if not patches:
            return []
        features = np.stack([patch.features for patch in patches])
        novelty = novelty_of(features, self._learner.sums)
        order = {name: float(number) for number, name in enumerate({patch.slide: 0 for patch in patches})}
        described = Description(
            doubt=np.array([patch.doubt for patch in patches]),
            share=np.array([patch.share for patch in patches]),
            features=features,
            slides=np.array([order[patch.slide] for patch in patches]),
            centres=np.array([_centre(patch.region) for patch in patches]) / PATCH,
        )
        chosen = choose(described, self._learner.sums, self._features.widths, count)
        return [self._place(patches[index], float(novelty[index])) for index in chosen]

    # -- what is labelled

    def _open(self, slide: LiveSlide) -> None:
        slide.tissue = load_tissue(self._project, slide.record.id)
        self._learner.read_slide(slide)

    def _learn(self) -> Iterator[Event]:
        learner = self._learner
        while (place := learner.next_unread()) is not None:
            self._slides.guarded(place[0], partial(learner.read, place))
            yield from self._after(place[0])
        while (place := learner.next_waiting(urgent=False)) is not None:
            self._slides.guarded(place[0], partial(self._learn_tile, place))
            yield from self._after(place[0])
        if learner.fit_is_due:
            learner.fit()
        while learner.strength_is_due:
            learner.choose_strength()

    def _after(self, name: str) -> Iterator[Event]:
        slide = self._slides.find(name)
        if slide is None or slide.problem:
            self._learner.drop(name)
        yield from self._said()
        yield Progress(_STAGE, 0.0, 0.0)

    def _learn_tile(self, place: tuple[str, Cell]) -> None:
        self._features.compute(self._slides.use(place[0]), place[1])
        self._learner.learn_waiting(place)

    # -- what is not

    def _tiles(self, names: Sequence[str] | None) -> Iterator[tuple[LiveSlide, Cell]]:
        """Yield the tiles that show tissue and are not complete."""
        for name in self._slides.learnt:
            slide = self._slides.find(name) if names is None or name in names else None
            if slide is None or slide.problem or slide.record.complete:
                continue
            for cell in sorted(slide.tissue_cells()):
                yield slide, cell

    def _look(self, slide: LiveSlide, cell: Cell) -> None:
        slide = self._slides.use(slide.record.id)
        tile = self._features.find(slide, cell) or self._features.compute(slide, cell)
        while self._features.store.unsaved:  # the next search finds them
            self._features.store.save_next()
        prediction = self._prediction(slide.record.id)
        self._patches += patches_of(slide, cell, tile, self._learner.weights, prediction)

    def _prediction(self, name: str) -> Prediction | None:
        """Return what the current model has predicted of all of a slide; None if it has not."""
        if name not in self._predictions:
            self._predictions[name] = self._find_prediction(name)
        return self._predictions[name]

    def _find_prediction(self, name: str) -> Prediction | None:
        model = self._project.current_model
        if model is None or not has_classes_of(self._project, load_bundle(find_bundle(self._project)).class_names):
            return None
        path = self._project.prediction_path(model, name)
        prediction = Prediction(path) if path.exists() else None
        whole = prediction is not None and prediction.is_whole(weights_mtime(self._project, model))
        return prediction if whole else None

    # -- results

    def _place(self, patch: Patch, novelty: float) -> NextPlace:
        slide = self._slides.find(patch.slide)
        assert slide is not None
        scale = slide.factor * slide.record.downsample
        row, column = _centre(patch.region)
        side = min(_FRAME * PATCH, *slide.shape)
        rows, columns = slide.shape
        top, left = (min(max(0.0, at - side / 2), size - side) for at, size in ((row, rows), (column, columns)))
        region = Region(*(round(scale * value) for value in (top, left, side, side))).clip(slide.record.shape)
        mpp = slide.record.mpp
        area = None if mpp is None else region.height * region.width * (mpp / 1000) ** 2
        between = self._between(patch, novelty)
        reason = f"unsure between {' and '.join(between)}" if between else "unlike anything labelled"
        if not (between or self._learner.sums.classes):
            reason = "nothing is labelled yet"
        return NextPlace(patch.slide, region, reason, patch.doubt, novelty, area, between)

    def _is_skipped(self, patch: Patch) -> bool:
        """Return whether a patch shows a part of a place that was skipped."""
        skipped, slide = self._skipped.get(patch.slide, ()), self._slides.find(patch.slide)
        if not skipped or slide is None:
            return False
        scale = slide.factor * slide.record.downsample
        box = Region(*(round(scale * value) for value in patch.region))
        return any(not box.intersect(each).empty for each in skipped)

    def _between(self, patch: Patch, novelty: float) -> tuple[str, ...]:
        """Return the classes that a model is unsure between; none if a patch is rather unlike all that is labelled."""
        if novelty > _UNLIKE > patch.doubt:
            return ()
        return tuple(self._project.classes.slot_names[label - 1] for label in patch.classes)

    def _failed(self, name: str, error: PathsegError) -> None:
        self._notes.append(Note(f"{name} is left out: {error}" if name else str(error), warning=True))

    def _said(self) -> Iterator[Note]:
        while self._notes:
            yield self._notes.pop(0)


def _centre(region: Region) -> tuple[float, float]:
    return region.top + region.height / 2, region.left + region.width / 2
