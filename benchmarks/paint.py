"""Is a brush as quick on a whole slide's mask as on a small one of napari's own?

In real windows, again and again in turn: a brush of 50 pixels on screen is dragged by mouse events over
napari's single-scale labels of 4,096², and over masks of 2,048² and 60,000², close up and
with the whole slide in view.  A latency is the time from a mouse event to the frame that
shows it; strokes are carried out between the events, as in the window.  What was painted is
checked.  Prints a table, and on its last line one JSON object:

``paint_vs_napari``  median latency on the mask of 60,000², of that on napari's labels (the worse of close and far)
``growth_2k_60k``    median latency on 60,000², of that on 2,048² (the worse of close and far)
``push_vs_refresh``  a model's tile of 512² brought to the screen of 8,192², of a full refresh
``open_mb``          memory that opening the mask of 60,000² takes

    python benchmarks/paint.py [--short]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari
import numpy as np
import psutil
from napari.layers import Labels
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask, open_mask
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.ui.layers.mask_layer import MaskLayer

BRUSH = 50  # pixels on screen
VIEWS = ("close", "far")
Turn = tuple[dict[str, float], dict[str, float], dict[str, float]]  # napari's, the small mask's and the large one's
NAPARI_SIDE, SMALL, LARGE, PUSHED = 4096, 2048, 60_000, 8192


class Hand:
    """A mouse on the canvas of a viewer."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._canvas = viewer.window._qt_viewer.canvas.native
        self._app = QApplication.instance()

    def send(self, kind: QMouseEvent.Type, place: tuple[float, float], button: Qt.MouseButton) -> None:
        """Send a mouse event, ``(x, y)`` on the canvas."""
        point = QPointF(*place)
        held = Qt.MouseButton.LeftButton if kind != QMouseEvent.Type.MouseButtonRelease else Qt.MouseButton.NoButton
        where = QPointF(self._canvas.mapToGlobal(point.toPoint()))
        event = QMouseEvent(kind, point, where, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._canvas, event)

    def drag(self, steps: int, between: Callable[[], Any] = lambda: None) -> list[float]:
        """Drag over the canvas, `between` the events doing something; return the seconds from each to its frame."""
        width, height = self._canvas.width(), self._canvas.height()
        angles = np.linspace(0, 2 * np.pi, steps)
        places = [(width / 2 + width / 4 * np.cos(a), height / 2 + height / 4 * np.sin(a)) for a in angles]
        self.send(QMouseEvent.Type.MouseButtonPress, places[0], Qt.MouseButton.LeftButton)
        seconds = []
        for place in places[1:]:
            began = time.perf_counter()
            self.send(QMouseEvent.Type.MouseMove, place, Qt.MouseButton.NoButton)
            self._canvas.update()
            self._app.processEvents()  # type: ignore[union-attr]
            seconds.append(time.perf_counter() - began)
            between()
        self.send(QMouseEvent.Type.MouseButtonRelease, places[-1], Qt.MouseButton.LeftButton)
        return seconds


def look(viewer: napari.Viewer, side: int, *, far: bool) -> None:
    """Show a layer of this side whole, or its middle pixel for pixel."""
    viewer.reset_view()
    if not far:
        viewer.scene.camera.center = (side / 2, side / 2)
        viewer.scene.camera.zoom = 1
    settle(viewer)


def settle(viewer: napari.Viewer) -> None:
    """Let the window draw what it has to."""
    for _ in range(5):
        draw(viewer)


def draw(viewer: napari.Viewer) -> None:
    """Draw a frame."""
    viewer.window._qt_viewer.canvas.native.update()
    QApplication.processEvents()


def latency(viewer: napari.Viewer, layer: Labels, steps: int, rounds: int) -> float:
    """Return the median milliseconds from an event to its frame; the first round warms up."""
    layer.mode = "paint"
    layer.selected_label = 2
    layer.brush_size = max(1, round(BRUSH / viewer.scene.camera.zoom))
    seconds: list[float] = []
    for number in range(rounds + 1):
        found = Hand(viewer).drag(
            steps, partial(layer.process_pending, 0.008) if isinstance(layer, MaskLayer) else lambda: None
        )
        seconds += found if number else []
        if isinstance(layer, MaskLayer):
            layer.process_pending(60)
        layer.selected_label = 3 - layer.selected_label  # else nothing changes in the next round
    return float(np.median(seconds)) * 1e3


