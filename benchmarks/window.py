"""Measure whether the window stays responsive during training, and training fast while the window is used.

Three phases: in a real window a brush paints twenty stamps a second on a 4096² mask, first while the worker
idles, then while it trains; then the worker trains alone.  Delays are those of a 5 ms timer of the event loop.
Prints a table, and on the last line one JSON object:

``stall_p99_ms``  99th percentile of the delays during training, minus that while idle
``worker_rate``   steps per second with the window, as a fraction of those without

With ``--live`` the window has the dock, and the live model follows the same strokes: it is off and on in turn, four
times each.  The JSON object then has ``stall_p99_ms`` (on, minus off; the median of the turns) and ``fits`` (how
often the model was fitted in a turn).

    python benchmarks/window.py [--short] [--live]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
import tifffile
from PIL import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Event, Progress
from napari_pathseg.jobs.protocol import JobFailed, Train, parse_event, to_line
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.splits import assign_missing_roles
from napari_pathseg.samples import draw_field
from napari_pathseg.ui.dock import PathsegDock
from napari_pathseg.ui.session.live_controller import FOLLOWS
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.worker_process import WorkerProcess

SIDE = 4096
BRUSH = 50
TURNS = 4


def make_project(folder: Path) -> Project:
    """Return a project of four annotated slides and a large one to paint on."""
    rng = np.random.default_rng(0)
    masks = folder / "masks"
    masks.mkdir()
    paths = []
    for number in range(4):
        pixels, classes = draw_field((1024, 1024), rng)
        paths.append(folder / f"slide{number}.tif")
        tifffile.imwrite(paths[-1], pixels, photometric="rgb", compression="jpeg")
        Image.fromarray(np.where(classes == 2, 255, 0).astype(np.uint8)).save(masks / f"slide{number}.png")
    large = np.tile(pixels, (SIDE // 1024, SIDE // 1024, 1))
    tifffile.imwrite(folder / "large.tif", large, photometric="rgb", compression="jpeg", tile=(512, 512))
    project = Project.create(folder / "bench.pathseg")
    add_slides(project, paths, AddOptions(contours=masks))
    add_slides(project, [folder / "large.tif"])
    assign_missing_roles(project)
    return project


class Loop:
    """Records the delays of a timer in the event loop while a brush paints."""

    def __init__(self, session: Session) -> None:
        self._layer, self._rng = session.layers.mask, np.random.default_rng(0)
        self.delays: list[float] = []
        self._last = 0.0
        self._ticks, self._strokes = QTimer(), QTimer()
        self._ticks.setTimerType(Qt.TimerType.PreciseTimer)
        self._ticks.timeout.connect(self._tick)
        self._strokes.timeout.connect(self._stamp)

    def run(self, seconds: float) -> float:
        """Paint for some seconds and return the 99th percentile of the delays in milliseconds."""
        self.delays.clear()
        self._last = time.perf_counter()
        self._ticks.start(5)
        self._strokes.start(50)
        wait(lambda: False, seconds)
        self._ticks.stop()
        self._strokes.stop()
        return float(np.percentile(self.delays, 99) * 1000)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.delays.append(max(0.0, now - self._last - 0.005))
        self._last = now

    def _stamp(self) -> None:
        row, column = self._rng.integers(BRUSH, SIDE - BRUSH, 2)
        self._layer.paint((int(row), int(column)), int(self._rng.integers(1, 3)))


def wait(done, seconds: float) -> bool:
    """Run the event loop until `done()` or for some seconds; return whether it was done."""
    application, end = QApplication.instance(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        if done():
            return True
        application.processEvents()
        time.sleep(0.0005)
    return False


def rate_with_window(session: Session, loop: Loop, config: TrainConfig, seconds: float) -> tuple[float, float]:
    """Return the percentile of the delays and the steps per second of a training with the window."""
    steps: list[int] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "Training":
            steps.append(event.step)

    session.training._worker.event.connect(on_event)
    session.training.train(config, parent=None)
    if not wait(lambda: len(steps) > 3, 120):
        sys.exit("the worker did not start to train")
    first, start = steps[-1], time.perf_counter()
    stall = loop.run(seconds)
    rate = (steps[-1] - first) / (time.perf_counter() - start)
    session.training.stop()
    wait(lambda: not session.training.active, 60)
    return stall, rate


def rate_alone(project: Project, config: TrainConfig, seconds: float) -> float:
    """Return the steps per second of a worker without a window."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "napari_pathseg.jobs.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    worker.stdin.write(to_line(Train(project=str(project.folder), config=config)) + "\n")
    worker.stdin.flush()
    points: list[tuple[float, int]] = []
    for line in worker.stdout:
        event = parse_event(line)
        if isinstance(event, JobFailed):
            sys.exit(event.text)
        if isinstance(event, Progress) and event.stage == "Training":
            points.append((time.perf_counter(), event.step))
            if len(points) > 4 and points[-1][0] - points[3][0] > seconds:
                break
    worker.kill()
    worker.wait()
    (start, first), (end, last) = points[3], points[-1]
    return (last - first) / (end - start)


