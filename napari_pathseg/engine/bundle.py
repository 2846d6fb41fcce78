"""A bundle: a trained model and all it takes to use it, in a folder of its own.

``weights.safetensors`` holds the tensors, ``bundle.json`` what rebuilds the network, its
lineage and its scores, ``curves.csv`` how it learnt.  Nothing in it can run code.  Here is
what it says, readable without torch; its weights are `engine.checkpoint`'s.
"""

import filecmp
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import BundleError, ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import atomic_folder, load_json, save_json

FORMAT = 1


@dataclass(frozen=True)
class NetworkSpec:
    """All it takes to build a network again.

    Attributes
    ----------
    architecture, encoder
        Its kind and its encoder; unet-classic and fcn8s have their own encoder.
    classes
        How many it tells.
    channels
        1 where it sees the mean of red, green and blue; only unet-classic does.
    context
        Whether it sees a tile's surroundings, too.
    """

    architecture: str
    encoder: str
    classes: int
    channels: int = 3
    context: bool = False


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a model's ``bundle.json`` says.

    Attributes
    ----------
    id, parent, run
        Its name, the model it was fine-tuned from, the run that made it.
    classes
        Names and colours in the order of the network's outputs.
    mpp
        Micrometres per pixel at which it learnt; None for each slide's own.
    scores
        By class name, pooled over the pixels of `val`.
    train, val
        The slides it learnt from and was scored on.
    finished
        False while its run goes on, or if that was killed.
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
        """The names of its classes in order."""
        return [entry["name"] for entry in self.classes]


def load_bundle(folder: Path) -> Bundle:
    """Read what a bundle says, without its weights.

    Raises
    ------
    BundleError
        If the folder is no bundle or was made by a newer version.
    """
    path = folder / "bundle.json"
    if not path.is_file():
        raise BundleError(f"{folder} is no trained model: it has no bundle.json. Name a folder below models/.")
    content = load_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise BundleError(f"{path} has format {found!r}; this version reads format {FORMAT}. Update napari-pathseg.")
    try:
        network, config = NetworkSpec(**content["network"]), TrainConfig.renamed(content["config"])
        return Bundle(**{**content, "network": network, "config": config})
    except (KeyError, TypeError) as error:
        raise BundleError(f"{path} is damaged ({error}). Train again, or restore it from a copy.") from error


def find_bundle(project: Project, model_id: str | None = None) -> Path:
    """Return the folder of a project's model, the newest where none is named.

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
    """Read what all models of a project say, oldest first."""
    return [load_bundle(project.folder / "models" / name) for name in project.model_ids()]


def weights_mtime(project: Project, model_id: str) -> int:
    """Return a number that changes when a model's weights do, as they may until its training ends."""
    return (project.folder / "models" / model_id / "weights.safetensors").stat().st_mtime_ns


def check_classes(project: Project, bundle: Bundle) -> None:
    """Refuse a model whose classes are not the project's.

    Raises
    ------
    BundleError
        If the names differ.
    """
    if list(project.classes.names) != bundle.class_names:
        raise BundleError(
            f"Model {bundle.id} tells {', '.join(bundle.class_names)}; the project has "
            f"{', '.join(project.classes.names)}. Train a new model from none."
        )


def make_newest(project: Project, model_id: str) -> str:
    """Let a model be the newest of its project, as a copy under the next number if it is not; return its name.

    Raises
    ------
    ProjectError
        If the copy cannot be written; there is none then.
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
    """Reserve the next number for a run and its model; return the number's digits and the run's folder."""
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
