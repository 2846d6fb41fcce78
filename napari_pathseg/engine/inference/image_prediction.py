"""Prediction of images outside any project, with a bundle.

The work is a project in a hidden folder beside the results, named for the model, the images and the settings, until all
images are written: a run that was stopped or killed goes on with it when it is asked for again.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, TypeVar

from napari_pathseg.classes import class_table
from napari_pathseg.config import PredictConfig
from napari_pathseg.contours.formats import stem_of
from napari_pathseg.engine.bundle import copy_bundle, load_bundle
from napari_pathseg.engine.bundle_io import check_weights
from napari_pathseg.engine.events import Command, Job, Note
from napari_pathseg.engine.inference.predict import predict
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.checks.unusual_slides import find_unusual_slides
from napari_pathseg.projects.exporting.export import ExportOptions, check_targets, export, make_folder
from napari_pathseg.projects.held_out_parts import join_names
from napari_pathseg.projects.importing.add_slides import add_slides
from napari_pathseg.projects.model_weights import ALL_WEIGHTS, WEIGHTS
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.storage.lock import ProjectLock
from napari_pathseg.storage.portable import remove_tree
from napari_pathseg.storage.regular_files import open_regular

_LABEL_IMAGES = ExportOptions(format="mask", what="prediction")
_UNFINISHED, _PROJECT, _MODEL = ".unfinished-prediction-", "images.pathseg", "m001"
_KEY_LENGTH = 12

_Result = TypeVar("_Result")


class PredictedImages(NamedTuple):
    """The files that were written, how many parts of images could not be predicted, and whether it was stopped."""

    files: list[Path]
    failed: int
    stopped: bool


def predict_images(
    bundle_folder: Path,
    images: Sequence[Path],
    out: Path,
    config: PredictConfig | None = None,
    options: ExportOptions = _LABEL_IMAGES,
) -> Job[PredictedImages]:
    """Predict images outside any project with a bundle; write them to `out`, by default as label images.

    One that is stopped writes the images that it has predicted to their end.  The same call goes on with what a stopped
    or killed one has computed; with another bundle, other images or another `config` it starts from the beginning.

    Raises
    ------
    BundleError, UnsupportedSlideError, ProjectError
        If the folder is not a bundle, an image cannot be opened, `out` cannot be written, or another program predicts
        the same there.
    """
    config = config or PredictConfig()
    load_bundle(bundle_folder)
    check_weights(bundle_folder)  # before they are copied, whatever they are
    key = _key(bundle_folder, images, config)
    with _working_folder(out, key) as (folder, lock):
        project = _unfinished_project(folder, bundle_folder)
        if project is None:
            others = [path for path in sorted(out.glob(f"{_UNFINISHED}*")) if path != folder and not _is_in_use(path)]
            project = _new_project(folder, bundle_folder, images)
            if others:
                yield Note(_describe_others(others))
        else:
            yield Note("Going on where an earlier run of the same prediction was interrupted.")
        try:
            check_targets(project, out, options)  # now, not after hours
        except ProjectError:
            remove_tree(project.folder)
            raise
        for text in _notes(project, list(project.slides.values())):
            yield Note(text, warning=True)
        done = yield from _while_held(predict(project, config, _MODEL), lock)
        names = [slide.slide for slide in done]
        files = export(project, out, replace(options, slides=names)) if done else []
        stopped = len(names) < len(project.slides_with_role(config.role))
        if not stopped:
            remove_tree(project.folder)
        return PredictedImages(files, sum(len(slide.failed) for slide in done), stopped)


def _key(bundle_folder: Path, images: Sequence[Path], config: PredictConfig) -> str:
    """Return a hash of all that a prediction depends on, and of where its images lie."""
    slides = [(str(path.absolute()), fingerprint(path)) for path in map(Path, images)]
    parts = [version("napari-pathseg"), _digest(bundle_folder), asdict(config), slides]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_KEY_LENGTH]


def _digest(bundle_folder: Path) -> str:
    """Return a hash of a model."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, ALL_WEIGHTS, "bundle.json"):
        if (bundle_folder / name).exists():
            with open_regular(bundle_folder / name) as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@contextlib.contextmanager
def _working_folder(out: Path, key: str) -> Iterator[tuple[Path, ProjectLock]]:
    """Yield a hidden folder in `out` and its lock, which is held; remove the folder if it is empty in the end."""
    is_new, folder = not out.exists(), out / f"{_UNFINISHED}{key}"
    make_folder(out)
    make_folder(folder)
    lock = ProjectLock(folder)
    lock.acquire()
    try:
        yield folder, lock
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # it has something to go on with, or a result
            folder.rmdir()
            if is_new:
                out.rmdir()


def _unfinished_project(folder: Path, bundle_folder: Path) -> Project | None:
    """Return what an earlier run has left; None if there is nothing, or not all of it had reached the disk."""
    try:
        project = Project.open(folder / _PROJECT)
        whole = bool(project.slides) and _digest(project.folder / "models" / _MODEL) == _digest(bundle_folder)
    except (ProjectError, OSError):
        return None
    return project if whole else None


def _new_project(folder: Path, bundle_folder: Path, images: Sequence[Path]) -> Project:
    """Return a new project of images and a model, whatever lies there; after an error, nothing does."""
    path, bundle = folder / _PROJECT, load_bundle(bundle_folder)
    remove_tree(path)
    try:
        classes = class_table([(entry["name"], entry["color"]) for entry in bundle.classes])
        project = Project.create(path, classes, bundle.mpp)
        copy_bundle(bundle_folder, project.folder / "models" / _MODEL)  # whatever the folder's own name is
        add_slides(project, images)  # last, as it tells that the project is whole
    except BaseException:
        remove_tree(path)
        raise
    return project


def _while_held(job: Job[_Result], lock: ProjectLock) -> Job[_Result]:
    """Run a job as long as no other program has taken over the lock, which it may if this computer was asleep."""
    command: Command | None = None
    with contextlib.closing(job):
        while True:
            lock.check()
            try:
                event = job.send(command)
            except StopIteration as end:
                result: _Result = end.value
                return result
            command = yield event


def _is_in_use(folder: Path) -> bool:
    """Return whether another program works in a folder."""
    lock = ProjectLock(folder)
    try:
        lock.acquire()
    except ProjectError:
        return True
    lock.release()
    return False


def _describe_others(others: Sequence[Path]) -> str:
    names = join_names([path.name for path in others])
    return (
        "This prediction starts from the beginning: what is unfinished in that folder is of another model, of other "
        f"images or with other settings. It goes on when asked for as before; delete {names} if it is not wanted."
    )


def _notes(project: Project, records: Sequence[SlideRecord]) -> Iterator[str]:
    """Yield what to know of images outside any project before they are predicted."""
    silent = [record.id for record in records if record.mpp is None]
    if silent and project.mpp is not None:
        yield (
            f"No pixel size in {join_names(silent)}: predicted at full resolution, while the model learnt at "
            f"{project.mpp:g} um per pixel. Save the images with their pixel size, or predict them in a project."
        )
    files = {record.id: project.find_file(record) for record in records if record.page is None}
    renamed = [f"{file.name} as {name}" for name, file in files.items() if stem_of(file) != name]
    if renamed:
        yield f"Names that are taken, or no file can have, were changed: {', '.join(renamed)}."
    yield from find_unusual_slides(project, records)
