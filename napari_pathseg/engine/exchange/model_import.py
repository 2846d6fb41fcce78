"""Take a model into a project: a bundle of ours, or a bioimage.io package whose weights fit a network of ours.

Files of strangers are data: no code of theirs runs, nothing is downloaded, and no network is built before its weights
were compared with the header of their file.
"""

import os
import shlex
import shutil
import tempfile
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_pathseg.engine.bundle import Bundle, has_classes_of, load_bundle, reserve_run
from napari_pathseg.engine.bundle_io import load_network, save_bundle
from napari_pathseg.engine.exchange.foreign_package import DESCRIPTIONS, read_foreign
from napari_pathseg.engine.exchange.model_card import IMPORTED, hashes
from napari_pathseg.engine.exchange.stranger_files import MAX_WEIGHTS, StrangerFiles, opened
from napari_pathseg.engine.inference.unlike_slides import other_scale
from napari_pathseg.errors import BundleError, PathsegError, ProjectError
from napari_pathseg.projects.model_weights import WEIGHTS
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import atomic_folder, save_json

_MAX_BUNDLE = 64 << 20  # bytes of a bundle.json


def import_model(project: Project, source: Path) -> str:
    """Take a model into a project as its newest one; return its name there.

    Its slides, patients and models of before are those of another project: it keeps the names of the slides that it has
    learnt, as no slide of that name is one that it has not seen, and its scores, but nothing that is held out.

    Parameters
    ----------
    project
        The project; its classes must be those of the model.
    source
        The folder of a bundle, a zip file of it, or a bioimage.io package as a folder or zip file.

    Raises
    ------
    BundleError
        If it is no such model, is unsafe or damaged, or has other classes than the project.
    ProjectError
        If the model cannot be written; nothing is left of it.
    """
    project.check_links()
    with tempfile.TemporaryDirectory() as name:
        try:
            _unpack(source, Path(name))
            return _take_in(project, Path(name))
        except PathsegError as error:  # names the file that was given, not where it was unpacked
            raise type(error)(str(error).replace(f"{name}{os.sep}", f"{source.name}: ")) from error


def import_warnings(project: Project, model: str) -> list[str]:
    """Return what to know of an imported model before it predicts in a project."""
    bundle = load_bundle(project.folder / "models" / model)
    unknown = f"{model} does not say how the slides that it learnt are stained, so that no other stain is noticed."
    return [text for text in (other_scale(project, bundle), "" if bundle.looks else unknown) if text]


def _unpack(source: Path, folder: Path) -> None:
    """Put the metadata and the weights of a model into a folder."""
    with opened(source) as files:
        if files.find("bundle.json"):
            _copy_bundle(files, folder)
        elif described := files.find(*DESCRIPTIONS):
            read_foreign(files.read_yaml(described), files, folder)
        else:
            raise BundleError(
                f"{source} has neither a bundle.json nor an {DESCRIPTIONS[0]}, so it is no model. Name the folder or "
                "zip file of a model, or a bioimage.io package."
            )


def _copy_bundle(files: StrangerFiles, folder: Path) -> None:
    """Copy a bundle with the weights that predict new slides."""
    files.copy("bundle.json", folder / "bundle.json", _MAX_BUNDLE)
    files.copy(load_bundle(folder).weights_for(""), folder / WEIGHTS, MAX_WEIGHTS)


def _take_in(project: Project, folder: Path) -> str:
    """Move a model, whose weights and metadata are in a folder, into a project."""
    former = load_bundle(folder)
    if not has_classes_of(project, former.class_names):
        classes = " ".join(f"--class {shlex.quote(name)}" for name in former.class_names)
        raise BundleError(
            f"The model has the classes {', '.join(former.class_names)}; the project has "
            f"{', '.join(project.classes.slot_names)}. Import it into a project with its classes: pathseg new "
            f"PROJECT {classes}."
        )
    bundle = replace(former, last_pass=False)
    save_json(folder / "bundle.json", asdict(bundle) | {"network": bundle.network.to_json()})
    load_network(folder)  # compares the weights with the network, and looks for values that are not finite
    number, run = reserve_run(project)
    target = project.folder / "models" / f"m{number}"
    try:
        target.parent.mkdir(exist_ok=True)
        with atomic_folder(target) as partial:
            partial.mkdir()
            shutil.copyfile(folder / WEIGHTS, partial / WEIGHTS)
            save_bundle(partial, _as_of(project, former, target.name, hashes(partial)[WEIGHTS]))
    except OSError as error:
        raise ProjectError(
            f"{target} could not be written ({error.strerror}). Free some space, then try again."
        ) from error
    finally:
        run.rmdir()
    return target.name


def _as_of(project: Project, former: Bundle, name: str, sha256: str) -> Bundle:
    """Return the metadata of a model as one of a project, with what it was before."""
    before = former.origin.get(IMPORTED)
    origin = {key: value for key, value in former.origin.items() if key not in ("machine", "command")}
    lineage: dict[str, Any] = {
        "model": former.id or "unnamed",
        "trained from": former.parent or "no other model",
        "on": datetime.now().astimezone().isoformat(timespec="seconds"),
        "sha256": sha256,
        "held out then": len(former.val),
    }
    if isinstance(before, dict):
        lineage["imported before as"] = str(before.get("model"))
    seen = {*former.train, *former.looks, *(former.val if former.last_pass else ())}
    return replace(
        former,
        id=name,
        parent=None,
        run="",
        train=sorted(seen),
        val=[],
        held_out={},
        learnt_before=[],
        slide_scores={},
        base="",
        base_scores={},
        last_pass=False,
        is_copy=False,
        finished=True,
        val_patients=None,
        train_patients=former.train_patients if not former.last_pass else None,
        origin=origin | {IMPORTED: lineage},
    )
