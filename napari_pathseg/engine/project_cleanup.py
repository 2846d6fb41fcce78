"""Free the disk of what a project can do without.  It needs no torch.

Masks, contours, tissue, models that are listed and their predictions are never touched, nor is the metadata of a
removed model: what was trained from it still has to know from which slides it has learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_pathseg.engine.training.interrupted import started_runs
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.disk_use import freed_by_deleting
from napari_pathseg.projects.model_versions import removed_models
from napari_pathseg.projects.model_weights import ALL_WEIGHTS, WEIGHTS
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.removed_slides import removed_slides
from napari_pathseg.projects.versions import superseded_versions, versions
from napari_pathseg.storage.portable import remove, remove_tree

_FEATURES = "features"  # `engine.live.feature_store.FOLDER`, whose import loads torch; a test compares them
_KEPT_OF_RUNS = ("config.json", "events.jsonl", "status.json", "examples.png")  # settings, curves, the last picture


@dataclass(frozen=True)
class Cleanup:
    """A kind of files that can be deleted.

    Attributes
    ----------
    kind
        "runs", "features", "versions" or "removed".
    title, loss
        What it is, and what is lost with it or stays.
    paths
        The files and folders.
    size
        Bytes that deleting them frees.
    """

    kind: str
    title: str
    loss: str
    paths: Sequence[Path] = field(repr=False)
    size: int


def find_cleanups(project: Project) -> list[Cleanup]:
    """Return what can be deleted, by kind; kinds without files are left out."""
    found = (
        ("runs", "Old trainings", "checkpoints and logs for TensorBoard; settings and curves stay", _of_old_runs),
        ("features", "Features of tiles", "they are computed again when they are needed", _features),
        (
            "versions",
            "Old versions of masks",
            "the newest, the newest before a training and those kept by hand stay",
            _old_versions,
        ),
        (
            "removed",
            "What was removed",
            "removed models, which cannot be brought back then, and predictions of removed models and slides",
            _removed,
        ),
    )
    cleanups = []
    for kind, title, loss, find in found:
        if paths := find(project):
            cleanups.append(Cleanup(kind, title, loss, paths, freed_by_deleting(paths)))
    return cleanups


def clean_up(project: Project, cleanups: Sequence[Cleanup]) -> None:
    """Delete the files of `cleanups`.

    Raises
    ------
    ProjectError
        If another program holds the project, or a file cannot be deleted; those before it are gone then.
    """
    with project.write_lock():
        for path in (path for cleanup in cleanups for path in cleanup.paths):
            try:
                remove_tree(path) if path.is_dir() and not path.is_symlink() else remove(path)
            except OSError as error:
                raise ProjectError(
                    f"{path} could not be deleted ({error.strerror}). Close the program that uses it, then try again."
                ) from error


def _of_old_runs(project: Project) -> list[Path]:
    """Return the files of trainings but for one that goes on, or that was interrupted after all others."""
    runs = started_runs(project)
    newest = runs[0] if runs and runs[0].state == "interrupted" else None
    old = [run.folder for run in runs if run.state != "running" and run != newest]
    return [path for folder in old for path in sorted(folder.iterdir()) if path.name not in _KEPT_OF_RUNS]


def _features(project: Project) -> list[Path]:
    folder = project.folder / _FEATURES
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _old_versions(project: Project) -> list[Path]:
    slides = [*project.slides, *removed_slides(project)]
    return [version.folder for slide in slides for version in superseded_versions(versions(project, slide))]


def _removed(project: Project) -> list[Path]:
    """Return the weights of removed models, and the predictions of removed models and slides."""
    models = removed_models(project)
    weights = [project.folder / "models" / model / name for model in models for name in (WEIGHTS, ALL_WEIGHTS)]
    predictions = [project.folder / "predictions" / model for model in project.state.removed_models]
    predictions += [
        project.prediction_path(model, slide) for slide in removed_slides(project) for model in project.model_ids()
    ]
    return [path for path in (*weights, *predictions) if path.exists()]
