"""The live model: it follows the strokes of a project, and answers for the view first and for the slide soon after.

`LiveModel.work` does one slice of work and yields what there is to show.  In each, the first of these that there is to
do: take changed labels, fit, answer for the view, compute features for the view, fill; and with time to spare, learn
from other slides, choose the strength of the fit, answer for the rest of the slide, save features, compute those of the
rest.  What the disk, a slide or the weights refuse becomes one sentence, and the model rests or does without.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_pathseg.config import LiveConfig
from napari_pathseg.engine.cpu_threads import CpuThreadTuner
from napari_pathseg.engine.device import is_out_of_memory
from napari_pathseg.engine.events import Event, LiveFilled, LiveStatus, Note
from napari_pathseg.engine.live.answers import MANY, Answers, View
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.engine.live.learner import Learner
from napari_pathseg.engine.live.live_slide import Cell, LiveSlide
from napari_pathseg.engine.live.live_slides import LiveSlides
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.engine.live.tile_features import TileFeatures
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.tissue_masks import load_tissue

_SLICE_S = 0.1  # after which no further step is begun; the longest, the features of a tile, takes 0.2 s on two cores
_GENTLE_SLICE_S = 0.02
_NO_MEMORY = "Memory ran out, so the live model rests. Lower its memory in the settings, or close programs."
_LOOKED_AT = 8  # chunks of given labels at a time, to see whether they have been saved
_STATUS_S = 1.0  # between reports on the features of a slide

_Step = Generator[Event, None, bool]  # returns whether there was anything to do


@dataclass
class _Filling:
    """A box to fill: the tiles that are left, and how many there were."""

    slide: LiveSlide
    region: Region
    cells: deque[Cell]
    count: int


class LiveModel:
    """A linear classifier that follows the labels of a project.

    What a user can run into is not raised by `work`; a sentence in a `LiveStatus` says it.

    Parameters
    ----------
    project
        The project; nothing in it changes but its folder of features.
    config
        The encoder, and the memory and space that features may take.

    Attributes
    ----------
    features
        The features of the slides.
    """

    def __init__(self, project: Project, config: LiveConfig) -> None:
        self._project, self.config = project, config
        self.features = KeptFeatures(project, config)
        self._threads = CpuThreadTuner()
        self._answers = Answers()
        self._learner: Learner | None = None
        self._slides = LiveSlides(project, config.stain_norm, self._failed)
        self._filling: _Filling | None = None
        self._idle, self._swept, self._resting = False, False, ""
        self._answers_first = False
        self._notes: list[Note] = []
        self._said: set[str] = set()
        self._reported: tuple[object, ...] = ()
        self._reported_at = 0.0

    # -- commands

    def show(self, slide: str, region: Region, step: int) -> None:
        """Answer for a box of a slide's mask grid first, one answer for `step` mask pixels along a side."""
        self._idle = False
        found = self._slides.find(slide)
        if found is not None:
            self._answers.show(View(found, region.clip(found.record.mask_shape), max(1, step)))

    def update(self, slide: str, region: Region, pixels: UInt8Array | None) -> None:
        """Follow a change of labels.

        Parameters
        ----------
        slide
            The slide.
        region
            The box of its mask's grid that has changed.
        pixels
            Labels and provenance there, shape (2, rows, columns).  None to read all of the slide's mask, and the
            project's classes, roles and complete boxes, again.
        """
        self._idle = False
        if pixels is None:
            self._slides.guarded(slide, lambda: self._read_again(slide))
            return
        found = self._slides.find(slide)
        if found is None:
            return
        cells = self._slides.guarded(slide, lambda: found.give(region, pixels))
        if cells and self._learner is not None and slide in self._slides.learnt:
            self._learner.touch(slide, cells)

    def fill(self, slide: str, region: Region) -> None:
        """Send what the model finds in a box of a slide's mask grid for each of its pixels; an empty box ends it."""
        self._idle = False
        self._filling = None
        found = None if region.empty else self._slides.find(slide)
        if found is not None:
            inside = region.clip(found.record.mask_shape)
            cells = found.nearest_cells(inside)
            if len(cells) > MANY:
                self._load_tissue(found)
                tissue = found.tissue_cells()
                cells = [cell for cell in cells if cell in tissue]
            self._filling = _Filling(found, inside, deque(cells), len(cells))

    def close(self) -> None:
        """Close all files; features that were not saved yet are lost."""
        self._threads.restore()
        self._slides.close()

    @property
    def project_folder(self) -> Path:
        """The folder of its project."""
        return self._project.folder

    @property
    def ready(self) -> bool:
        """Whether it has found something."""
        return self._learner is not None and self._learner.ready and not self._resting

    @property
    def is_behind(self) -> bool:
        """Whether there is something left to learn, or to begin with."""
        learner = self._learner
        if self._resting:
            return False
        return learner is None or learner.is_reading or learner.fit_is_due or bool(learner.next_waiting(urgent=False))

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do until the next command."""
        return self._idle or bool(self._resting)

    # -- work

    def work(self, *, background: bool, gentle: bool = False) -> Iterator[Event]:
        """Do one slice of work and yield what there is to show.

        Parameters
        ----------
        background
            Whether there is time for what is neither in view nor a stroke.
        gentle
            Whether to leave the cores to others: in a short slice, with one thread.
        """
        if self._resting:
            return
        try:
            self._threads.limit(1 if gentle else None)
            yield from self._slice(background, _GENTLE_SLICE_S if gentle else _SLICE_S)
        except PathsegError as error:
            self._resting = str(error)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._resting = _NO_MEMORY
        yield from self._report()

    def _slice(self, background: bool, seconds: float) -> Iterator[Event]:
        if self._learner is None:
            self.features.load_encoder()
            self._learner = Learner(self.features, self._project.classes, self._slides.use)
            self._read_slides(self._slides.learnt)
        if background:
            self._threads.adapt()
        end = time.perf_counter() + seconds
        while (yield from self._step(background)):
            yield from self._report()
            if time.perf_counter() > end:
                return
        self._idle = background

    def _step(self, background: bool) -> _Step:
        """Do the first thing that there is to do."""
        first: list[Callable[[], _Step]] = [self._read_view, self._fit, self._answer_view]
        if self._answers_first or self._model.fit_is_late:  # strokes come faster than they are read
            first = [self._answer_late, self._fit, self._read_view]
        steps = [*first, self._learn_strokes, self._see_view, self._fill]
        if background:
            steps += [self._read_others, self._learn_others, self._choose, self._find_tissue, self._answer_rest]
            steps += [self._save, self._see_rest, self._tidy]
        for step in steps:
            if (yield from step()):
                return True
        return False

    def _read_view(self) -> _Step:
        yield from ()
        view = self._answers.view
        return view is not None and self._read_labels(view.slide.record.id)

    def _read_others(self) -> _Step:
        yield from ()
        return self._read_labels(None)

    def _read_labels(self, slide: str | None) -> bool:
        place = self._model.next_unread(slide)
        if place is None:
            return False
        self._slides.guarded(place[0], lambda: self._model.read(place))
        return True

    def _fit(self) -> _Step:
        yield from ()
        if not self._model.fit_is_due:
            return False
        self._answers_first = self._model.fit_is_late
        self._model.fit()
        self._answers.renew(self._model.fits if self._model.weights else 0)
        return True

    def _answer_late(self) -> _Step:
        """Answer for the view by a fit that was late before more strokes are read."""
        self._answers_first = yield from self._answer_view()
        return self._answers_first

    def _choose(self) -> _Step:
        yield from ()
        if not self._model.strength_is_due:
            return False
        fits = self._model.fits
        self._model.choose_strength()
        if self._model.fits > fits:
            self._answers.renew(self._model.fits)
        return True

    def _answer_view(self) -> _Step:
        return (yield from self._answer(self._answers.next_stale))

    def _answer_rest(self) -> _Step:
        return (yield from self._answer(self._answers.next_of_rest))

    def _answer(self, following: Callable[[], Cell | None]) -> _Step:
        """Answer for the next tile whose features are at hand."""
        view, weights = self._answers.view, self._model.weights
        if view is None or weights is None:
            return False
        while (cell := following()) is not None:
            tile = self.features.find(view.slide, cell)
            if tile is not None:
                yield from self._answers.answer(cell, tile, weights)
                return True
            self._answers.lost(cell)
        return False

    def _learn_strokes(self) -> _Step:
        return (yield from self._learn(urgent=True))

    def _learn_others(self) -> _Step:
        return (yield from self._learn(urgent=False))

    def _learn(self, *, urgent: bool) -> _Step:
        yield from ()
        place = self._model.next_waiting(urgent=urgent)
        if place is None:
            return False
        self._compute(self._slides.use(place[0]), place[1])
        return True

    def _see_view(self) -> _Step:
        if self._answers.needs_tissue:
            yield from self._find_tissue()
        return self._see(self._answers.next_missing)

    def _see_rest(self) -> _Step:
        yield from ()
        return self.features.store.has_room(self.features.tile_bytes) and self._see(self._answers.next_unseen)

    def _see(self, following: Callable[[], Cell | None]) -> bool:
        """Compute the features of the next tile that has none."""
        view = self._answers.view
        while view is not None and not view.slide.problem and (cell := following()) is not None:
            if not self.features.at_hand(view.slide, cell):
                self._compute(view.slide, cell)
                return True
        return False

    def _compute(self, slide: LiveSlide, cell: Cell) -> TileFeatures | None:
        """Compute the features of a tile, and learn and show what waits for them."""
        name = slide.record.id
        tile = self._slides.guarded(name, lambda: self.features.compute(self._slides.use(name), cell))
        if tile is not None:
            self._slides.guarded(name, lambda: self._model.learn_waiting((name, cell)))
            if self._answers.view is not None and self._answers.view.slide is slide:
                self._answers.computed_now(cell)
        return tile

    def _find_tissue(self) -> _Step:
        yield from ()
        view = self._answers.view
        if view is None or self._answers.tissue is not None or view.slide.problem:
            return False
        self._load_tissue(view.slide)
        self._answers.set_tissue(view.slide.tissue_cells())
        return True

    def _load_tissue(self, slide: LiveSlide) -> None:
        if slide.tissue is not None:
            return
        name = slide.record.id
        try:
            slide.tissue = load_tissue(self._project, name, may_save=lambda: False)
        except PathsegError as error:
            self._notes.append(Note(str(error), warning=True))
            return
        if name in self._slides.learnt:
            self._model.read_slide(slide)  # to see what lies on glass

    def _save(self) -> _Step:
        yield from ()
        store = self.features.store
        if store.unsaved:
            store.save_next()
            return True
        return False

    def _tidy(self) -> _Step:
        """Delete old features and forget labels that have been saved, where nothing else is to be done."""
        yield from ()
        if not self._swept:
            self._swept = True
            self.features.store.sweep()
        view = self._answers.view
        if view is not None:
            self._slides.guarded(view.slide.record.id, partial(view.slide.truth.forget_saved, _LOOKED_AT))
        return False

    def _fill(self) -> _Step:
        filling, weights = self._filling, self._model.weights
        if filling is None:
            return False
        tile, box = None, EMPTY_REGION
        if filling.cells and weights is not None:
            cell = filling.cells.popleft()
            box = filling.slide.box(cell).intersect(filling.region)
            tile = self.features.find(filling.slide, cell) or self._compute(filling.slide, cell)
        last = not filling.cells or tile is None or weights is None
        pixels, share = "", 1 - len(filling.cells) / max(1, filling.count)
        if tile is not None and weights is not None and not box.empty:
            pixels = pack(weights.answer(tile, box, 1, filling.slide.factor))
        if last:
            self._filling = None
        if last or pixels:
            yield LiveFilled(filling.slide.record.id, box if pixels else EMPTY_REGION, pixels, share, last)
        return True

    # -- slides

    @property
    def _model(self) -> Learner:
        assert self._learner is not None
        return self._learner

    def _failed(self, slide: str, error: PathsegError) -> None:
        """Do without a slide, and say why."""
        if self._learner is not None:
            self._learner.drop(slide)
        self._notes.append(Note(str(error), warning=True))

    def _reload(self) -> None:
        """Read the project again."""
        view = self._answers.view
        again = self._slides.reload()
        if view is not None and not self._slides.holds(view.slide):
            self._answers.show(None)
            if view.slide.record.id in self._project.slides:
                self.show(view.slide.record.id, view.region, view.step)
        self.features.forget_keys()
        if self._learner is not None and again:
            self._learner.start_again(self._project.classes)
            self._read_slides(self._slides.learnt)

    def _read_again(self, name: str) -> None:
        """Read the project, and the mask of a slide, again."""
        known = set(self._slides.learnt)
        self._reload()
        slide = self._slides.find(name)
        if slide is not None:
            slide.problem = ""
            slide.truth.read_again()
            if self._answers.view is not None and self._answers.view.slide is slide:
                self._answers.show(self._answers.view)
        if self._learner is not None:
            self._read_slides({name, *self._slides.learnt} - (known - {name}))

    def _read_slides(self, names: Collection[str]) -> None:
        for name in names:
            slide = self._slides.find(name) if name in self._slides.learnt else None
            if slide is not None:
                self._slides.guarded(name, partial(self._model.read_slide, slide))

    # -- reports

    def _report(self) -> Iterator[Event]:
        """Yield messages, and what the model does if that has changed."""
        while self._notes:
            yield self._notes.pop(0)
        if self.features.store.problem and self.features.store.problem not in self._said:
            self._said.add(self.features.store.problem)
            yield Note(self.features.store.problem, warning=True)
        learner, view = self._learner, self._answers.view
        fits, seconds = (0, 0.0) if learner is None else (learner.fits, learner.seconds)
        state = (self.ready, self._text(), fits)
        due = state != self._reported or (not self._idle and time.monotonic() > self._reported_at + _STATUS_S)
        if not due:
            return
        wanted = [] if view is None or learner is None else self._answers.cells
        encoded = 0 if view is None else sum(self.features.at_hand(view.slide, cell) for cell in wanted)
        self._reported, self._reported_at = state, time.monotonic()
        yield LiveStatus(*state[:2], fits, seconds, encoded, len(wanted), warning=bool(self._resting))

    def _text(self) -> str:
        """Return why the model rests, or what is missing, as one sentence."""
        view, learner = self._answers.view, self._learner
        if self._resting:
            return self._resting
        if view is not None and view.slide.problem:
            return view.slide.problem
        if learner is None or learner.is_reading:
            return ""
        text = learner.missing
        if not text and view is not None and view.slide.record.id not in self._slides.learnt:
            return f"{view.slide.record.id} is held out, so the live model does not learn what is drawn on it."
        return text
