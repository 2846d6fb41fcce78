"""The demo: a window on a project of the sample slides, all of them outlined except one.

`show_demo` leaves the rest to the user.  `run_demo` works through import, training, correction and export by
itself and saves screenshots, scores and contours; each release must pass it.
"""

import time
from pathlib import Path
from typing import Any

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import FOLDER_SUFFIX, Project
from napari_pathseg.projects.roles import TRAIN, VAL
from napari_pathseg.storage.atomic import save_json
from napari_pathseg.storage.cache_folder import cache_folder
from napari_pathseg.storage.names import is_project
from napari_pathseg.ui.sample import sample_truth
from napari_pathseg.ui.sample_files import sample_folder, sample_slides

UNANNOTATED = "slide_06"
_FIRST = TrainConfig(minutes=1.5)
_SECOND = TrainConfig(minutes=1.0)


def show_demo() -> None:
    """Open the window on the demo project, created on first use, and show the slide to predict.

    Raises
    ------
    PathsegError
        If there is no display, or the project cannot be created or opened.
    """
    from napari_pathseg.ui import launch

    launch.require_display()
    folder = cache_folder() / f"demo{FOLDER_SUFFIX}"
    if not is_project(folder):
        make_demo_project(folder, sample_folder())
    launch.open_window([folder], UNANNOTATED)


def run_demo(folder: Path) -> dict[str, Any]:
    """Run the demo in a window without a user; screenshots, ``scores.json`` and contours go into `folder`.

    Returns
    -------
    report
        ``scores`` (Dice by class of the ``first`` and ``second`` model on the same held-out
        slides), ``seconds``, ``screenshots``, ``strokes``, ``exported`` and ``project``.

    Raises
    ------
    PathsegError, RuntimeError
        If a step fails or does not end; names the step and the last message.
    """
    from napari_pathseg.ui import launch

    launch.require_display()
    started = time.monotonic()
    project = _unused_folder(folder)
    slides = sample_slides(sample_folder())
    viewer, dock = launch.make_window()
    from napari.utils.notifications import notification_manager

    from napari_pathseg.ui.demo.script import DemoScript

    with notification_manager:  # collects exceptions in the window, as `napari.run` does
        try:
            script = DemoScript(viewer, dock, folder)
            script.import_slides(project, slides, sample_annotations(slides[0].parent))
            first = script.train(UNANNOTATED, _FIRST, screenshot="training")
            strokes = script.correct(sample_truth(UNANNOTATED))
            second = script.train(UNANNOTATED, _SECOND)
            dice = script.compare()
            exported = script.export()
        finally:
            launch.close_window(viewer, dock)
    scores = {"first": dice[first], "second": dice[second]}
    save_json(folder / "scores.json", scores)
    return {
        "scores": scores,
        "seconds": round(time.monotonic() - started, 1),
        "screenshots": [str(path) for path in script.screenshots],
        "strokes": len(strokes),
        "exported": [str(path) for path in exported],
        "project": str(project),
    }


def sample_annotations(folder: Path) -> list[tuple[list[Path], AddOptions]]:
    """Return the annotated sample slides in `folder` with their import options; `UNANNOTATED` is left out.

    Both the training and the validation slides include tumour and a slide without tumour.
    """
    one, two, three, four, five, _ = sample_slides(folder)
    return [
        ([one, two], AddOptions(contours=folder, role=TRAIN)),
        ([three], AddOptions(negative=True, role=TRAIN)),
        ([four], AddOptions(contours=folder, role=VAL)),
        ([five], AddOptions(negative=True, role=VAL)),
    ]


def make_demo_project(folder: Path, samples: Path) -> Project:
    """Create the demo project in `folder`: all sample slides, all with contours except one.

    Raises
    ------
    ProjectError
        If `folder` exists already or cannot be written.
    """
    project = Project.create(folder)
    for paths, options in sample_annotations(samples):
        add_slides(project, paths, options)
    add_slides(project, [samples / f"{UNANNOTATED}.tif"])
    return project


def _unused_folder(folder: Path) -> Path:
    """Return the path of a new project folder in `folder`; existing projects, which users may have edited, stay."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"{folder} could not be created ({error.strerror}). Choose another folder.") from error
    number = 1
    while (path := folder / f"demo{'' if number == 1 else f'-{number}'}{FOLDER_SUFFIX}").exists():
        number += 1
    return path.absolute()
