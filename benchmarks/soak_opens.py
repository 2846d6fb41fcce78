"""Open a mask and a slide ten thousand times and predict five hundred times in one process.

Memory and open files must stay flat.  Run: python benchmarks/soak_opens.py [--opens 10000] [--predictions 500]
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import tifffile

from napari_pathseg.classes import class_table
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import merge_prediction
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.project import Project

_SIDE = 512
_TILE = Region(0, 0, 256, 256)


def make_project(folder: Path) -> Project:
    """Return a project with one small slide and the prediction of a model."""
    pixels = np.random.default_rng(0).integers(0, 255, (_SIDE, _SIDE, 3)).astype(np.uint8)
    tifffile.imwrite(folder / "case.tif", pixels, photometric="rgb", tile=(256, 256), compression="deflate")
    project = Project.create(folder / "soak.pathseg", class_table([("Background", None), ("Tumour", None)]))
    add_slides(project, [folder / "case.tif"])
    return project


def open_all(project: Project, number: int) -> None:
    """Open the slide and its mask, read and write a little, and close both."""
    with project.write_lock(), project.open_slide("case") as slide, project.open_mask("case") as mask:
        slide.read_level(0, _TILE)
        label = np.full((8, 8), 1 + number % 2, np.uint8)
        mask.edit(Region(number % 64, 0, 8, 8), label, np.full((8, 8), 4, np.uint8))


def predict_once(project: Project, number: int) -> None:
    """Write a tile of a prediction, as a running model does, and merge it into the mask."""
    prediction = create_prediction(
        project.prediction_path("m001", "case"), project.slide("case").mask_shape, ["a", "b"]
    )
    share = np.uint8(number % 200)
    prediction.write(_TILE, np.stack([np.full((256, 256), value, np.uint8) for value in (share, 255 - share)]))
    with project.write_lock(), project.open_mask("case") as mask:
        mask.run(merge_prediction(prediction, [_TILE], lambda _: False))


def grow(step: Callable[[Project, int], None], project: Project, times: int) -> dict[str, float]:
    """Repeat a step; return by how many files and MiB the process grew after the first tenth."""
    process, before = psutil.Process(), (0, 0.0)
    for number in range(times):
        step(project, number)
        if number == times // 10:
            before = _used(process)
    now = _used(process)
    return {
        "times": times,
        "files": now[0] - before[0],
        "threads_now": process.num_threads(),
        "mib": now[1] - before[1],
    }


def _used(process: psutil.Process) -> tuple[int, float]:
    handles = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    return handles, process.memory_info().rss / (1 << 20)


def main() -> None:
    """Print the growth of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--opens", type=int, default=10_000)
    parser.add_argument("--predictions", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        print(json.dumps({"opens": grow(open_all, project, args.opens)}), flush=True)
        print(json.dumps({"predictions": grow(predict_once, project, args.predictions)}))


if __name__ == "__main__":
    main()