def check_painted(layer: Labels) -> None:
    """Stop where a stroke left nothing."""
    painted = layer.mask.counts[1:3].sum() if isinstance(layer, MaskLayer) else np.count_nonzero(layer.data)
    if not painted:
        raise SystemExit("Nothing was painted: the figures say nothing.")


def measure(layer_of: Callable[[], Labels], side: int, steps: int, rounds: int) -> dict[str, float]:
    """Return the latencies close up and far in a window of its own."""
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 900)
    layer = layer_of()
    viewer.add_layer(layer)
    found = {}
    for name, far in (("close", False), ("far", True)):
        look(viewer, side, far=far)
        found[name] = latency(viewer, layer, steps, rounds)
    check_painted(layer)
    viewer.close()
    return found


def measure_push(folder: Path, rounds: int) -> float:
    """Return what a model's tile of 512² costs on screen, of a full refresh; the frame that both need is left out."""
    viewer = napari.Viewer()
    with open_mask(folder / "pushed.zarr", (PUSHED, PUSHED), DEFAULT_CLASSES) as mask:
        layer = MaskLayer(mask, DEFAULT_CLASSES)
        plain = Labels(np.zeros((PUSHED, PUSHED), np.uint8))
        viewer.add_layer(plain)
        settle(viewer)
        frame = _seconds(lambda _: draw(viewer), rounds)
        refresh = _seconds(lambda _: (plain.refresh(), draw(viewer)), rounds) - frame
        viewer.layers.clear()
        viewer.add_layer(layer)
        settle(viewer)
        found = np.full((512, 512), 2, np.uint8)
        boxes = [fill_from_model(mask, Region(512 * n, 512 * n, 512, 512), found) for n in range(rounds + 1)]
        push = _seconds(lambda number: layer.show(boxes[number]), rounds)
    viewer.close()
    return push / refresh


def _seconds(action: Callable[[int], Any], rounds: int) -> float:
    seconds = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        action(number)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def worst_ratio(found: list[Turn], peer: int) -> float:
    """Return the latency on the largest mask, of that on a peer: the median of the turns, the worse of the views."""
    return max(float(np.median([turn[2][view] / turn[peer][view] for turn in found])) for view in VIEWS)


def main() -> None:
    """Run everything in turn and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="fewer strokes")
    short = parser.parse_args().short
    steps, rounds, turns = (40, 1, 3) if short else (100, 2, 5)
    process = psutil.Process()
    with tempfile.TemporaryDirectory(prefix="pathseg-") as name:
        folder = Path(name)
        masks: list[Mask] = []

        def layer_of(side: int) -> Labels:
            masks.append(open_mask(folder / f"{side}-{len(masks)}.zarr", (side, side), DEFAULT_CLASSES))
            return MaskLayer(masks[-1], DEFAULT_CLASSES)

        found: list[Turn] = []
        taken: list[float] = []
        for _ in range(turns):  # a machine is not as quick at all times
            plain = measure(lambda: Labels(np.zeros((NAPARI_SIDE,) * 2, np.uint8)), NAPARI_SIDE, steps, rounds)
            small = measure(lambda: layer_of(SMALL), SMALL, steps, rounds)
            before = process.memory_info().rss
            large = measure(lambda: layer_of(LARGE), LARGE, steps, rounds)
            taken.append((process.memory_info().rss - before) / 2**20)
            found.append((plain, small, large))
        push = measure_push(folder, 3 if short else 10)
        for mask in masks:
            mask.close()
    for number, title in enumerate(("napari 4,096²", "mask 2,048²", "mask 60,000²")):
        close, far = (float(np.median([turn[number][view] for turn in found])) for view in VIEWS)
        print(f"{title:16} close {close:7.2f} ms   far {far:7.2f} ms")
    answer = {
        "paint_vs_napari": round(worst_ratio(found, 0), 3),
        "growth_2k_60k": round(worst_ratio(found, 1), 3),
        "push_vs_refresh": round(push, 4),
        "open_mb": round(taken[0], 1),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
