"""Measure a project of thousands of slides: the commands that list and check it, and the list of slides in the window.

Each slide is tiny and has a contour, as what is measured depends on how many there are, not on their pixels.

``list_s``, ``check_s``  time of ``pathseg list`` and ``pathseg check``, the start of Python included
``open_s``               time from opening the project in the window until the list is painted
``frames_per_s``         frames that the list paints in a second while it is scrolled by a row each; thumbnails included
``frame_p99_ms``         the time that 99 % of these frames stay below

    python benchmarks/many_slides.py [--slides N] [--short]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
import tifffile
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication

from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.dock import PathsegDock
from napari_pathseg.ui.panels.slides.rows import ROW_HEIGHT

_SIDE, _FRAMES, _REPEATS = 64, 600, 3
_SVG = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'
_CONTOUR = _SVG.format('<polyline points="16,16 48,16 48,48 16,48" stroke="red" fill="none"/>')


def make_project(folder: Path, count: int) -> Project:
    """Write slides with contours, and add them to a new project."""
    slides, rng = folder / "slides", np.random.default_rng(0)
    slides.mkdir()
    for number in range(count):
        path = slides / f"slide{number:05}.tif"
        tifffile.imwrite(path, rng.integers(100, 255, (_SIDE, _SIDE, 3)).astype(np.uint8), photometric="rgb")
        path.with_suffix(".svg").write_text(_CONTOUR)
    project = Project.create(folder / "many.pathseg")
    add_slides(project, sorted(slides.glob("*.tif")), AddOptions(contours=slides))
    return project


def command_seconds(*words: str) -> float:
    """Return the median time of a command of `pathseg`."""
    command, seconds = [sys.executable, "-c", "import sys; from napari_pathseg.cli import main; sys.exit(main())"], []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def window_figures(project: Path, frames: int) -> dict[str, float]:
    """Open a project in a window and scroll its list, painting each frame; return what that takes."""
    get_settings()._save_on_change = False
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    dock = PathsegDock(viewer)
    viewer.window.add_dock_widget(dock, name="PathSeg", area="right")
    QApplication.processEvents()
    start = time.perf_counter()
    dock.session.open_project(project)
    shown = dock.slides.list
    shown.repaint()
    QApplication.processEvents()
    opened, bar, seconds = time.perf_counter() - start, shown.verticalScrollBar(), []
    step = max(1, ROW_HEIGHT if bar.maximum() > frames * ROW_HEIGHT else bar.maximum() // frames)
    for number in range(frames):
        start = time.perf_counter()
        bar.setValue(number * step)
        shown.viewport().repaint()
        QApplication.processEvents()
        seconds.append(time.perf_counter() - start)
    dock.shutdown()
    viewer.close()
    return {
        "open_s": round(opened, 2),
        "frames_per_s": round(len(seconds) / sum(seconds), 1),
        "frame_p99_ms": round(1000 * float(np.quantile(seconds, 0.99)), 1),
    }


def main() -> None:
    """Print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=3000)
    parser.add_argument("--short", action="store_true", help="fewer frames")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        start = time.perf_counter()
        project = make_project(Path(folder), args.slides).folder
        print(f"{args.slides} slides with contours added in {time.perf_counter() - start:.0f} s")
        result = {
            "slides": args.slides,
            "list_s": round(command_seconds("list", str(project)), 2),
            "check_s": round(command_seconds("check", str(project)), 2),
            **window_figures(project, _FRAMES // 6 if args.short else _FRAMES),
        }
    for name, figure in result.items():
        print(f"{name:<14} {figure}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
