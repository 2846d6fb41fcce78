"""Takes what the live model finds over into the mask in view, as a prediction does: where nothing is annotated."""

from dataclasses import dataclass, field

from napari_pathseg.engine.events import LiveFilled
from napari_pathseg.engine.live.packed import unpack
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.comparison import Opinion
from napari_pathseg.masks.edits import fill_in_run
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.scratch import scratch_array
from napari_pathseg.ui.layers.live_tiles import above_threshold
from napari_pathseg.ui.session.workspace import Workspace


@dataclass
class LiveFill:
    """A filling of a box of the mask in view, all of which is one undo step.

    On a complete slide nothing is filled: the model's classes are compared with the mask.

    Attributes
    ----------
    region, whole
        The box of the mask's grid, and whether it is all of the slide.
    share
        How much of it is done, 0 to 1.
    """

    workspace: Workspace
    slide: str
    mask: Mask
    region: Region
    threshold: float
    whole: bool
    share: float = 0.0
    _waiting: list[tuple[Region, UInt8Array]] = field(default_factory=list)
    _compared: UInt8Array | None = None  # the classes of the box on a complete slide
    _last: bool = False

    def take(self, event: LiveFilled) -> None:
        """Fill a box, once no operation runs on the mask."""
        self.share, self._last = event.share, event.last
        if event.pixels:
            found = unpack(event.pixels, (2, event.region.height, event.region.width))
            self._waiting.append((event.region, above_threshold(found, self.threshold)))
        self.go_on()

    def go_on(self) -> bool:
        """Fill what waits, if no operation runs on the mask; return whether all is done, which ends the undo step."""
        record = self.workspace.slide
        if record is None or self.mask.operations.running is not None:
            return False
        waiting, self._waiting = self._waiting, []
        for region, classes in waiting:
            if record.complete:
                self._compare(record, region, classes)
            else:
                locked = self.workspace.locked_classes
                changed = fill_in_run(self.mask, region, classes, record.complete_in(region), locked)
                self.workspace.show_changed(changed)
        if self._last:
            self.end()
        return self._last

    def end(self) -> None:
        """End the undo step."""
        if self.mask.writable:
            self.mask.end_run()

    def _compare(self, record: SlideRecord, region: Region, classes: UInt8Array) -> None:
        opinion = self.workspace.opinion
        if self._compared is None or opinion is None:
            opinion = opinion or Opinion(record.mask_shape)
            self._compared = scratch_array((self.region.height, self.region.width))
            opinion.show_preview(self.region, self._compared)
            self.workspace.set_opinion(opinion)
        self._compared[region.shift(-self.region.top, -self.region.left).slices] = classes
        opinion.reload(region)
        self.workspace.mask_changed.emit()
