"""Complete boxes on the slide in view: unlabelled pixels in them count as Background.

The boxes are saved in the project and shown on a layer, which is created with a slide's first box.
While that layer is active, the undo keys apply to the boxes: changes can be undone until the project
is closed.  Undoing a box also restores the predictions that it removed.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes
from numcodecs.zstd import Zstd

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region, on_grid
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.masks.label_rules import Locked, reassign_provenance
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.shapes_overlay import ShapesOverlay, box_corners
from napari_pathseg.ui.session.workspace import Workspace

_MIN_SIDE = 6.0  # screen pixels; a click without a drag draws less
_LEFT_BUTTON = 1
_MAX_UNDO_STEPS = 50  # for each slide
_ZSTD = Zstd(level=1)

Boxes = tuple[Region, ...]
Removed = list[tuple[Region, bytes]]  # regions, and the compressed predictions removed from them


class BoxStep(NamedTuple):
    """The boxes of a slide before and after a change, and the predictions that new ones removed."""

    before: Boxes
    after: Boxes
    removed: Removed


BoxHistory = defaultdict[str, deque[BoxStep]]  # by slide, oldest step first


def _empty_history() -> BoxHistory:
    """Return an empty undo history, bounded for each slide."""
    return defaultdict(lambda: deque(maxlen=_MAX_UNDO_STEPS))


class CompleteBoxes(ShapesOverlay):
    """The complete boxes of the slide in view; :meth:`commit` saves drawn ones in the project."""

    role, mode = "complete boxes", "add_rectangle"
    edge = "#3fa866"  # of finished areas

    def __init__(self, workspace: Workspace, editor: MaskEditor) -> None:
        super().__init__(workspace)
        self._editor = editor
        self._undo_steps, self._redo_steps = _empty_history(), _empty_history()
        self._dragging = False  # with the mouse on the layer

    def commit(self) -> None:
        """Save the boxes on screen in the project and remove predictions in new ones."""
        layer, record = self.layer, self._workspace.slide
        if layer is None or record is None or self._workspace.read_only:
            return
        drawn = [_box(np.asarray(corners), record) for corners in layer.data]
        boxes = tuple(dict.fromkeys(box for box in drawn if box in record.boxes or self._large_enough(box)))
        if boxes != record.boxes:
            self._do(boxes)
        self.show()

    def boxes_at(self, position: tuple[float, ...]) -> list[Region]:
        """Return the boxes at a level-0 position, ``(row, column)``."""
        record = self._workspace.slide
        return [] if record is None else record.boxes_at(*position[-2:])

    def remove_at(self, position: tuple[float, ...]) -> None:
        """Delete the boxes at a position."""
        record, removed = self._workspace.require_slide(), self.boxes_at(position)
        self._workspace.require_writable()
        if removed:
            self._do(tuple(box for box in record.boxes if box not in removed))
            self.show()

    def undo(self) -> None:
        """Undo the last change to the boxes of the slide in view."""
        self._undo_or_redo(self._undo_steps, self._redo_steps)

    def redo(self) -> None:
        """Redo the last undone change."""
        self._undo_or_redo(self._redo_steps, self._undo_steps)

    def show(self) -> None:
        """Show the boxes of the slide in view."""
        record = self._workspace.slide
        if record is None:
            self._undo_steps, self._redo_steps = _empty_history(), _empty_history()
            return
        corners = [box_corners(box) for box in record.boxes]
        if self.layer is not None and _equal_boxes(corners, self.layer.data):
            self._update_layer(self.layer, record)
        else:
            self._set_shapes(record, [(points, "rectangle") for points in corners])
        self.changed.emit()

    # -- undo steps

    def _do(self, boxes: Boxes) -> None:
        """Change the boxes as an undoable step."""
        slide = self._workspace.require_slide().id
        self._undo_steps[slide].append(self._change(boxes))
        self._redo_steps[slide].clear()

    def _undo_or_redo(self, history: BoxHistory, reversals: BoxHistory) -> None:
        """Reverse the last step of `history` and append its reversal to `reversals`."""
        self._workspace.require_writable()
        record = self._workspace.require_slide()
        steps = history[record.id]
        if self._dragging or not steps:
            return
        step = steps[-1]
        if step.after != record.boxes:  # another program changed them meanwhile
            steps.clear()
            return
        reversals[record.id].append(self._change(step.before))
        steps.pop()
        complete_in, locked = self._workspace.require_slide().complete_in, self._workspace.locked_classes
        self._editor.run(restore_predictions(step.removed, complete_in, locked))
        self.show()

    def _change(self, boxes: Boxes) -> BoxStep:
        """Replace the boxes in the project and remove predictions in new ones."""
        record, removed = self._workspace.require_slide(), Removed()
        self._workspace.update_slide(boxes=boxes)
        for box in boxes:
            if box not in record.boxes:
                region = on_grid(box, record.downsample).clip(record.mask_shape)
                self._editor.run(remove_predictions(region, removed, self._workspace.locked_classes))
        self._workspace.project_changed.emit()
        return BoxStep(record.boxes, boxes, removed)

    # -- inside

    def _create_layer(self, record: SlideRecord) -> Shapes:
        layer = super()._create_layer(record)
        layer.mouse_drag_callbacks.append(self._track_drag)
        # On this layer these keys override those that `shortcuts` binds for the mask.
        layer.bind_key("Control-Z", self._key_handler(self.undo), overwrite=True)
        layer.bind_key("Control-Shift-Z", self._key_handler(self.redo), overwrite=True)
        return layer

    def _key_handler(self, action: Callable[[], None]) -> Callable[[Shapes], None]:
        def handle(_: Shapes) -> None:
            try:
                action()
            except ProjectError as error:
                self._workspace.message.emit(str(error), "", "warning")

        return handle

    def _track_drag(self, layer: Shapes, event: Any) -> Iterator[None]:
        """Block undo while a box is being dragged."""
        if event.button != _LEFT_BUTTON:  # the right button's menu swallows the release
            return
        self._dragging = True
        yield
        while event.type == "mouse_move":
            yield
        self._dragging = False

    def _large_enough(self, box: Region) -> bool:
        return not box.empty and min(box.height, box.width) * self._screen_pixels >= _MIN_SIDE


def _box(corners: npt.NDArray[Any], record: SlideRecord) -> Region:
    """Return the level-0 pixels whose centres lie between the corners of a drawn rectangle."""
    (top, left), (bottom, right) = corners[:, -2:].min(axis=0), corners[:, -2:].max(axis=0)
    first, last = np.ceil([top, left]).astype(int), np.floor([bottom, right]).astype(int) + 1
    return Region(int(first[0]), int(first[1]), *(int(size) for size in last - first)).clip(record.shape)


def _equal_boxes(corners: list[npt.NDArray[np.float64]], shown: list[Any]) -> bool:
    return len(corners) == len(shown) and all(
        np.array_equal(one, np.asarray(other)[:, -2:]) for one, other in zip(corners, shown, strict=True)
    )


def remove_predictions(region: Region, removed: Removed, locked: Locked) -> MaskOperation:
    """Return an operation that removes predictions in a region and appends them to `removed`."""

    def steps(mask: Editable) -> Iterator[OperationStep]:
        boxes = list(mask.nonempty_chunks(region))
        for number, box in enumerate(boxes, 1):
            before = np.stack(mask.read(box))
            after = reassign_provenance(before, Provenance.MODEL, Provenance.NONE, locked)
            lost = np.where(after[0] != before[0], before[0], np.uint8(0))
            if lost.any():
                removed.append((box, _ZSTD.encode(lost)))
            yield OperationStep(mask.edit(box, *after), number / len(boxes))

    return MaskOperation("Removing predictions in the complete box", steps, can_be_cancelled=False)


def restore_predictions(
    removed: Removed, complete_in: Callable[[Region], bool | BoolArray], locked: Locked
) -> MaskOperation:
    """Return an operation that restores removed predictions where nothing was annotated; see `merge_prediction`."""

    def steps(mask: Editable) -> Iterator[OperationStep]:
        for number, (box, packed) in enumerate(removed, 1):
            classes = np.frombuffer(_ZSTD.decode(packed), np.uint8).reshape(box.height, box.width)
            changed = fill_from_model(mask, box, classes, complete_in(box), locked)
            yield OperationStep(changed, number / len(removed))

    return MaskOperation("Restoring predictions", steps, can_be_cancelled=False)
