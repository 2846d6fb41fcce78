"""Measure how soon the overlay of the live model follows the hand in a real window with its worker.

A view of 1600 x 1000 mask pixels, one a screen pixel, of a slide of 8192².  First views never seen before are moved
to; then, with the features of the view at hand, strokes of both classes are drawn by mouse events.  A time ends with
the first frame after the last tile of its answer was drawn.  What was painted and shown is checked.  Prints a table,
and on its last line one JSON object:

``stroke_to_view_ms``   mouse released -> all of the view shows the new overlay, 95th percentile
``first_tile_ms``       the same until the first tile does
``new_view_ms``         camera moved to a place whose features are not at hand -> all of it has an overlay, the longest

    xvfb-run -a -s "-screen 0 2048x1200x24 +extension GLX" python benchmarks/live_window.py [--short]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import tifffile
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_pathseg.engine.events import Event, LiveTile
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.samples import draw_field
from napari_pathseg.ui.dock import PathsegDock

SIDE, FIELD = 8192, 2048
ROWS, COLUMNS = 1000, 1600
HOME = (1200, 1200)  # row and column of the centre of the view in which strokes are drawn
FRESH = ((6800, 6800), (6800, 1200), (1200, 6800), (4000, 4000))
_QUIET_S, _REST_S, _LIMIT_S = 0.4, 2.0, 60.0
_APART_S = 0.008  # napari drops moves that come faster than 5 ms after one another


def make_project(folder: Path) -> tuple[Project, np.ndarray]:
    """Return a project of one large slide, and the classes of its pixels."""
    pixels, classes = draw_field((FIELD, FIELD), np.random.default_rng(0))
    times = (SIDE // FIELD, SIDE // FIELD)
    path = folder / "large.tif"
    tifffile.imwrite(path, np.tile(pixels, (*times, 1)), photometric="rgb", compression="jpeg", tile=(512, 512))
    project = Project.create(folder / "bench.pathseg", mpp=None)
    add_slides(project, [path])
    return project, np.tile(classes, times)


class Window:
    """A window with the dock, its mouse, and when what the live model found was drawn."""

    def __init__(self, project: Project) -> None:
        self.viewer = napari.Viewer()
        self.dock = PathsegDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="PathSeg", area="right")
        self.session = self.dock.session
        self.session.open_project(project.folder)
        self._canvas = self.viewer.window._qt_viewer.canvas.native
        self._fit_canvas()
        self.received = self._redrawn = 0  # tiles of the view
        self.fits: list[int] = []  # of these
        self.last = 0.0  # when a tile of the view came
        self.frames: list[tuple[float, int]] = []  # when they were drawn, and how many tiles they showed
        self.dock.worker.event.connect(self._on_event)
        self.viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._on_draw, position="last")

    def _fit_canvas(self) -> None:
        window = self.viewer.window._qt_window
        for _ in range(3):
            window.resize(
                window.width() + COLUMNS - self._canvas.width(), window.height() + ROWS - self._canvas.height()
            )
            self.wait(seconds=0.3)

    def wait(self, done: Callable[[], bool] = lambda: False, seconds: float = _LIMIT_S) -> bool:
        """Run the event loop until `done()` or for some seconds; return whether it was done."""
        application, end = QApplication.instance(), time.perf_counter() + seconds
        while time.perf_counter() < end:
            if done():
                return True
            application.processEvents()
            time.sleep(0.002)
        return False

    def look(self, place: tuple[int, int]) -> None:
        """Move the camera to a place, one mask pixel a screen pixel."""
        self.viewer.scene.camera.center = place
        self.viewer.scene.camera.zoom = 1.0

    def stroke(self, label: int, start: tuple[float, float], end: tuple[float, float]) -> float:
        """Draw from one place on the canvas to another, ``(x, y)``; return when the button was released."""
        self.dock.annotate.classes.select(label)
        self.dock.annotate.choose("brush")
        places = [np.asarray(start) + share * (np.asarray(end) - start) for share in np.linspace(0, 1, 12)]
        self._send(QMouseEvent.Type.MouseMove, places[0], held=False)
        self._send(QMouseEvent.Type.MouseButtonPress, places[0])
        for place in places[1:]:
            self.wait(seconds=_APART_S)
            self._send(QMouseEvent.Type.MouseMove, place)
        released = time.perf_counter()
        self._send(QMouseEvent.Type.MouseButtonRelease, places[-1], held=False)
        return released

    def _send(self, kind: QMouseEvent.Type, place: np.ndarray, *, held: bool = True) -> None:
        moves = kind == QMouseEvent.Type.MouseMove
        button = Qt.MouseButton.NoButton if moves else Qt.MouseButton.LeftButton
        buttons = Qt.MouseButton.LeftButton if held else Qt.MouseButton.NoButton
        point = QPointF(*place)
        where = QPointF(self._canvas.mapToGlobal(point.toPoint()))
        event = QMouseEvent(kind, point, where, button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._canvas, event)

    def answered(self, since: float) -> tuple[float, float]:
        """Return the milliseconds until the first and the last tile of the next fit were seen in a frame."""
        before = self.received

        def count() -> int:
            """Return how many tiles there were up to the last one of the next fit."""
            new = self.fits[before:]
            return before + len(new) - new[::-1].index(new[0]) if new else before

        def over() -> bool:
            seen = count() > before and self.frames and self.frames[-1][1] >= count()
            return bool(seen) and time.perf_counter() - self.last > _QUIET_S

        if not self.wait(over):
            sys.exit("No overlay came in a minute.")
        first, last = (
            next(when for when, shown in self.frames if when > since and shown >= wanted)
            for wanted in (before + 1, count())
        )
        return 1000 * (first - since), 1000 * (last - since)

    def rest(self) -> None:
        """Wait until the live model has answered all it wants to, and no tile of the view comes any more."""
        self.last = max(self.last, time.perf_counter() - _REST_S / 2)
        self.wait(lambda: time.perf_counter() - self.last > _REST_S)

    @property
    def covered(self) -> bool:
        """Whether all of the view has an overlay, be it Background."""
        region = self.session.layers.visible_region()
        return bool((self.session.live.tiles.read(region, 0)[0] > 0).all())

    def _on_event(self, event: Event) -> None:
        if isinstance(event, LiveTile) and not event.region.intersect(self.session.layers.visible_region()).empty:
            self.received, self.last = self.received + 1, time.perf_counter()
            self.fits.append(event.fit)
            self._watch()

    def _watch(self) -> None:
        layer = self.session.layers.live
        if layer is not None and self._on_data not in layer.events.set_data.callbacks:
            layer.events.set_data.connect(self._on_data)
            layer.events.labels_update.connect(self._on_data)  # a box of it

    def _on_data(self, _: object = None) -> None:
        self._redrawn = self.received

    def _on_draw(self, _: object) -> None:
        if not self.frames or self.frames[-1][1] != self._redrawn:
            self.frames.append((time.perf_counter(), self._redrawn))


def begin(window: Window, classes: np.ndarray) -> None:
    """Draw a stroke of each class at home, and wait for the first overlay."""
    window.look(HOME)
    window.wait(seconds=1)
    top, left = HOME[0] - ROWS // 2, HOME[1] - COLUMNS // 2
    for label in (2, 1):
        row, column = _inside(classes[top : top + ROWS, left : left + COLUMNS], 2 if label == 2 else 1)
        window.stroke(label, (column - 12, row), (column + 12, row))
        window.wait(seconds=1)
    if not window.wait(lambda: window.session.live.ready and window.covered):
        sys.exit("No overlay came in a minute.")


def _inside(classes: np.ndarray, label: int) -> tuple[int, int]:
    """Return the row and column of a place deep inside a class."""
    from scipy import ndimage

    inside = ndimage.distance_transform_edt(np.pad(classes == label, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return int(row), int(column)


def new_views(window: Window, places: tuple[tuple[int, int], ...]) -> list[float]:
    """Move to places that were not seen before; return the milliseconds until each is covered."""
    found = []
    for place in places:
        since = time.perf_counter()
        window.look(place)
        window.wait(seconds=0.15)  # napari draws it, and knows where it is
        if not window.wait(lambda: window.covered):
            sys.exit("A view was not answered in a minute.")
        shown = window.received
        window.wait(lambda shown=shown: window.frames[-1][1] >= shown)
        found.append(1000 * (window.frames[-1][0] - since))
    return found


def strokes(window: Window, number: int) -> tuple[list[float], list[float]]:
    """Draw strokes; return the milliseconds until the first tile and all of the view show the new overlay."""
    rng, first, whole = np.random.default_rng(1), [], []
    window.look(HOME)
    if not window.wait(lambda: window.covered):
        sys.exit("The view was not answered in a minute.")
    window.wait(seconds=3)
    for index in range(number):
        x, y = rng.uniform((100, 100), (COLUMNS - 200, ROWS - 100))
        window.rest()
        released = window.stroke(1 + index % 2, (x, y), (x + 80, y))
        one, all_of_it = window.answered(released)
        first.append(one)
        whole.append(all_of_it)
    return first, whole


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="10 strokes and 2 views instead of 30 and 4")
    short = parser.parse_args().short
    with tempfile.TemporaryDirectory() as folder:
        project, classes = make_project(Path(folder))
        window = Window(project)
        begin(window, classes)
        views = new_views(window, FRESH[:2] if short else FRESH)
        first, whole = strokes(window, 10 if short else 30)
        drawn = int(window.session.mask.counts[1:3, 4:].sum())
        size = window.session.layers.visible_region()
        window.dock.shutdown()
        window.viewer.close()
    if not drawn or size.height < 0.95 * ROWS or size.width < 0.95 * COLUMNS:
        sys.exit(f"{drawn} pixels drawn in a view of {size.height} x {size.width}: the figures are meaningless")
    print(f"{'':28}{'median':>10}{'95th':>10}{'longest':>10}")
    for name, values in (
        ("stroke to first tile (ms)", first),
        ("stroke to view (ms)", whole),
        ("new view (ms)", views),
    ):
        print(f"{name:28}{np.median(values):10.0f}{np.percentile(values, 95):10.0f}{max(values):10.0f}")
    answer = {
        "stroke_to_view_ms": round(float(np.percentile(whole, 95))),
        "first_tile_ms": round(float(np.percentile(first, 95))),
        "new_view_ms": round(max(views)),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
