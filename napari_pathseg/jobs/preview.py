"""What the variation of tiles looks like on a project's own slides, as a picture for the window."""

from pathlib import Path

import numpy as np
from PIL import Image

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.augmentation_preview import preview
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.events import Job
from napari_pathseg.projects.checks.trainability import train_val_split
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import replace_file

FILE = "variation.png"  # in the folder of the runs; the next one takes its place


def preview_job(project: Project, config: TrainConfig, seed: int) -> Job[Path]:
    """Draw a tile from the slides that teach, vary it, and write the samples to a PNG; return its path.

    Raises
    ------
    NothingToLearnError
        If the project cannot be learnt from; no role is given.
    """
    yield from ()
    train, _ = train_val_split(project, {name: project.counts(name) for name in project.slides})
    with PatchDataset(project, train, config, cache=False) as learning:
        samples = preview(learning.draw(np.random.default_rng(seed)), config, seed)
    path = project.folder / "runs" / FILE
    path.parent.mkdir(exist_ok=True)
    with replace_file(path) as partial:
        Image.fromarray(samples).save(partial, "PNG")
    return path
