"""Follows the mask in view with the live model, which the worker fits, and keeps what that finds on screen.

What the model finds is no part of a mask until the user fills it in.  If the worker is killed, it is sent everything
again.
"""

import contextlib
import math
import time
from dataclasses import replace

import numpy as np
from psygnal import Signal

from napari_pathseg.config import PROJECT, LiveConfig
from napari_pathseg.engine.events import Event, LiveFilled, LiveKept, LiveStatus, LiveTile
from napari_pathseg.engine.live.encoder_choice import project_encoder
from napari_pathseg.engine.live.packed import unpack
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region, grid_shape
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.jobs.protocol import FillLive, KeepLive, ShowLive, StartLive, StopLive
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.project_state import LiveChoices
from napari_pathseg.ui.layers.live_layer import DEFAULT_OPACITY
from napari_pathseg.ui.layers.live_tiles import LiveTiles, Tile, above_threshold
from napari_pathseg.ui.layers.mask_layer import MaskLayer, can_paint_pyramids
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer
from napari_pathseg.ui.layers.slide_layers import screen_pixels
from napari_pathseg.ui.session.live_fill import LiveFill
from napari_pathseg.ui.session.live_labels import LiveLabels
from napari_pathseg.ui.session.selection import SLIDE
from napari_pathseg.ui.session.worker import Worker
from napari_pathseg.ui.session.workspace import Workspace

_MAX_DEATHS, _DEATHS_S = 3, 120.0  # of the worker in a while, after which the live model rests
_QUICK, _QUICK_S = 4, 0.02  # chunks of a stroke that are applied at once, and for how long
_ANNOUNCE_S = 0.5  # between two announcements of a stroke
_SEEN = 2  # screen pixels
OFF, STARTING = "Off: press to see what a model finds", "Starting…"
NOTHING_DRAWN = "Draw two classes: a model follows."
READS, FOLLOWS = "Reads what is drawn…", "Follows each stroke"
NOT_READY = "The live model has found nothing yet. Draw two classes, or wait a moment, then fill again."
_DIED = "Live rests: its process ended several times. Switch it off and on to start it again."


