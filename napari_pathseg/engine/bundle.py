"""A bundle: a folder with a trained model and everything needed to use it.

``weights.safetensors`` holds the tensors, ``bundle.json`` the architecture, the lineage and the
scores, ``curves.csv`` the training curves.  Nothing in it can run code.  This module handles the
metadata and needs no torch; `engine.bundle_io` reads and writes the weights.
"""

import filecmp
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import BundleError, ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import atomic_folder, load_json, save_json

FORMAT = 1


@dataclass(frozen=True)
class NetworkSpec:
    """Everything needed to build a network.

    Attributes
    ----------
    architecture, encoder
        The names of both; unet-classic and fcn8s have their own encoder.
    classes
        The number of output classes.
    channels
        1 if its input is the mean of red, green and blue, which is true of unet-classic alone.
    context
        Whether its input includes the surroundings of a tile.
    """

    architecture: str
    encoder: str
    classes: int
    channels: int = 3
    context: bool = False


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The content of a model's ``bundle.json``.

    Attributes
    ----------
    id, parent, run
        The model's name, the model it was fine-tuned from, the run that trained it.
    classes
        Names and colours in the order of the network's outputs.
    mpp
        Micrometres per pixel of its training data; None for the native resolution of each slide.
    scores
        By class name, pooled over the pixels of `val`.
    train, val
        The slides it was trained and scored on.
    finished
        False while its run is going on, or if the run was killed.
    """

    id: str
    parent: str | None
    run: str
    network: NetworkSpec
    classes: list[dict[str, str]]
    mpp: float | None
    config: dict[str, Any]
    scores: dict[str, dict[str, float]]
    mean_dice: float
    train: list[str]
    val: list[str]
    steps: int
    seconds: float
    finished: bool
    format: int = field(default=FORMAT)

    @property
    def class_names(self) -> list[str]:
        """The names of the classes in order."""
        return [entry["name"] for entry in self.classes]


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle without its weights.

    Raises
    ------
    BundleError
        If the folder is not a bundle or was written by a newer version.
    """
    path = folder / "bundle.json"
    if not path.is_file():
        raise BundleError(f"{folder} is not a trained model: it has no bundle.json. Name a folder below models/.")
    content = load_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise BundleError(f"{path} has format {found!r}; this version reads format {FORMAT}. Update napari-pathseg.")
    try:
        network, config = NetworkSpec(**content["network"]), dict(content["config"])
        bundle = Bundle(**{**content, "network": network})
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path} is damaged ({error}). Train again, or restore it from a copy.") from error
    return replace(bundle, config=TrainConfig.renamed(config))


def find_bundle(project: Project, model_id: str | None = None) -> Path:
    """Return the folder of a project's model, by default the newest.

    Raises
    ------
    BundleError
        If the project has no such model.
    """
    known = project.model_ids()
    if not known:
        raise BundleError(f"{project.folder.name} has no model yet. Train one first.")
    wanted = model_id or known[-1]
    if wanted not in known:
        raise BundleError(f'{project.folder.name} has no model "{wanted}". It has: {", ".join(known)}.')
    return project.folder / "models" / wanted


def load_bundles(project: Project) -> list[Bundle]:
    """Read the bundles of all models of a project, oldest first."""
    return [load_bundle(project.folder / "models" / name) for name in project.model_ids()]


def weights_mtime(project: Project, model_id: str) -> int:
    """Return when a model's weights were last written, in nanoseconds; training rewrites them until it ends."""
    return (project.folder / "models" / model_id / "weights.safetensors").stat().st_mtime_ns


def check_classes(project: Project, bundle: Bundle) -> None:
    """Check that a model has the classes of the project.

    Raises
    ------
    BundleError
        If their names differ.
    """
    if list(project.classes.names) != bundle.class_names:
        raise BundleError(
            f"Model {bundle.id} has the classes {', '.join(bundle.class_names)}; the project has "
            f"{', '.join(project.classes.names)}. Train a new model from scratch."
        )


def make_newest(project: Project, model_id: str) -> str:
    """Make a model the newest of its project and return its name.

    Unless the newest model has the same weights already, the model is copied to the next number.

    Raises
    ------
    ProjectError
        If the copy cannot be written; nothing is left of it.
    """
    models = project.folder / "models"
    known = project.model_ids()
    newest = models / known[-1]
    if filecmp.cmp(newest / "weights.safetensors", models / model_id / "weights.safetensors", shallow=False):
        return newest.name
    number, run = reserve_run(project)
    copy = models / f"m{number}"
    try:
        with atomic_folder(copy) as partial:
            shutil.copytree(models / model_id, partial)
            save_json(partial / "bundle.json", {**load_json(partial / "bundle.json"), "id": copy.name})
    except OSError as error:
        raise ProjectError(
            f"{copy} could not be written ({error.strerror}). Free some space, then tune again."
        ) from error
    finally:
        run.rmdir()
    return copy.name


def reserve_run(project: Project) -> tuple[str, Path]:
    """Reserve the next number for a run and its model; return its digits and the folder of the run."""
    runs = project.folder / "runs"
    taken = [int(found.group(1)) for p in runs.glob("r*") if (found := re.fullmatch(r"r(\d+)", p.name))]
    taken += [int(found.group(1)) for m in project.model_ids() if (found := re.fullmatch(r"m(\d+)", m))]
    number = max(taken, default=0) + 1
    while True:
        try:
            (runs / f"r{number:03}").mkdir(parents=True)
            return f"{number:03}", runs / f"r{number:03}"
        except FileExistsError:  # another process took the number
            number += 1
        except OSError as error:
            raise ProjectError(
                f"{runs} cannot be written ({error.strerror}). Allow writing to the project folder."
            ) from error
