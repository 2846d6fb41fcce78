"""Measure the time from pressing Train to the first prediction on screen.

In a real window on the sample slides: five complete with their contours, the sixth in view,
the worker warmed up.  Prints the seconds until the first predicted pixels are in the mask,
and until the view is full; on its last line one JSON object.

    python benchmarks/first_overlay.py
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import napari
from window import wait

from napari_pathseg.config import TrainConfig
from napari_pathseg.masks import Provenance
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.sample_files import sample_folder, sample_slides
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.worker_process import WorkerProcess


def main() -> None:
    """Train once, and measure when the mask changes."""
    folder = sample_folder()
    with tempfile.TemporaryDirectory() as temporary:
        project = Project.create(Path(temporary) / "bench.pathseg")
        *training, shown = sample_slides(folder)
        add_slides(
            project, [path for path in training if path.with_suffix(".svg").exists()], AddOptions(contours=folder)
        )
        negatives = [path for path in training if not path.with_suffix(".svg").exists()]
        add_slides(project, negatives, AddOptions(negative=True))
        (entry,) = add_slides(project, [shown])
        viewer, worker = napari.Viewer(), WorkerProcess()
        session = Session(viewer, worker)
        session.open_project(project.folder)
        session.show_slide(entry.id)
        wait(lambda: False, 15)  # the worker warms up, as it does while the user outlines
        start = time.perf_counter()
        session.training.train(TrainConfig(minutes=1), parent=None)
        if not wait(lambda: session.mask.counts[1:, Provenance.MODEL].any(), 60):
            sys.exit("no overlay came within a minute")
        first = time.perf_counter() - start
        wait(lambda: not session.mask.counts[0].any(), 60)
        full = time.perf_counter() - start
        session.training.stop()
        wait(lambda: not session.training.active, 60)
        session.close()
        worker.close()
        viewer.close()
    print(f"first pixels after {first:.1f} s, the view is full after {full:.1f} s")
    print(json.dumps({"first_overlay_s": round(first, 1), "view_full_s": round(full, 1)}))


if __name__ == "__main__":
    main()
