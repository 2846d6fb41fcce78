"""Shows a model's probabilities on the slide in view: of one class, or how unsure it is; and what these would become.

Tiles of what is on screen are read in a thread; nothing else of a slide is held in memory.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from psygnal import Signal

from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.operations import watched
from napari_pathseg.masks.prediction import DISAGREEMENT, Prediction
from napari_pathseg.masks.refinement import Refinement, refine, refine_box
from napari_pathseg.projects.model_weights import LIVE_MODEL, check_up_to_date
from napari_pathseg.ui.layers.prediction_tiles import PredictionTiles
from napari_pathseg.ui.layers.refined_layer import RefinedBox
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.workspace import Workspace

NOTHING, UNCERTAINTY, DISAGREEING = "", "uncertainty", "disagreement"
_MOST_SIDE = 1536  # pixels of the box that is refined while one looks at it
_REDRAW_S = 0.3  # between two redraws while tiles come
_DAMAGED = (OSError, ValueError, RuntimeError, PathsegError)  # RuntimeError: a chunk that cannot be decompressed
_AROUND = 8  # the box is larger than the view by an eighth of its sides, as objects at its border stay


@dataclass(frozen=True)
class RefinementChoices:
    """Threshold from 0 to 1; smallest object and largest hole in µm², smoothing in µm; pixels without a pixel size."""

    threshold: float = 0.5
    smallest: float = 0.0
    largest_hole: float = 0.0
    smoothing: float = 0.0

    def on_mask(self, label: int, mpp: float | None) -> Refinement:
        """Return the same in pixels of a mask."""
        size = 1.0 if mpp is None else mpp
        lengths = self.smoothing / size, self.smallest / size**2, self.largest_hole / size**2
        return Refinement(label, self.threshold, *lengths)


class PredictionView:
    """What of a prediction is shown, and the outline that a class of it would get.

    Signals: `changed` (the choice, or why nothing is shown), `work_wanted` (:meth:`advance` is to be called until it
    returns False).

    Attributes
    ----------
    choice
        `NOTHING`, `UNCERTAINTY`, `DISAGREEING`, or the number of a class as text.
    refinement
        How the probability of the class becomes its outline.
    """

    changed = Signal()
    work_wanted = Signal()

    def __init__(self, workspace: Workspace, editor: MaskEditor) -> None:
        self._workspace, self._editor = workspace, editor
        self.choice, self._problem, self._model = NOTHING, "", ""
        self.refinement = RefinementChoices()
        self._applied_to, self._applied = ("", ""), set[int]()  # slide and model, and classes that it got
        self._prediction: Prediction | None = None
        self._tiles: PredictionTiles | None = None
        self._box: tuple[Region, int, UInt8Array] | None = None  # the one that was read last, with its probability
        self._outline_wanted = False
        self._redrawn = 0.0
        self._executor: ThreadPoolExecutor | None = None
        self._running: tuple[Future[Any], Callable[[Any], None]] | None = None
        workspace.slide_changed.connect(self.reload)

    @property
    def sentence(self) -> str:
        """Why nothing is shown though something was chosen, or why it cannot be applied; empty if neither is so."""
        record = self._workspace.slide
        if not self._problem and self.has_class and record is not None and record.complete:
            return f"{record.id} is complete, so its outline stays as it is."
        return self._problem

    @property
    def has_class(self) -> bool:
        """Whether a class is shown that can be refined."""
        return self._label is not None and self._tiles is not None

    @property
    def can_apply(self) -> bool:
        """Whether a class is shown whose outline can be filled into the mask."""
        record = self._workspace.slide
        editable = not self._workspace.read_only and record is not None and not record.complete
        return self.has_class and editable

    def show(self, model: str, choice: str) -> None:
        """Show what a model has found for a class, or its uncertainty, on each slide from now on; or nothing."""
        if (model, choice) != (self._model, self.choice):
            self._model, self.choice = model, choice
            self.reload()

    def set_refinement(self, refinement: RefinementChoices) -> None:
        """Show another outline of the class."""
        if refinement != self.refinement:
            self.refinement = refinement
            self.follow_view()

    def follow_view(self) -> None:
        """Show the outline of what is on screen now."""
        if self.has_class:
            self._outline_wanted = True
            self.work_wanted.emit()

    def reload(self) -> None:
        """Read again, as another slide is in view or the model has predicted it."""
        self._prediction = self._tiles = self._box = None
        self._outline_wanted, self._problem = False, ""
        mask = self._workspace.mask
        if self.choice and mask is not None:
            try:
                self._prediction = self._require()
            except ProjectError as error:
                self._problem = str(error)
            else:
                label = DISAGREEMENT if self.choice == DISAGREEING else self._label
                self._tiles = PredictionTiles(self._prediction, label, mask.shapes)
                self._tiles.wanted.connect(self.work_wanted)
        self._workspace.layers.show_prediction(self._tiles)
        self._workspace.layers.show_refined(None)
        self.follow_view()
        self.changed.emit()
        self.work_wanted.emit()

    def on_kept(self) -> None:
        """Read again what the live model has predicted, as the project keeps a newer one."""
        if self.choice and self._model == LIVE_MODEL:
            self.reload()

    def apply(self) -> None:
        """Fill the mask with what the model found, with the outline that is shown; one undo step.

        Raises
        ------
        ProjectError
            If the mask cannot be changed, or the live model is another by now.
        """
        self._workspace.require_mask()
        record, label, prediction = self._workspace.require_slide(), self._label, self._prediction
        if label is not None and prediction is not None:
            check_up_to_date(self._workspace.require_project(), self._model, prediction)
            wanted = self.refinement.on_mask(label, record.mask_mpp)
            if self._applied_to != (record.id, self._model):
                self._applied_to, self._applied = (record.id, self._model), set()
            settled, locked = self._applied - {label}, self._workspace.locked_classes
            operation = refine(prediction, wanted, record.complete_in, locked, settled)
            applied = self._applied
            self._editor.run(watched(operation, lambda changed: applied.add(label) if changed else None))

    def advance(self) -> bool:
        """Take what has been read, and have the next thing read; return whether more is awaited."""
        if self._running is not None:
            future, take = self._running
            if not future.done():
                return True
            self._running = None
            take(future)
        if self._tiles is None:
            return False
        if self._outline_wanted:
            self._outline_wanted = False
            self._read_outline()
        elif places := self._tiles.next_wanted():
            tiles = self._tiles
            self._start(lambda: tiles.compute(places), lambda future: self._take_tiles(tiles, future))
        return self._running is not None

    def close(self) -> None:
        """End the thread once it has read what it is reading."""
        self._running = None
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    # -- in the thread

    def _start(self, work: Callable[[], Any], take: Callable[[Any], None]) -> None:
        self._executor = self._executor or ThreadPoolExecutor(1, "probabilities")
        self._running = self._executor.submit(work), take

    def _read_outline(self) -> None:
        record, label, tiles, prediction = self._workspace.slide, self._label, self._tiles, self._prediction
        if record is None or label is None or prediction is None:
            return
        view = self._workspace.layers.visible_region()
        if view.empty:  # the slide has been moved off the screen
            self._workspace.layers.show_refined(None)
            return
        region, step = _outlined(view, record.mask_shape)
        wanted = self.refinement.on_mask(label, record.mask_mpp).coarser(step)
        known = self._box[2] if self._box is not None and self._box[:2] == (region, step) else None

        def work() -> tuple[UInt8Array, UInt8Array]:
            probability = prediction.sample(label, region, step) if known is None else known
            return probability, refine_box(probability, wanted).astype("uint8") * label

        def take(future: "Future[tuple[UInt8Array, UInt8Array]]") -> None:
            if tiles is self._tiles and self._succeeded(future):
                probability, outline = future.result()
                self._box = region, step, probability
                self._workspace.layers.show_refined(RefinedBox(region, step, outline))

        self._start(work, take)

    def _take_tiles(self, tiles: PredictionTiles, future: "Future[Any]") -> None:
        if tiles is not self._tiles or not self._succeeded(future):
            return
        tiles.take(future.result())
        now = time.monotonic()
        if not tiles.next_wanted() or now > self._redrawn + _REDRAW_S:
            self._redrawn = now
            self._workspace.layers.redraw_prediction()

    def _succeeded(self, future: "Future[Any]") -> bool:
        """Return whether the files could be read; if not, show nothing of the prediction but why."""
        error = future.exception()
        if error is None:
            return True
        if not isinstance(error, _DAMAGED):
            raise error
        self._tiles = self._prediction = None
        self._workspace.layers.show_prediction(None)
        self._workspace.layers.show_refined(None)
        self._problem = f"The prediction of {self._model} cannot be read ({error}). Predict the slide again."
        self.changed.emit()
        return False

    # -- the prediction

    @property
    def _label(self) -> int | None:
        """The class that is shown."""
        return int(self.choice) if self.choice.isdigit() else None

    @property
    def offers_disagreement(self) -> bool:
        """Whether the chosen model has stored for the slide in view how much its positions disagree."""
        project, record = self._workspace.project, self._workspace.slide
        if project is None or record is None or not self._model:
            return False
        try:
            found = project.find_prediction(self._model, record.id)
        except PathsegError:
            return False
        return found is not None and found.has_disagreement

    def _require(self) -> Prediction:
        """Return the chosen prediction of the slide in view, or raise a ProjectError that says what is missing."""
        found, record = self._workspace.require_prediction(self._model), self._workspace.require_slide()
        if (self._label or 0) > found.probabilities.shape[0]:
            raise ProjectError(f"{self._model} does not know this class. Choose a newer model, or train one.")
        if self.choice == DISAGREEING and not found.has_disagreement:
            raise ProjectError(
                f"{self._model} has predicted {record.id} in one position. Raise test-time augmentation or shifted "
                "passes, then predict the slide again."
            )
        return found


def _outlined(view: Region, shape: tuple[int, int]) -> tuple[Region, int]:
    """Return the box around a view that is refined, and how many mask pixels lie between those that are looked at."""
    step = 2 ** max(0, math.ceil(math.log2(max(view.height, view.width, 1) / _MOST_SIDE)))
    rows, columns = view.height // _AROUND, view.width // _AROUND
    top, left = ((start - more) // step * step for start, more in ((view.top, rows), (view.left, columns)))
    wide = Region(top, left, view.bottom + rows - top, view.right + columns - left)
    return wide.clip(shape), step