def measure_training(folder: Path, seconds: float) -> dict[str, float]:
    """Run the three phases, print them, and return the figures."""
    config = TrainConfig(minutes=5, decoder_seconds=2, cached_tiles=8)
    project = make_project(folder)
    viewer, worker = napari.Viewer(), WorkerProcess()
    session = Session(viewer, worker)
    session.open_project(project.folder)
    session.show_slide("large")
    session.layers.mask.brush_size = BRUSH
    wait(lambda: False, 10)  # the worker warms up
    loop = Loop(session)
    loop.run(2)
    idle = loop.run(seconds)
    training, beside = rate_with_window(session, loop, config, seconds)
    painted = int(session.mask.counts[1:].sum())
    session.close()
    worker.close()
    alone = rate_alone(project, config, seconds)
    viewer.close()
    check_painted(painted)
    print(f"{'':24}{'idle':>10}{'training':>10}")
    print(f"{'delay, p99 (ms)':24}{idle:10.1f}{training:10.1f}")
    print(f"{'':24}{'alone':>10}{'window':>10}")
    print(f"{'worker (steps/s)':24}{alone:10.2f}{beside:10.2f}")
    return {"stall_p99_ms": round(training - idle, 1), "worker_rate": round(beside / alone, 3)}


def measure_live(folder: Path, seconds: float) -> dict[str, float]:
    """Paint with the live model off and on in turn, print the delays, and return the figures."""
    project = make_project(folder)
    viewer = napari.Viewer()
    dock = PathsegDock(viewer)
    viewer.window.add_dock_widget(dock, name="PathSeg", area="right")
    session = dock.session
    session.open_project(project.folder)
    session.show_slide("large")
    session.layers.mask.brush_size = BRUSH
    loop = Loop(session)
    loop.run(2)  # strokes of both classes
    if not wait(lambda: session.live.ready and session.live.sentence == FOLLOWS, 240):
        sys.exit("the live model did not read the slide")
    delays: dict[bool, list[float]] = {False: [], True: []}
    fits: list[int] = []
    for turn in range(2 * TURNS):
        on = turn % 2 == 1
        session.live.set_on(on)
        wait(lambda on=on: not on or (session.live.ready and len(session.live.tiles) > 0), 60)
        wait(lambda: False, 5)
        before = fitted(session)
        delays[on].append(loop.run(seconds))
        if on:
            fits.append(fitted(session) - before)
    painted = int(session.mask.counts[1:].sum())
    dock.shutdown()
    viewer.close()
    check_painted(painted)
    for on, values in delays.items():
        print(f"{'on' if on else 'off':8}delay, p99 (ms)" + "".join(f"{value:8.1f}" for value in values))
    print(f"{'':8}fits           " + "".join(f"{count:8}" for count in fits))
    stall = np.median(np.subtract(delays[True], delays[False]))
    return {"stall_p99_ms": round(float(stall), 1), "fits": int(np.median(fits))}


def fitted(session: Session) -> int:
    """Return how often the live model was fitted since it began."""
    return 0 if session.live._status is None else session.live._status.fit


def check_painted(pixels: int) -> None:
    """End if nothing was painted."""
    if pixels == 0:
        sys.exit("the brush painted nothing: the figures are meaningless")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="10 seconds a phase instead of 30")
    parser.add_argument("--live", action="store_true", help="with the live model instead of a training")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure = measure_live if options.live else measure_training
        print(json.dumps(measure(Path(folder), 10 if options.short else 30)))


if __name__ == "__main__":
    main()