class LiveController:
    """Sends the worker what it needs to follow the mask in view; does nothing until :meth:`follow` is called.

    Signals: `changed` (what the window says about it), `redraw_wanted` (:meth:`redraw` is to be called: soon, as tiles
    of what is on screen came, or once there is time, as the mask above them changed), `send_wanted` (:meth:`send_edits`
    is to be called in so many seconds), `kept` (the model that the project keeps is up to date).

    Attributes
    ----------
    tiles
        What the model has found on the slide in view.
    config
        The settings of the live model.
    threshold, opacity
        How probable a class must be to be shown and filled, and how opaque it is, 0 to 1.
    """

    changed = Signal()
    redraw_wanted = Signal(bool)
    send_wanted = Signal(float)
    kept = Signal()
    threshold, opacity = 0.5, DEFAULT_OPACITY

    def __init__(self, workspace: Workspace, worker: Worker) -> None:
        self._workspace, self._worker = workspace, worker
        self.tiles, self.config = LiveTiles(), LiveConfig()
        self._status: LiveStatus | None = None
        self._project: Project | None = None  # whose choices are in force
        self._on = True
        self._started = False
        self._encoder = ("", "")  # of the project, as it was at the start
        self._view: ShowLive | None = None  # that was sent last
        self._labels = LiveLabels(workspace, worker)
        self._slide = ""  # whose tiles are kept
        self._fill: LiveFill | None = None
        self._deaths: list[float] = []
        self._layer: MaskLayer | PlainMaskLayer | None = None  # whose strokes are announced
        self._announced = 0.0  # when one was last

    def follow(self) -> None:
        """Follow the mask in view from now on."""
        workspace = self._workspace
        workspace.project_changed.connect(self._on_project)
        workspace.slide_changed.connect(self._on_slide)
        workspace.mask_changed.connect(self._on_mask)
        self._worker.event.connect(self._on_event)
        self._worker.died.connect(self._on_worker_died)
        self._slide = self._shown
        self._watch_layer()
        self._on_project()

    # -- what the window shows

    @property
    def on(self) -> bool:
        """Whether the user wants it."""
        return self._on

    @property
    def ready(self) -> bool:
        """Whether there is a model."""
        return self._started and self._status is not None and self._status.ready

    @property
    def sentence(self) -> str:
        """What it does, or why it does nothing."""
        status = self._status
        if not self._on:
            return OFF
        if not self._started:
            return status.text if status is not None else NOTHING_DRAWN
        if status is None:
            return STARTING
        if status.text:
            return status.text
        if not status.ready:
            return READS
        if status.encoded < status.wanted:
            return f"{FOLLOWS} · {int(100 * status.encoded / status.wanted)} % of the slide read"
        return FOLLOWS

    @property
    def filling(self) -> LiveFill | None:
        """The filling that is going on."""
        return self._fill

    # -- actions

    def set_on(self, on: bool) -> None:
        """Switch it on or off; the project remembers it."""
        self._on, self._status, self._deaths = on, None, []
        self._stop()
        self._remember()
        self._follow_masks()
        self.changed.emit()

    def set_config(self, config: LiveConfig) -> None:
        """Start again with other settings, which the project remembers."""
        if config == self.config:
            return
        self.config = config
        self._stop()
        self._remember()
        self._follow_masks()
        self.changed.emit()

    def set_threshold(self, threshold: float) -> None:
        """Show and fill a class where it is at least this probable, 0 to 1."""
        self.threshold = threshold
        if self._workspace.layers.live is not None:
            self._workspace.layers.live.threshold = threshold
        self.changed.emit()

    def set_opacity(self, opacity: float) -> None:
        """Show the overlay with an opacity from 0 to 1."""
        self.opacity = opacity
        if self._workspace.layers.live is not None:
            self._workspace.layers.live.opacity = opacity
        self.changed.emit()

    def toggle_overlay(self) -> None:
        """Hide the overlay, or show it again."""
        if self._workspace.layers.live is not None:
            self._workspace.layers.live.visible = not self._workspace.layers.live.visible
            self.changed.emit()

    def fill(self, scope: str) -> None:
        """Take what it finds on the whole slide, or in view, over into the mask, where nothing is annotated.

        Raises
        ------
        ProjectError
            If the mask cannot be changed, or there is no model yet.
        """
        mask, record = self._workspace.require_mask(), self._workspace.require_slide()
        if not self.ready:
            raise ProjectError(NOT_READY)
        self.cancel_fill()
        whole = Region(0, 0, *mask.shape)
        region = whole if scope == SLIDE else self._workspace.layers.visible_region()
        self._fill = LiveFill(self._workspace, record.id, mask, region, self.threshold, region == whole)
        mask.end_run()
        self._worker.send(FillLive(record.id, region))
        self.changed.emit()

    def cancel_fill(self) -> None:
        """Stop filling; what is filled stays."""
        fill, self._fill = self._fill, None
        if fill is None:
            return
        if self._started:
            self._worker.send(FillLive(fill.slide, EMPTY_REGION))
        fill.end()
        what = "slide" if fill.whole else "view"
        text = f"Stopped: {100 * fill.share:.0f} % of the {what} filled; what is done is kept."
        self._workspace.message.emit(text, "", "info")
        self.changed.emit()

    def follow_view(self) -> None:
        """Let it answer for what is on screen now, no finer than is seen beneath the hatching: every second pixel."""
        record, layers = self._workspace.slide, self._workspace.layers
        if not self._started or record is None or layers.mask is None:
            return
        view = ShowLive(record.id, layers.visible_region(), self.step)
        if view != self._view and not view.region.empty:
            self._view = view
            self._worker.send(view)

    def found(self, region: Region) -> UInt8Array:
        """Return the classes that it shows in a box of the mask in view; 0 where it has not answered as finely yet."""
        layer = self._workspace.layers.live
        if layer is None or not layer.visible or self.tiles.coarsest(region) > self.step:
            return np.zeros((region.height, region.width), np.uint8)
        return above_threshold(self.tiles.read(region, 0), self.threshold)

    @property
    def step(self) -> int:
        """For how many mask pixels along a side one answer is fine enough at this zoom."""
        on_screen = max(screen_pixels(self._workspace.layers), 1e-6)
        return int(2 ** max(0, math.floor(math.log2(_SEEN / on_screen))))

    def send_edits(self) -> None:
        """Send what has changed to the worker."""
        if self._started and (wait := self._labels.send()):
            self.send_wanted.emit(wait)

    def redraw(self) -> None:
        """Show the tiles that came."""
        layers = self._workspace.layers
        if self._workspace.mask is None:
            return
        if layers.live is None and len(self.tiles):
            layers.show_live(self.tiles)
            if layers.live is not None:
                layers.live.threshold, layers.live.opacity = self.threshold, self.opacity
        elif layers.live is not None:
            layers.live.redraw_marked()

    # -- changes in the window

    def _on_project(self) -> None:
        project = self._workspace.project
        if project is not self._project:
            self._stop()
            self._project, self._status, self._deaths = project, None, []
            choices = LiveChoices() if project is None else project.state.live_choices
            self._on, self.config = choices.on, LiveConfig.known(choices.config)
        elif self._encoder_changed:
            self._stop()
        self._labels.behind = True
        self._follow_masks()
        self.changed.emit()

    def _on_slide(self) -> None:
        self._watch_layer()
        if self._fill is not None and (self._workspace.mask is not self._fill.mask):
            self.cancel_fill()
        left = self._slide if self._slide != self._shown else ""
        if left:
            self._clear_tiles()
        self._slide = self._shown
        self.redraw()
        self._view, self._labels.behind = None, True
        self._follow_masks()
        self.follow_view()
        if left and self.ready and self._workspace.project is self._project and not self._workspace.taken:
            self._worker.send(KeepLive())
        self.changed.emit()

    @property
    def _shown(self) -> str:
        """The slide in view, empty for none."""
        return "" if self._workspace.slide is None else self._workspace.slide.id

    def _watch_layer(self) -> None:
        layer = self._workspace.layers.mask
        if layer is not None and layer is not self._layer:
            self._layer = layer
            layer.pending_changed.connect(self._on_paint)

    def _on_paint(self) -> None:
        """Let the worker leave the time to the window while a stroke is drawn, and be ready for its end."""
        now, mask = time.monotonic(), self._workspace.mask
        draws = mask is not None and mask.stroke_queue.has_open_group
        if draws and self._started and self._view is not None and now > self._announced + _ANNOUNCE_S:
            self._announced = now
            self._worker.send(self._view)

    def _on_mask(self) -> None:
        if self._fill is not None and self._fill.go_on():
            self._end_fill()
        self._apply_stroke()
        self._follow_masks()
        mask = self._workspace.mask
        if self._started and len(self.tiles) and mask is not None and not mask.stroke_queue.has_open_group:
            self.redraw_wanted.emit(False)

    def _apply_stroke(self) -> None:
        """Apply the end of a stroke now if that is quick: the worker can then learn it while the window draws it."""
        layer = self._workspace.layers.mask
        if not self._started or self._labels.wait or layer is None or layer.mask is not self._workspace.mask:
            return
        queue = layer.mask.stroke_queue
        if 0 < queue.pending_chunks <= _QUICK and not queue.has_open_group and layer.mask.operations.running is None:
            with contextlib.suppress(ProjectError):  # it is tried again, and reported, in the next idle moment
                layer.process_pending(_QUICK_S)

    def _follow_masks(self) -> None:
        """Start it if there is something to learn from, or let it know what has changed."""
        if self._workspace.project is None or not self._on or not can_paint_pyramids() or self._rests:
            return
        if self._started:
            self.send_edits()
        elif any(sum(pixels) for pixels in self._workspace.labelled_pixels().values()):
            self._start(self._workspace.project)

    @property
    def _rests(self) -> bool:
        """Whether the worker has died too often."""
        return len(self._deaths) >= _MAX_DEATHS

    @property
    def _encoder_changed(self) -> bool:
        """Whether a training was begun with another encoder, and Live uses that of the project."""
        project, follows = self._project, self._started and self.config.encoder == PROJECT
        return follows and project is not None and project_encoder(project) != self._encoder

    def _start(self, project: Project) -> None:
        if not self._labels.save_mask():
            return  # the end of what runs on the mask is a change of it
        self._started, self._status, self._view = True, None, None
        self._encoder = project_encoder(project)
        config = self.config.replace(disk_gb=0.0) if self._workspace.taken else self.config  # not ours to write
        self._worker.send(StartLive(project=str(project.folder), config=config))
        self._labels.begin(project)
        self.follow_view()
        self.changed.emit()

    def _stop(self) -> None:
        self.cancel_fill()
        if self._started:
            self._worker.send(StopLive())
        self._started, self._view = False, None
        self._labels.end()
        self._clear_tiles()
        self.redraw()

    def _clear_tiles(self) -> None:
        self.tiles.clear()
        self._mark_all()

    def _mark_all(self) -> None:
        mask, layer = self._workspace.mask, self._workspace.layers.live
        if mask is not None and layer is not None:
            layer.mark(Region(0, 0, *mask.shape))

    def _remember(self) -> None:
        project = self._workspace.project
        if project is None or self._workspace.read_only:
            return
        choices = LiveChoices(self._on, self.config.to_json())
        if choices != project.state.live_choices:
            with project.edit_state() as state:
                state.live_choices = choices

    # -- events of the worker

    def _on_event(self, event: Event) -> None:
        if not self._started:
            return
        match event:
            case LiveTile():
                self._take_tile(event)
            case LiveStatus():
                self._take_status(event)
            case LiveKept():
                self.kept.emit()
            case LiveFilled() if self._fill is not None and event.slide == self._fill.slide:
                self._take_filled(self._fill, event)

    def _take_tile(self, event: LiveTile) -> None:
        record, layers = self._workspace.slide, self._workspace.layers
        if record is None or record.id != event.slide or event.region.clip(record.mask_shape) != event.region:
            return
        shape = grid_shape((event.region.height, event.region.width), event.step)
        self.tiles.add(Tile(event.region, event.step, event.fit, unpack(event.pixels, (2, *shape))))
        if layers.live is not None:
            layers.live.mark(event.region)
        if not event.region.intersect(layers.visible_region()).empty:
            self.redraw_wanted.emit(True)

    def _take_status(self, status: LiveStatus) -> None:
        if status.warning and (self._status is None or status.text != self._status.text):
            self._workspace.message.emit(status.text, "", "warning")
        if self.tiles.hidden == status.ready:
            self.tiles.hidden = not status.ready
            self._mark_all()
            self.redraw_wanted.emit(True)
        self._status = replace(status, warning=False)
        self.changed.emit()

    def _take_filled(self, fill: LiveFill, event: LiveFilled) -> None:
        try:
            fill.take(event)
        except ProjectError as error:  # the disk refuses
            self.cancel_fill()
            self._workspace.message.emit(str(error), "", "error")
            return
        if fill.go_on():
            self._end_fill()
        self.changed.emit()

    def _end_fill(self) -> None:
        self._fill = None
        self._workspace.project_changed.emit()
        self.changed.emit()

    def _on_worker_died(self, _: str) -> None:
        if not self._started:
            return
        now = time.monotonic()
        self._deaths = [*(one for one in self._deaths if now - one < _DEATHS_S), now]
        self._started = False
        self.cancel_fill()
        self._status = LiveStatus(ready=False, text=_DIED) if self._rests else None
        self._follow_masks()
        self.changed.emit()
